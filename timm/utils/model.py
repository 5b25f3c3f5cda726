"""Tools for models: unwrapping, freezing, and statistics of activations."""

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from timm.layers._checks import BadValue
from timm.layers.batch_norm_act import is_frozen
from timm.layers.norm_act import BatchNormAct2d as BatchNormAct2d  # published here too, like the next two
from timm.layers.norm_act import FrozenBatchNormAct2d as FrozenBatchNormAct2d
from timm.layers.norm_act import SyncBatchNormAct as SyncBatchNormAct
from timm.layers.norm_act import freeze_batch_norm_2d, unfreeze_batch_norm_2d
from timm.models._manipulate import reparameterize_model as _reparameterize

from .model_ema import ModelEma

__all__ = [
    'ActivationStatsHook',
    'avg_ch_var',
    'avg_ch_var_residual',
    'avg_sq_ch_mean',
    'extract_spp_stats',
    'freeze',
    'freeze_batch_norm_2d',
    'get_state_dict',
    'reparameterize_model',
    'unfreeze',
    'unfreeze_batch_norm_2d',
    'unwrap_model',
]

HookFn = Callable[[nn.Module, Any, Any], float]


def unwrap_model(model: Any) -> Any:
    """The model itself, out of averages, data parallelism and torch.compile, however they are nested."""
    while True:
        if isinstance(model, ModelEma):
            model = model.ema
        elif hasattr(model, 'module') and isinstance(model.module, nn.Module):
            model = model.module
        elif hasattr(model, '_orig_mod'):
            model = model._orig_mod
        else:
            return model


def get_state_dict(model: Any, unwrap_fn: Callable[[Any], nn.Module] = unwrap_model) -> dict[str, Any]:
    """State dict of the model inside `model`, with names as the model itself has them."""
    return unwrap_fn(model).state_dict()


def reparameterize_model(model: nn.Module, inplace: bool = False) -> nn.Module:
    """Merge the branches of blocks that are trained with several, see `timm.models.reparameterize_model`."""
    return _reparameterize(model, inplace=inplace)


def avg_sq_ch_mean(model: nn.Module, input: Any, output: Tensor) -> float:  # noqa: ARG001 - a forward hook's
    """Mean over channels of the squared channel means, of an output (B, C, H, W).

    Source: Brock et al., Characterizing signal propagation, arXiv:2101.08692, section 3.
    """
    return output.mean(dim=(0, 2, 3)).square().mean().item()


def avg_ch_var(model: nn.Module, input: Any, output: Tensor) -> float:  # noqa: ARG001 - a forward hook's
    """Mean over channels of the variance within a channel, of an output (B, C, H, W)."""
    return output.var(dim=(0, 2, 3)).mean().item()


def avg_ch_var_residual(model: nn.Module, input: Any, output: Tensor) -> float:
    """`avg_ch_var` under another name, for hooks on the end of residual branches."""
    return avg_ch_var(model, input, output)


class ActivationStatsHook:
    """Applies functions to the outputs of modules during forward passes and keeps what they return in `stats`.

    Args:
        hook_fn_locs: Patterns, as in a shell, of module names.
        hook_fns: A function (module, input, output) -> number for each pattern.

    Raises:
        ValueError: There are not as many functions as patterns.
    """

    def __init__(self, model: nn.Module, hook_fn_locs: Sequence[str], hook_fns: Sequence[HookFn]) -> None:
        if len(hook_fn_locs) != len(hook_fns):
            raise ValueError(
                f'Please provide `hook_fns` for each `hook_fn_locs`: got {len(hook_fns)} functions for '
                f'{len(hook_fn_locs)} patterns.'
            )
        self.model = model
        self.hook_fn_locs = hook_fn_locs
        self.hook_fns = hook_fns
        self.stats: dict[str, list[float]] = {_name_of(hook_fn): [] for hook_fn in hook_fns}
        for hook_fn_loc, hook_fn in zip(hook_fn_locs, hook_fns, strict=True):
            self.register_hook(hook_fn_loc, hook_fn)

    def register_hook(self, hook_fn_loc: str, hook_fn: HookFn) -> None:
        """Apply `hook_fn` to every module whose name matches `hook_fn_loc`, from now on."""
        found = self.stats.setdefault(_name_of(hook_fn), [])

        def keep(module: nn.Module, args: Any, output: Any) -> None:
            found.append(hook_fn(module, args, output))

        for name, module in self.model.named_modules():
            if fnmatch.fnmatchcase(name, hook_fn_loc):
                module.register_forward_hook(keep)


def _name_of(hook_fn: HookFn) -> str:
    return getattr(hook_fn, '__name__', type(hook_fn).__name__)


def extract_spp_stats(
    model: nn.Module,
    hook_fn_locs: Sequence[str],
    hook_fns: Sequence[HookFn],
    input_shape: Sequence[int] = [8, 3, 224, 224],
) -> dict[str, list[float]]:
    """Statistics of a forward pass of white noise, as signal propagation plots show them.

    Source: Brock et al., Characterizing signal propagation, arXiv:2101.08692, section 3.
    """
    hook = ActivationStatsHook(model, hook_fn_locs, hook_fns)
    model(torch.normal(0.0, 1.0, tuple(input_shape)))
    return hook.stats


def _freeze_unfreeze(
    root_module: nn.Module,
    submodules: Sequence[str] = [],
    include_bn_running_stats: bool = True,
    mode: Literal['freeze', 'unfreeze'] = 'freeze',
) -> None:
    root, frozen = root_module, mode == 'freeze'
    if isinstance(root, nn.modules.batchnorm._BatchNorm) or is_frozen(root):
        raise BadValue(
            f'{type(root).__name__} itself cannot be replaced in place: '
            f'use what timm.utils.model.{mode}_batch_norm_2d returns.'
        )
    names = [submodules] if isinstance(submodules, str) else list(submodules)
    if not names:
        names = [name for name, _ in root.named_children()]
        for param in root.parameters(recurse=False):
            param.requires_grad = not frozen
    for name in names:
        module = root.get_submodule(name)
        for param in module.parameters():
            param.requires_grad = not frozen
        if include_bn_running_stats:
            converted = freeze_batch_norm_2d(module) if frozen else unfreeze_batch_norm_2d(module)
            if converted is not module:
                parent, _, leaf = name.rpartition('.')
                setattr(root.get_submodule(parent), leaf, converted)


def freeze(
    root_module: nn.Module,
    submodules: Sequence[str] = [],
    include_bn_running_stats: bool = True,
) -> None:
    """Stop training, in place: parameters get no gradient, and batch norms keep their statistics.

    Args:
        submodules: Paths of the modules to freeze; without any, all of `root_module`.
        include_bn_running_stats: Replace batch norms by ones with fixed statistics.

    Raises:
        ValueError: `root_module` is a batch norm.
        AttributeError: There is no such submodule.
    """
    _freeze_unfreeze(root_module, submodules, include_bn_running_stats, mode='freeze')


def unfreeze(
    root_module: nn.Module,
    submodules: Sequence[str] = [],
    include_bn_running_stats: bool = True,
) -> None:
    """Undo `freeze`, in place.

    Args:
        submodules: Paths of the modules to train again; without any, all of `root_module`.
        include_bn_running_stats: Replace fixed batch norms by ones that track their statistics.

    Raises:
        ValueError: `root_module` is a batch norm.
        AttributeError: There is no such submodule.
    """
    _freeze_unfreeze(root_module, submodules, include_bn_running_stats, mode='unfreeze')
