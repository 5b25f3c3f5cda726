#!/usr/bin/env python3
"""Measure the accuracy of a model, or of many, on a dataset.

    python validate.py --data-dir FOLDER --model resnet50 --pretrained
    python validate.py --data-dir FOLDER --model resnet50 --checkpoint output/train/NAME/model_best.pth.tar

`--model` may be a wildcard, `all`, or a text file of names, and `--checkpoint` a folder; `--help` lists the options.
"""

import sys

from timm.engine.commands import launch
from timm.engine.scripts import importable

__getattr__ = importable('validate', __name__)

if __name__ == '__main__':
    sys.exit(launch('validate'))
