"""The command lines of the demo are ones that the scripts accept; running it takes a minute and is `make demo`."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from timm.engine.command_line import parse
from timm.engine.flags import flatten
from timm.engine.options import BenchmarkOptions, InferenceOptions, ValidateOptions
from timm.engine.train_options import TrainOptions

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'demo'
OPTIONS = {
    'train.py': TrainOptions,
    'validate.py': ValidateOptions,
    'inference.py': InferenceOptions,
    'benchmark.py': BenchmarkOptions,
}


class Called(Exception):
    """Ends a step of the demo where it would start a script."""


@pytest.fixture
def demo(monkeypatch, tmp_path):
    loader = SourceFileLoader('demo', str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('demo', loader))
    monkeypatch.setattr('sys.dont_write_bytecode', True)
    loader.exec_module(module)
    monkeypatch.setattr(module, 'OUTPUT', tmp_path)
    monkeypatch.setattr(module, 'DIGITS', SCRIPT.parents[1] / module.DIGITS)

    def run(title, script, *arguments, quiet=False):
        raise Called(flatten(parse(OPTIONS[script], [str(word) for word in arguments], script, title)))

    monkeypatch.setattr(module, 'run', run)
    return module


STEPS = [
    ('train', 'opt', 'adamw'),
    ('validate', 'use_ema', True),
    ('predict', 'topk', 1),
    ('benchmark', 'bench', 'inference'),
]


@pytest.mark.parametrize(('step', 'flag', 'value'), STEPS)
def test_scripts_accept_what_the_demo_says(demo, tmp_path, step, flag, value):
    with pytest.raises(Called) as called:
        getattr(demo, step)(*[tmp_path / 'model_best.pth.tar'] * (step in ('validate', 'predict')))
    assert called.value.args[0][flag] == value


def test_single_images_are_named_after_their_digits(demo, tmp_path):
    demo.extract_images(tmp_path / 'images')
    names = sorted(path.name for path in (tmp_path / 'images').iterdir())
    assert len(names) == 20
    assert {name[5] for name in names} == set('0123456789')
