"""The old path of timm.optim's functions."""

import warnings

from timm.models._manipulate import group_parameters

from ._optim_factory import create_optimizer, create_optimizer_v2, optimizer_kwargs
from ._param_groups import param_groups_layer_decay, param_groups_weight_decay

__all__ = [
    'create_optimizer',
    'create_optimizer_v2',
    'group_parameters',
    'optimizer_kwargs',
    'param_groups_layer_decay',
    'param_groups_weight_decay',
]

warnings.warn(f'Importing from {__name__} is deprecated; timm.optim has the same names.', FutureWarning, stacklevel=2)
