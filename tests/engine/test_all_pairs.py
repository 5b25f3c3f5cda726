"""Every two options of a training go together or are refused: a covering array over their values, run on tiny images.

Each row of the array is one run of two or three updates. What excludes each other is listed, has a test of its own, and
stays out of the rows, so that every other pair is trained with.
"""

import itertools
import json
import random
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import timm
from timm.engine.commands import launch

# torch says of second derivatives that they keep a graph alive, which the next update lets go of.
pytestmark = pytest.mark.filterwarnings('ignore:Using backward')

SEED, IN_DEFAULT = 6, 10
Conflict = dict[str, set[int]]

# Values of each option, by what is typed; the first is the usual one.
OPTIONS: dict[str, list[str]] = {
    'model': ['test_resnet', 'test_vit', 'test_convnext', 'test_efficientnet'],
    'labels': ['', '--task multilabel --multilabel-threshold 0.4'],
    'loss': ['', '--bce-loss', '--bce-loss --bce-sum --bce-target-thresh 0.3', '--loss poly', '--loss asl',
             '--jsd-loss', '--loss twoway', '--loss zlpr', '--loss db --class-stats STATS'],
    'weights': ['', '--loss-pos-weight neg_pos --class-stats STATS', '--loss-class-weight 1,2'],
    'smoothing': ['--smoothing 0', '--smoothing 0.2'],
    'mix': ['', '--mixup 0.2', '--cutmix 1 --mixup 0.5 --mixup-mode elem', '--cutmix-minmax 0.2 0.8 --mixup-mode pair'],
    'mixup-off': ['', '--mixup-off-epoch 1'],
    'splits': ['', '--aug-splits 2', '--aug-splits 3 --resplit'],
    'repeats': ['', '--aug-repeats 2'],
    'aug': ['', '--no-aug', '--aa rand-m9-mstd0.5', '--aa augmix-m5-w2', '--aa 3a', '--train-crop-mode rkrc'],
    'colour': ['', '--color-jitter-prob 0.5 --grayscale-prob 0.3 --gaussian-blur-prob 0.3 --vflip 0.5'],
    'erase': ['', '--reprob 0.9', '--reprob 0.9 --remode const --recount 2'],
    'norm': ['', '--bn-momentum 0.2 --bn-eps 1e-4', '--split-bn', '--sync-bn --dist-bn broadcast'],
    'ema': ['', '--model-ema', '--model-ema --model-ema-warmup', '--model-ema --model-ema-force-cpu'],
    'precision': ['', '--amp', '--amp --amp-dtype bfloat16', '--model-dtype bfloat16'],
    'order': ['', '--channels-last'],
    'compile': ['', '--torchscript', '--torchcompile aot_eager'],
    'accumulate': ['', '--grad-accum-steps 2', '--grad-accum-steps 3'],
    'clip': ['', '--clip-grad 1', '--clip-grad 0.1 --clip-mode value', '--clip-grad 0.02 --clip-mode agc'],
    'opt': ['--opt sgd', '--opt adamw --opt-betas 0.9 0.99', '--opt lamb', '--opt lookahead_adam', '--opt adafactor',
            '--opt muon', '--opt adahessian'],
    'layers': ['', '--layer-decay 0.7', '--layer-decay 0.5 --layer-decay-no-opt-scale 0.3'],
    'sched': ['', '--sched step', '--sched multistep', '--sched plateau', '--sched poly', '--sched tanh',
              '--sched wsd --decay-epochs 1 --lr-decay-fn linear',
              '--sched rsqrt --decay-epochs 1 --lr-stable-timescale 1', '--sched none'],
    'on': ['', '--sched-on-updates'],
    'warm': ['--warmup-epochs 0', '--warmup-epochs 1', '--warmup-epochs 1 --warmup-prefix --cooldown-epochs 1'],
    'noise': ['', '--lr-noise 0.4 0.9'],
    'prefetch': ['', '--no-prefetcher'],
    'checkpointing': ['', '--grad-checkpointing'],
    'drop': ['', '--drop 0.2 --drop-path 0.2', '--drop-connect 0.1'],
    'teacher': ['', '--kd-model-name TEACHER', '--kd-model-name TEACHER --kd-distill-type feature',
                '--kd-model-name TEACHER --task-loss-weight 0.3 --kd-temperature 2'],
    'sizes': ['', '--train-img-sizes 32 48 --train-size-probs 1 3',
              '--train-img-sizes 32 48 --train-batch-sizes 4 2 --variable-batch-loss-scale sqrt',
              '--train-img-sizes 32 64 --train-size-schedule progressive'],
    'length': ['', '--train-batches-per-epoch 3'],
    'validate': ['', '--val-split EMPTY', '--val-interval 2', '--eval-metric loss -vb 3'],
    'views': ['', '--tta 2', '--tta 10'],
    'pictures': ['', '--save-images --log-interval 1'],
    'save': ['', '--recovery-interval 1 --checkpoint-hist 1', '--save-epochs 1'],
    'head': ['', '--head-init-scale 0.1 --head-init-bias -2'],
    'channels': ['', '--in-chans 1'],
    'workers': ['-j 0', '-j 1 --worker-seeding part'],
}  # fmt: skip

