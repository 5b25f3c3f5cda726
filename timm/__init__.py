"""timm: image models, and what it takes to train, use and export them.

Nothing is imported before it is used: `timm.models`, `timm.data` and the rest load at first touch, and names and
weights can be listed without torch.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from timm import data as data
    from timm import layers as layers
    from timm import loss as loss
    from timm import models as models
    from timm import optim as optim
    from timm import scheduler as scheduler
    from timm import task as task
    from timm import utils as utils
    from timm.layers import is_exportable as is_exportable
    from timm.layers import is_scriptable as is_scriptable
    from timm.layers import set_exportable as set_exportable
    from timm.layers import set_scriptable as set_scriptable
    from timm.models._factory import create_model as create_model
    from timm.models._registry import get_pretrained_cfg as get_pretrained_cfg
    from timm.models._registry import get_pretrained_cfg_value as get_pretrained_cfg_value
    from timm.models._registry import is_model as is_model
    from timm.models._registry import is_model_pretrained as is_model_pretrained
    from timm.models._registry import list_models as list_models
    from timm.models._registry import list_modules as list_modules
    from timm.models._registry import list_pretrained as list_pretrained
    from timm.models._registry import model_entrypoint as model_entrypoint

_ROOMS = ('catalog', 'convert', 'data', 'engine', 'layers', 'loss', 'models', 'optim', 'scheduler', 'task', 'utils')
_HOMES = {
    'create_model': 'timm.models._factory',
    'get_pretrained_cfg': 'timm.models._registry',
    'get_pretrained_cfg_value': 'timm.models._registry',
    'is_exportable': 'timm.layers',
    'is_model': 'timm.models._registry',
    'is_model_pretrained': 'timm.models._registry',
    'is_scriptable': 'timm.layers',
    'list_models': 'timm.models._registry',
    'list_modules': 'timm.models._registry',
    'list_pretrained': 'timm.models._registry',
    'model_entrypoint': 'timm.models._registry',
    'set_exportable': 'timm.layers',
    'set_scriptable': 'timm.layers',
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f'{__name__}.{name}')
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'", name=name, obj=sys.modules[__name__])
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS})
