"""The flags of each script: names, short forms, kinds and defaults as published; what is missing is listed here."""

import json
from pathlib import Path
from typing import Any

import pytest

from timm.engine.flags import Flag, flags_of
from timm.engine.options import BenchmarkOptions, InferenceOptions, ValidateOptions
from timm.engine.train_options import TrainOptions

# Spellings -> [kind, default] as published, by script.
PUBLISHED: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parents[1] / 'golden' / 'script_flags.json').read_text()
)
SCRIPTS = {
    'train': TrainOptions,
    'validate': ValidateOptions,
    'inference': InferenceOptions,
    'benchmark': BenchmarkOptions,
}
NOT_YET: dict[str, list[str]] = {'train': [], 'validate': [], 'inference': [], 'benchmark': []}
# Ours, and those of releases after the published lists.
ADDED = {
    'train': {
        '-m', '--local-rank', '--task', '--target-format', '--multilabel-threshold', '--loss', '--loss-class-weight',
        '--loss-pos-weight', '--loss-weight-power', '--loss-weight-beta', '--loss-weight-max', '--class-stats',
        '--poly-epsilon', '--poly-gamma', '--poly-alpha', '--asl-gamma-pos', '--asl-gamma-neg', '--asl-clip',
        '--twoway-tp', '--twoway-tn', '--db-neg-scale', '--db-init-bias', '--db-focal-gamma', '--kd-pretrained-path',
        '--pretrained-cfg-overlay', '--lr-decay-fn', '--lr-stable-timescale', '--stop-epoch', '--save-epochs',
        '--log-tensorboard', '--nonfinite', '--recovery-minutes', '--requeue', '--fsdp', '--worker-type',
        '--fast-resize', '--reduced-decode', '--max-image-pixels', '--bad-images',
    },
    'validate': {
        '--task', '--target-format', '--multilabel-threshold', '--tta', '--confusion-matrix', '--per-class',
        '--calibration', '--calibration-bins', '--worst', '--num-worst', '--worker-type', '--fast-resize',
        '--reduced-decode', '--max-image-pixels', '--bad-images',
    },
    'inference': {'--worker-type', '--fast-resize', '--reduced-decode', '--max-image-pixels', '--bad-images'},
    'benchmark': set(),
}  # fmt: skip


def kind_of(option: Flag) -> str:
    """An option's kind in the words of the published lists."""
    if option.base is bool:
        return 'flag'
    if option.base is dict:
        return 'k=v...'
    name = option.base.__name__
    if option.positional or option.const is not None:
        return f'{name} ?'
    if option.count == 1:
        return name
    return f'{name} x{option.count}' if option.count and option.count > 2 else f'{name} +'


def default_of(option: Flag) -> Any:
    """An option's default in the words of the published lists."""
    value = option.default
    if value is False:
        return 'off'
    if isinstance(value, tuple):
        return ' '.join(map(str, value)) or '[]'
    return {'': "''"}.get(value, value) if isinstance(value, str) else value


def same(ours: Any, published: str) -> bool:
    try:
        return float(ours) == float(published)
    except (TypeError, ValueError):
        return str(ours) == published or (ours is None and published == '-')


@pytest.mark.parametrize('script', SCRIPTS)
def test_every_published_flag_is_there_or_listed_as_missing(script):
    ours = {name for option in flags_of(SCRIPTS[script]).values() for name in option.spellings} | {'-c', '--config'}
    published = {name for names in PUBLISHED[script] for name in names.split()}
    assert sorted(published - ours) == sorted(NOT_YET[script])
    assert ours - published <= ADDED[script] | {'-c', '--config'}


@pytest.mark.parametrize('script', SCRIPTS)
def test_kinds_and_defaults_are_the_published_ones(script):
    published = {names.split()[-1]: told for names, told in PUBLISHED[script].items()}
    published |= {names.split()[0]: told for names, told in PUBLISHED[script].items()}
    options = flags_of(SCRIPTS[script]).values()
    for option in (option for option in options if not set(option.spellings) <= ADDED[script]):
        kind, default = next(published[name] for name in option.spellings if name in published)
        assert same(default_of(option), default), option.name
        assert kind.split(' {')[0] == kind_of(option), option.name
