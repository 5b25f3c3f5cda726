"""Training and validation on batches of patches, with a small network that takes them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from timm.engine.checkpoint import read_checkpoint
from timm.engine.commands import launch
from timm.models import register_model

SHARED = ['--num-classes', '2', '--device', 'cpu', '-j', '0', '-b', '4', '--naflex-loader']
TRAIN = [*SHARED, '--epochs', '2', '--lr', '0.1', '--warmup-epochs', '0', '--naflex-train-seq-lens', '4', '9']


class PatchNet(nn.Module):
    """The mean over the patches that are there, classified; a size it was not made for is resized to its own."""

    def __init__(self, num_classes: int = 1000, patch_size: int = 8) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embeds = nn.Linear(patch_size * patch_size * 3, 8)
        self.embeds.patch_size = (patch_size, patch_size)
        self.head = nn.Linear(8, num_classes)
        self.pretrained_cfg = {'input_size': (3, 32, 32), 'mean': (0.5,) * 3, 'std': (0.5,) * 3}

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        patches, valid = x['patches'], x['patch_valid'].unsqueeze(-1)
        if patches.ndim == 5:
            own = self.embeds.patch_size
            images = patches.flatten(0, 1).permute(0, 3, 1, 2)
            resized = nn.functional.interpolate(images, own, mode='area').permute(0, 2, 3, 1)
            patches = resized.unflatten(0, patches.shape[:2])
        x = self.embeds(patches.flatten(2)) * valid
        return self.head(x.sum(1) / valid.sum(1))


@register_model
def tiny_patch_net(pretrained: bool = False, **kwargs) -> PatchNet:
    del pretrained
    known = {name: value for name, value in kwargs.items() if name in ('num_classes', 'patch_size')}
    torch.manual_seed(0)
    return PatchNet(**known)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Red and blue images of different proportions."""
    root = tmp_path_factory.mktemp('data')
    noise = np.random.default_rng(0)
    for split, count in (('train', 8), ('validation', 3)):
        for channel, name in enumerate(('blue', 'red')):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = noise.integers(0, 100, (24 + 8 * (i % 3), 40, 3), dtype=np.uint8)
                pixels[..., 2 - 2 * channel] += 150
                Image.fromarray(pixels).save(root / split / name / f'{i}.png')
    return root


def result_of(output: str):
    return json.loads(output.rpartition('--result\n')[2])


def train(data: Path, folder: Path, *more: str) -> int:
    names = ['--output', str(folder), '--experiment', 'run']
    return launch('train', [str(data), '--model', 'tiny_patch_net', *TRAIN, *names, *more])


def test_a_network_of_patches_is_trained_and_validated(data, tmp_path, capsys):
    assert train(data, tmp_path, '--epochs', '8', '--no-aug') == 0
    rows = {row['epoch']: row for row in result_of(capsys.readouterr().out)}
    assert rows[7]['train']['loss'] < rows[0]['train']['loss']
    path = str(tmp_path / 'run' / 'last.pth.tar')
    options = [*SHARED, '--model', 'tiny_patch_net', '--checkpoint', path, '--naflex-max-seq-len', '30']
    assert launch('validate', [str(data), *options]) == 0
    assert result_of(capsys.readouterr().out)['top1'] == 100


@pytest.mark.parametrize(
    'more',
    [
        '--naflex-patch-sizes 8 12 --naflex-patch-size-probs 1 2',
        '--mixup 0.3 --cutmix 0.5 --reprob 0.8 --amp --amp-dtype bfloat16 --model-ema',
        '--no-prefetcher --grad-accum-steps 2 --naflex-loss-scale sqrt --task multilabel',
        '--naflex-loss-scale none --model-dtype bfloat16 --channels-last --mixup 0.3 --task multilabel',
    ],
)
def test_patches_go_with_other_options(data, tmp_path, more):
    assert train(data, tmp_path, *more.split()) == 0
    assert read_checkpoint(tmp_path / 'run' / 'last.pth.tar')['epoch'] == 1


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ('--model test_vit --img-size 32', 'VisionTransformer does not take'),
        ('--aug-splits 2', '--aug-splits is for images'),
        ('--aug-repeats 2', '--aug-repeats is for images'),
        ('--train-img-sizes 32 48', '--train-img-sizes is for images'),
        ('--tta 2', '--tta is for images'),
        ('--fast-resize', '--fast-resize is for images'),
        ('--reduced-decode', '--reduced-decode is for images'),
        ('--save-images', '--save-images is for images'),
        ('--kd-model-name test_vit', '--kd-model-name is for images'),
        ('--mixup 1 --mixup-mode elem', '--mixup-mode is for images'),
        ('--naflex-patch-size-probs 1 2', 'patch_size_choices'),
    ],
)
def test_what_does_not_go_with_patches_says_so(data, tmp_path, capsys, more, message):
    assert train(data, tmp_path, *more.split()) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert message in line
