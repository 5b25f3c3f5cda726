"""Entry points for `torch.hub`: every model name, found when it is asked for.

    torch.hub.load('path/to/checkout', 'resnet50', source='local', pretrained=True)
    torch.hub.list('owner/repository')

torch.hub looks a name up in the `dir()` of this module, and takes every callable there without a leading underscore for
an entry point. So `__dir__` names the models, and whatever is imported here has an underscore.
"""

import sys as _sys
from collections.abc import Callable as _Callable
from typing import Any as _Any

import timm as _timm
from timm.models import get_deprecated_models as _old_names

dependencies = ['torch']


def __getattr__(name: str) -> _Callable[..., _Any]:
    if name.startswith('_') or not _timm.is_model(name):
        raise AttributeError(f'hubconf.py has no entry point {name!r}', name=name, obj=_sys.modules.get(__name__))
    return _timm.model_entrypoint(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_timm.list_models(), *_old_names()})
