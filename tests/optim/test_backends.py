"""Optimizers of optional packages: listed always, made where the package is there, explained where it is not."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from tests import reference
from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, list_optimizers

NAMES = list_optimizers(['bnb*', 'fused*'])


@pytest.fixture
def packages(monkeypatch):
    """Stand-ins for bitsandbytes and apex whose classes note what they are called with."""
    for package, inner in (('bitsandbytes', 'optim'), ('apex', 'optimizers')):
        outer, module = ModuleType(package), ModuleType(f'{package}.{inner}')
        paths = (str(get_optimizer_info(name).opt_class) for name in NAMES)
        for class_name in {path.rpartition('.')[2] for path in paths if path.startswith(package)}:
            setattr(module, class_name, type(class_name, (torch.optim.SGD,), {'__init__': note}))
        setattr(outer, inner, module)
        monkeypatch.setitem(sys.modules, package, outer)
        monkeypatch.setitem(sys.modules, f'{package}.{inner}', module)


def note(self, params, **args):
    """A constructor that keeps its arguments."""
    torch.optim.SGD.__init__(self, params, lr=args['lr'])
    self.args = args


def test_all_names_of_the_reference_are_listed():
    assert list_optimizers() == sorted(reference.load('training')['optimizers'])
    assert len(NAMES) == 15


@pytest.mark.parametrize('name', NAMES)
def test_the_package_makes_it_with_the_arguments_of_its_name(packages, name):
    info = get_optimizer_info(name)
    optimizer = create_optimizer_v2(
        [nn.Parameter(torch.ones(2))],
        opt=name,
        lr=0.1,
        weight_decay=0.2,
        momentum=0.3,
        eps=1e-5,
        betas=(0.5, 0.6, 0.7),
    )
    assert f'{type(optimizer).__name__}' == str(info.opt_class).rpartition('.')[2]
    expected = {**(info.defaults or {}), 'lr': 0.1, 'weight_decay': 0.2}
    if info.has_momentum:
        expected['momentum'] = 0.3
    if info.has_eps:
        expected['eps'] = 1e-5
    if info.has_betas:
        expected['betas'] = (0.5, 0.6, 0.7)[: info.num_betas]
    assert optimizer.args == expected


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('bnbadam8bit', ('bitsandbytes.optim.Adam8bit', 'pip install bitsandbytes', 'GPU')),
        ('fusedlamb', ('apex.optimizers.FusedLAMB', 'https://github.com/NVIDIA/apex', 'NVIDIA GPUs')),
    ],
)
def test_without_the_package_the_error_says_what_to_install(monkeypatch, name, words):
    for package in ('bitsandbytes', 'apex'):
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ImportError) as error:
        create_optimizer_v2([nn.Parameter(torch.ones(2))], opt=name, lr=0.1)
    assert all(word in str(error.value) for word in (name, *words))


def test_a_package_too_old_for_a_class_is_an_import_error_too(packages, monkeypatch):
    monkeypatch.delattr(sys.modules['bitsandbytes.optim'], 'AdEMAMix')
    with pytest.raises(ImportError, match=r"'bnbademamix' is bitsandbytes\.optim\.AdEMAMix.*AdEMAMix"):
        get_optimizer_class('bnbademamix')
