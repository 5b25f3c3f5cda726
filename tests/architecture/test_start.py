"""Names can be asked for without torch, and quickly."""

import json
import os
import subprocess
import sys

import pytest

LIMIT_CPU_SECONDS = 0.3

ASK = """
import json, sys, time
import timm
from timm import models
names = timm.list_models('*')
timm.list_models('*', pretrained=True, exclude_filters='resnet*')
timm.list_modules()
timm.is_model('resnet50.a1_in1k'), timm.is_model('no_such_model'), timm.is_model_pretrained('resnet50')
timm.get_pretrained_cfg('resnet50').to_dict()
models.get_deprecated_models(), models.get_arch_pretrained_cfgs('resnet50'), dir(timm), dir(models)
seconds = time.process_time()
started = time.perf_counter()
for _ in range(100):
    timm.list_models()
print(json.dumps({
    'modules': sorted(sys.modules),
    'seconds': seconds,
    'cached': (time.perf_counter() - started) / 100,
    'names': len(names),
}))
"""


@pytest.fixture(scope='module')
def answer():
    """What a fresh interpreter says that only asks for names; the second run, when all files are compiled."""
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONDONTWRITEBYTECODE'}
    command = [sys.executable, '-W', 'error', '-c', ASK]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return json.loads(done.stdout)


@pytest.mark.parametrize('package', ['torch', 'torchvision', 'numpy', 'PIL', 'huggingface_hub', 'safetensors', 'yaml'])
def test_asking_for_names_does_not_import(package, answer):
    assert answer['names']
    assert package not in answer['modules']


def test_asking_for_names_imports_no_network(answer):
    ours = {name for name in answer['modules'] if name.startswith('timm.models.')}
    assert ours == {'timm.models._namespace', 'timm.models._pretrained', 'timm.models._registry'}


def test_asking_for_names_is_quick(answer):
    assert answer['seconds'] < LIMIT_CPU_SECONDS
    assert answer['cached'] < 1e-4


def test_an_import_alone_reads_no_family():
    ask = 'import sys, timm, timm.models, timm.catalog; print(*(n for n in sys.modules if n.startswith("timm")))'
    done = subprocess.run([sys.executable, '-W', 'error', '-c', ask], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {
        'timm',
        'timm.version',
        'timm.models',
        'timm.models._namespace',
        'timm.catalog',
        'timm.catalog._constants',
        'timm.catalog._schema',
    }


def test_rooms_are_reached_at_first_touch():
    ask = 'import timm; timm.utils.model.freeze_batch_norm_2d; timm.data; timm.layers; timm.models.resnet.ResNet'
    subprocess.run([sys.executable, '-W', 'error', '-c', ask], check=True)