# What is refused: options with patterns of their values, and what the message says.
REFUSED: list[tuple[dict[str, list[str]], str]] = [
    ({'labels': ['--task*'], 'loss': ['--jsd*']}, 'jsd'),
    ({'labels': ['--task*'], 'teacher': ['--kd*']}, '--task multilabel'),
    ({'labels': [''], 'loss': ['--loss twoway*', '--loss zlpr*', '--loss db*']}, 'multi_label'),
    ({'loss': ['--jsd*'], 'splits': ['']}, '--aug-splits'),
    ({'loss': ['--jsd*'], 'teacher': ['--kd*']}, 'exclude'),
    ({'loss': ['--loss twoway*', '--loss zlpr*'], 'mix': ['--*']}, 'loss_type='),
    ({'loss': ['--loss twoway*', '--loss zlpr*'], 'smoothing': ['--smoothing 0.2*']}, 'smoothing'),
    ({'labels': [''], 'loss': ['--loss asl*'], 'mix': ['--*']}, "loss_type='asl'"),
    ({'weights': ['--*'], 'loss': ['--loss poly', '--jsd*', '--loss [tz]*', '--loss db*']}, 'class_weight'),
    ({'weights': ['--*'], 'loss': ['', '--loss asl*'], 'labels': ['']}, 'class_weight'),
    ({'mix': ['--*'], 'splits': ['--*']}, '--aug-splits and mixing'),
    ({'splits': ['--*'], 'sizes': ['--*']}, 'num_aug_splits'),
    ({'splits': ['--*'], 'length': ['--*']}, 'num_aug_splits'),
    ({'splits': [''], 'norm': ['--split*']}, '--aug-splits'),
    ({'splits': ['--*'], 'aug': ['--no-aug*']}, '--no-aug'),
    ({'opt': ['--opt adahessian*'], 'precision': ['--amp']}, 'float16'),
    ({'opt': ['--opt adahessian*'], 'compile': ['--torchcompile*']}, 'second derivatives'),
    ({'compile': ['--torchscript'], 'precision': ['--amp']}, 'bfloat16'),
    ({'norm': ['--split*', '--bn*'], 'model': ['test_vit', 'test_convnext']}, 'no batch norm'),
    ({'norm': ['--split*', '--sync*'], 'compile': ['--torchscript*']}, 'scripted'),
    ({'checkpointing': ['--*'], 'compile': ['--torchscript*']}, 'scripted'),
    ({'teacher': ['--kd-model-name TEACHER --kd-distill*'], 'compile': ['--torchscript*']}, 'scripted'),
    ({'sched': ['--sched plateau*'], 'on': ['--*']}, 'plateau'),
]  # fmt: skip

CONFLICTS: list[Conflict] = [
    {
        name: {i for i, value in enumerate(OPTIONS[name]) if any(fnmatchcase(value, pattern) for pattern in patterns)}
        for name, patterns in parts.items()
    }
    for parts, _ in REFUSED
]


def is_refused(row: dict[str, int]) -> bool:
    """Whether a row, or a part of one, holds everything that one conflict is made of."""
    return any(map(holds(row), CONFLICTS))


def holds(row: dict[str, int]) -> Callable[[Conflict], bool]:
    return lambda conflict: all(row.get(name) in values for name, values in conflict.items())


