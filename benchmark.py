#!/usr/bin/env python3
"""Measure how fast models predict and train, and count what they compute.

    python benchmark.py --model resnet50 --bench inference --batch-size 64
    python benchmark.py --model-list 'convnext_*' --results-file results.csv

`--help` lists the options.
"""

import sys

from timm.engine.commands import launch
from timm.engine.scripts import importable

__getattr__ = importable('benchmark', __name__)

if __name__ == '__main__':
    sys.exit(launch('benchmark'))
