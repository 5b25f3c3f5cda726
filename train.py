#!/usr/bin/env python3
"""Train a model on a folder of images or a named dataset.

    python train.py --data-dir FOLDER --model resnet50 --num-classes 10 --epochs 20
    torchrun --nproc-per-node 4 train.py --data-dir FOLDER --model resnet50

`--help` lists the options, which may also come from a YAML file (`--config FILE`). A run has a folder of its own below
output/train: its options (args.yaml), checkpoints, a row of figures for each epoch (summary.csv) and their curves.
"""

import sys

from timm.engine.commands import launch
from timm.engine.scripts import importable

__getattr__ = importable('train', __name__)

if __name__ == '__main__':
    sys.exit(launch('train'))
