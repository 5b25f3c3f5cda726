"""Old path of `timm.layers`, and of every file in it."""

import importlib
import pkgutil
import sys

import timm.layers
from timm.layers import *  # noqa: F403
from timm.layers import __all__ as __all__
from timm.layers import _assert as _assert
from timm.layers import _float_to_int as _float_to_int
from timm.models._moved import warn_moved

for _file in pkgutil.iter_modules(timm.layers.__path__):
    if not _file.name.startswith('_'):
        _module = importlib.import_module(f'timm.layers.{_file.name}')
        sys.modules[f'{__name__}.{_file.name}'] = _module
        globals().setdefault(_file.name, _module)  # functions such as conv2d_same are named like their file

warn_moved(__name__, 'timm.layers')
