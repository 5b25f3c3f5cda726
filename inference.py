#!/usr/bin/env python3
"""Predict the classes of the images in a folder.

    python inference.py --data-dir FOLDER --model resnet50 --pretrained --topk 5 --results-format csv json

`--help` lists the options.
"""

import sys

from timm.engine.commands import launch
from timm.engine.scripts import importable

__getattr__ = importable('predict', __name__)

if __name__ == '__main__':
    sys.exit(launch('predict', program='inference.py'))
