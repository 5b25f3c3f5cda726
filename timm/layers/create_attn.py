"""The factory of attention layers that a convolutional block takes by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from ._names import unknown_name
from .bottleneck_attn import BottleneckAttn
from .cbam import CbamModule, LightCbamModule
from .coord_attn import CoordAttn, EfficientLocalAttn, SimpleCoordAttn, StripAttn
from .eca import CecaModule, EcaModule
from .gather_excite import GatherExcite
from .global_context import GlobalContext
from .halo_attn import HaloAttn
from .lambda_layer import LambdaLayer
from .non_local_attn import BatNonLocalAttn, NonLocalAttn
from .selective_kernel import SelectiveKernel
from .split_attn import SplitAttn
from .squeeze_excite import EffectiveSEModule, SEModule
from .typing import LayerType

__all__ = ['create_attn', 'get_attn']

_ATTN_LAYERS: dict[str, Callable[..., nn.Module]] = {
    'se': SEModule,
    'ese': EffectiveSEModule,
    'eca': EcaModule,
    'ecam': partial(EcaModule, use_mlp=True),
    'ceca': CecaModule,
    'ge': GatherExcite,
    'gc': GlobalContext,
    'gca': partial(GlobalContext, fuse_add=True, fuse_scale=False),
    'cbam': CbamModule,
    'lcbam': LightCbamModule,
    'sk': SelectiveKernel,
    'splat': SplitAttn,
    'bottleneck': BottleneckAttn,
    'halo': HaloAttn,
    'lambda': LambdaLayer,
    'nl': NonLocalAttn,
    'bat': BatNonLocalAttn,
    'coord': CoordAttn,
    'scoord': SimpleCoordAttn,
    'ela': EfficientLocalAttn,
    'strip': StripAttn,
}


def get_attn(attn_type: LayerType | bool | None) -> Callable[..., nn.Module] | None:
    """The attention layer of that name.

    Args:
        attn_type: True means 'se'; None, False and '' mean none; what is not a name is returned as it is.

    Raises:
        ValueError: The name is not known.
        TypeError: It is no name, flag, class or function.
    """
    if not attn_type:
        return None
    if attn_type is True:
        return SEModule
    if not isinstance(attn_type, str):
        if not callable(attn_type):
            raise TypeError(f"attn_type={attn_type!r} is no attention: use a class, or a name such as 'se'.")
        return attn_type
    name = attn_type.lower()
    if name not in _ATTN_LAYERS:
        raise unknown_name('attention', attn_type, sorted(_ATTN_LAYERS))
    return _ATTN_LAYERS[name]


def create_attn(attn_type: LayerType | bool | None, channels: int, **kwargs: Any) -> nn.Module | None:
    """The attention layer of that name for so many channels, None where `get_attn` finds none.

    Args:
        kwargs: Of the layer.
    """
    attn = get_attn(attn_type)
    return None if attn is None else attn(channels, **kwargs)
