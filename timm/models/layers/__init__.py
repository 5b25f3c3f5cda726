"""Old path of `timm.layers`."""

import importlib
import sys

from timm.layers import *  # noqa: F403
from timm.layers import _assert as _assert
from timm.layers import _float_to_int as _float_to_int
from timm.models._moved import warn_moved

# files that used to lie in this folder, under the names other projects import them by
for _name in (
    'activations',
    'attention_pool2d',
    'classifier',
    'conv2d_same',
    'drop',
    'helpers',
    'norm',
    'patch_embed',
    'std_conv',
    'weight_init',
):
    sys.modules[f'{__name__}.{_name}'] = importlib.import_module(f'timm.layers.{_name}')
del _name

warn_moved(__name__, 'timm.layers')
