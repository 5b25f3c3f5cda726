"""torch.hub finds every model in hubconf.py; reading that file imports no network."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import timm
from timm.models import get_deprecated_models

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hubconf():
    spec = importlib.util.spec_from_file_location('hubconf.py', ROOT / 'hubconf.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name, **kwargs):
    return torch.hub.load(str(ROOT), name, source='local', **kwargs)


def test_torch_hub_lists_every_model_and_every_old_name(monkeypatch):
    monkeypatch.setattr(torch.hub, '_get_cache_or_reload', lambda *args, **kwargs: str(ROOT))
    assert set(torch.hub.list('owner/repository')) == {*timm.list_models(), *get_deprecated_models()}


def test_torch_hub_builds_a_model_with_the_callers_arguments():
    model = load('test_resnet', num_classes=7, in_chans=1)
    assert type(model) is timm.models.ResNet
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


def test_torch_hub_gives_the_registered_function(hubconf):
    assert hubconf.resnet50 is timm.model_entrypoint('resnet50')


def test_an_old_name_warns_and_builds_todays_model():
    with pytest.warns(UserWarning, match='deprecated model name tv_resnet34'):
        load('tv_resnet34', num_classes=0, device='meta')


def test_a_name_that_is_no_model_is_refused(hubconf):
    with pytest.raises(RuntimeError, match='Cannot find callable no_such_net in hubconf'):
        load('no_such_net')
    with pytest.raises(AttributeError, match="no entry point 'no_such_net'"):
        hubconf.no_such_net  # noqa: B018
    assert not hasattr(hubconf, '_private')


def test_its_needs_are_stated_for_torch_hub(hubconf):
    assert hubconf.dependencies == ['torch']


def test_reading_it_and_listing_names_imports_no_torch():
    ask = 'import sys, hubconf; assert "resnet50" in dir(hubconf); print("torch" in sys.modules)'
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', ask], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == 'False\n'