def covering_rows(seed: int) -> list[dict[str, int]]:
    """Rows of values that hold every pair which some row may hold: greedy, the fullest rows first."""
    draw = random.Random(seed)
    bit = {choice: 1 << n for n, choice in enumerate((name, i) for name in OPTIONS for i in range(len(OPTIONS[name])))}
    pairs = [pair for pair in itertools.combinations(bit, 2) if pair[0][0] != pair[1][0] and not is_refused(dict(pair))]
    draw.shuffle(pairs)
    wanted = dict.fromkeys(bit, 0)  # of each choice, the others it has not met
    for one, other in pairs:
        wanted[one] |= bit[other]
        wanted[other] |= bit[one]
    involved = {name: [conflict for conflict in CONFLICTS if name in conflict] for name in OPTIONS}

    def allowed(row: dict[str, int], name: str) -> list[int]:
        """Values of an option that no conflict refuses beside those of the row."""
        return [i for i in range(len(OPTIONS[name])) if not any(map(holds({**row, name: i}), involved[name]))]

    def complete(row: dict[str, int], mask: int, names: list[str]) -> dict[str, int] | None:
        """The row with values for `names` too: where the least is left to choose first, and what is wanted most."""
        if not names:
            return row
        choices = {name: allowed(row, name) for name in names if involved[name]}
        name = min(choices, key=lambda name: min(2, len(choices[name])), default=names[0])
        rest = [other for other in names if other != name]
        gain = {i: ((wanted[name, i] & mask).bit_count(), draw.random()) for i in choices.get(name, allowed(row, name))}
        for i in sorted(gain, key=lambda i: gain[i], reverse=True):
            found = complete({**row, name: i}, mask | bit[name, i], rest)
            if found is not None:
                return found
        return None

    rows: list[dict[str, int]] = []
    for one, other in pairs:
        if not wanted[one] & bit[other]:
            continue
        start = dict((one, other))
        names = [name for name in draw.sample(list(OPTIONS), len(OPTIONS)) if name not in start]
        row = complete(start, bit[one] | bit[other], names)
        if row is None:  # what is refused leaves no row for it
            continue
        mask = sum(bit[choice] for choice in row.items())
        for choice in row.items():
            wanted[choice] &= ~mask
        rows.append(row)
    return rows


# Compiling takes longest: what the default suite runs leaves it out.
ROWS = sorted(covering_rows(SEED), key=lambda row: OPTIONS['compile'][row['compile']] != '')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Images of two classes, a teacher's weights and statistics of the classes."""
    root = tmp_path_factory.mktemp('data')
    noise = np.random.default_rng(0)
    for split, count in (('train', 6), ('validation', 2)):
        for name in 'ab':
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = noise.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f'{i}.png')
    torch.manual_seed(0)
    torch.save(timm.create_model('test_resnet', num_classes=2).state_dict(), root / 'teacher.pth')
    (root / 'stats.json').write_text(json.dumps({'pos_counts': [4, 6], 'num_samples': 12}))
    return root


def command(row: dict[str, int], data: Path) -> list[str]:
    """The command line of a row."""
    words = ['--model']
    for name in OPTIONS:
        words += OPTIONS[name][row[name]].split()
    if 'TEACHER' in words:
        words += ['--kd-pretrained-path', str(data / 'teacher.pth')]
    named = {'EMPTY': '', 'STATS': str(data / 'stats.json'), 'TEACHER': 'test_resnet'}
    shared = ['--num-classes', '2', '--img-size', '32', '--device', 'cpu', '-b', '4', '--epochs', '2', '--lr', '1e-3']
    return [str(data), *shared, *(named.get(word, word) for word in words)]


def train(words: list[str], tmp_path: Path) -> int:
    return launch('train', [*words, '--output', str(tmp_path), '--experiment', 'run'])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No pictures, which take longer than a run."""
    monkeypatch.setattr('timm.engine.report.can_draw', lambda: False)


def check_row(row: dict[str, int], data: Path, tmp_path: Path, capsys) -> None:
    words = command(row, data)
    code = train(words, tmp_path)
    shown = capsys.readouterr()
    assert code == 0, f'{" ".join(words)}\n{shown.err[-3000:]}'
    assert '--result' in shown.out
    assert (tmp_path / 'run' / 'last.pth.tar').exists()


@pytest.mark.parametrize('number', range(min(IN_DEFAULT, len(ROWS))))
def test_options_go_together(number, data, tmp_path, capsys):
    check_row(ROWS[number], data, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize('number', range(IN_DEFAULT, len(ROWS)))
def test_all_other_pairs_of_options_go_together(number, data, tmp_path, capsys):
    check_row(ROWS[number], data, tmp_path, capsys)


@pytest.mark.parametrize('number', range(len(REFUSED)))
def test_what_excludes_each_other_says_so(number, data, tmp_path, capsys):
    """Nothing else is wrong with the row, as the rest has its usual values."""
    (parts, message), conflict = REFUSED[number], CONFLICTS[number]
    row = dict.fromkeys(OPTIONS, 0) | {name: max(values) for name, values in conflict.items()}
    for name, value in (('labels', 1), ('splits', 1)):  # what a conflict of others may need
        needed = {**row, name: value}
        if name not in parts and sum(map(holds(row), CONFLICTS)) > sum(map(holds(needed), CONFLICTS)):
            row = needed
    assert train(command(row, data), tmp_path) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('train.py: error')]
    assert message in line
    assert not list(tmp_path.rglob('*.pth.tar'))
