"""What is heavy or optional is imported when it is used: not by `import timm`, and not by building a model."""

import subprocess
import sys

import pytest

# torch._dynamo costs a second, torchvision and huggingface_hub half of one each.
HEAVY = ('huggingface_hub', 'matplotlib', 'torch._dynamo', 'torchvision', 'wandb')
BUILD = 'timm.create_model("test_resnet"); timm.create_model("test_vit", features_only=True)'
ROOMS = 'import timm.convert, timm.layers, timm.loss, timm.models, timm.optim, timm.scheduler, timm.task, timm.utils'
FAMILIES = 'import importlib; [importlib.import_module(f"timm.models.{name}") for name in timm.list_modules()]'
TOOLS = 'timm.models.load_checkpoint, timm.models.push_to_hf_hub, timm.optim.create_optimizer_v2, timm.utils.ModelEmaV3'


WORK = {'import': '', 'rooms': ROOMS, 'build': BUILD, 'families': FAMILIES, 'tools': TOOLS}


@pytest.mark.parametrize('work', WORK.values(), ids=WORK)
def test_nothing_heavy_is_imported(work):
    # What torch imports by itself is not ours to answer for.
    ask = f"""
import sys, torch
before = set(sys.modules)
import timm
{work}
print(*(name for name in {HEAVY!r} if name in sys.modules and name not in before))
"""
    done = subprocess.run([sys.executable, '-c', ask], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
