"""Narrows the layers of a network to the widths that a published pruning left."""

import copy
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ['adapt_model_from_file', 'adapt_model_from_string', 'extract_layer', 'set_layer']

Shapes = Mapping[str, tuple[int, ...]]


def _path(model: nn.Module, layer: str) -> list[str]:
    """The parts of a dotted path, without the 'module' that a wrapper may have put before it."""
    names = layer.split('.')
    return names[1:] if names[0] == 'module' and not hasattr(model, 'module') else names


def extract_layer(model: nn.Module, layer: str) -> Any:
    """What lies at a dotted path: a module, a parameter, or where the path leads nowhere the last thing on it."""
    found: Any = model
    for name in _path(model, layer):
        found = getattr(found, name, found)
    return found


def set_layer(model: nn.Module, layer: str, val: nn.Module) -> None:
    """Put `val` in the place of the module at a dotted path.

    Raises:
        AttributeError: There is no such place.
    """
    *path, name = _path(model, layer)
    parent = model.get_submodule('.'.join(path))
    if name not in parent._modules:
        raise AttributeError(f"{type(model).__name__} has no module '{layer}' to replace.")
    setattr(parent, name, val)


def _parse(model_string: str) -> dict[str, tuple[int, ...]]:
    """Name -> shape from 'name:[sizes]' entries with '***' between them.

    Raises:
        ValueError: An entry has another form.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for entry in filter(None, map(str.strip, model_string.split('***'))):
        match = re.fullmatch(r'([\w.]+)\s*:\s*\[([\d,\s]*)\]', entry)
        if match is None:
            raise ValueError(f"'{entry[:60]}' is no entry of a pruning: 'name:[sizes]' is, with '***' between entries.")
        shapes[match[1]] = tuple(int(size) for size in match[2].split(',') if size.strip())
    return shapes


def _resized(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """An unfilled tensor or parameter like `tensor`, of another shape."""
    data = torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
    return nn.Parameter(data, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data


def _target_sizes(name: str, module: nn.Module, shapes: Shapes, stems: tuple[str, ...]) -> dict[str, int] | None:
    """New values of the attributes that say how wide a layer is; None for a layer without widths."""
    if not isinstance(module, (nn.Conv2d, nn.modules.batchnorm._BatchNorm, nn.Linear)):
        return None
    shape = shapes.get(f'{name}.weight')
    if shape is None:
        raise ValueError(f"The pruning has no entry '{name}.weight': it was made for another network.")
    if isinstance(module, nn.Conv2d):
        if module.groups > 1:  # depthwise
            return {'in_channels': shape[0], 'out_channels': shape[0], 'groups': shape[0]}
        return {'in_channels': module.in_channels if name in stems else shape[1], 'out_channels': shape[0]}
    if isinstance(module, nn.Linear):
        return {'in_features': shape[1]}  # the number of classes is the caller's
    return {'num_features': shape[0]}


def _shape_of(module: nn.Module, name: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Shape of a layer's tensor `name` under new widths."""
    old: Any = module
    if isinstance(module, nn.Conv2d) and name == 'weight':
        groups = sizes.get('groups', 1)
        return sizes['out_channels'], sizes['in_channels'] // groups, *module.kernel_size
    if isinstance(module, nn.Linear) and name == 'weight':
        return module.out_features, sizes['in_features']
    if isinstance(module, nn.Linear):
        return (module.out_features,)
    if getattr(old, name).ndim == 0:
        return ()
    return (sizes.get('out_channels') or sizes['num_features'],)


def adapt_model_from_string(parent_module: nn.Module, model_string: str) -> nn.Module:
    """A copy of a network whose convolutions, batch norms and linear layers have the widths of a pruning.

    What the copy's layers hold is random. Grouped convolutions become depthwise; the stem keeps its input channels and
    a linear layer its outputs. The copy is in evaluation mode, and so is the network itself afterwards.

    Args:
        model_string: 'name:[sizes]' of each weight, with '***' between entries.

    Raises:
        ValueError: The string has another form, or no entry for one of the layers.
    """
    shapes = _parse(model_string)
    stems = (getattr(parent_module, 'pretrained_cfg', None) or {}).get('first_conv') or ()
    stems = (stems,) if isinstance(stems, str) else tuple(stems)
    plan: dict[str, dict[str, int]] = {}
    replaced: dict[int, Any] = {}  # what deepcopy puts in the place of the tensors it meets
    for name, module in parent_module.named_modules():
        sizes = _target_sizes(name, module, shapes, stems)
        if sizes is None:
            continue
        plan[name] = sizes
        for tensors in (module._parameters, module._buffers):
            for key, tensor in tensors.items():
                if tensor is not None:
                    replaced[id(tensor)] = _resized(tensor, _shape_of(module, key, sizes))
    adapted = copy.deepcopy(parent_module, replaced)
    for name, sizes in plan.items():
        layer: Any = adapted.get_submodule(name)
        for attribute, value in sizes.items():
            setattr(layer, attribute, value)
        layer.reset_parameters()
    _describe(adapted, plan)
    parent_module.eval()
    return adapted.eval()


def _describe(model: Any, plan: Mapping[str, Mapping[str, int]]) -> None:
    """Bring what a network says of its widths up to date."""
    linear = [sizes['in_features'] for sizes in plan.values() if 'in_features' in sizes]
    if linear and hasattr(model, 'num_features'):
        if getattr(model, 'head_hidden_size', None) == model.num_features:
            model.head_hidden_size = linear[-1]
        model.num_features = linear[-1]
    infos = {info['module']: info for info in getattr(model, 'feature_info', None) or ()}
    width = 0
    for name, _ in model.named_modules():
        sizes = plan.get(name, {})
        width = sizes.get('out_channels') or sizes.get('num_features') or width
        # a tap's width is that of the last layer inside it, or before it where it holds none
        for tap, info in infos.items():
            if width and (name == tap or name.startswith(f'{tap}.')):
                info['num_chs'] = width


def adapt_model_from_file(parent_module: nn.Module, model_variant: str) -> nn.Module:
    """`adapt_model_from_string` with the published pruning of an architecture.

    Raises:
        FileNotFoundError: There is none of that name.
    """
    folder = resources.files('timm.models') / '_pruned'
    file = folder / f'{model_variant}.txt'
    if not file.is_file():
        known = sorted(entry.name.removesuffix('.txt') for entry in folder.iterdir() if entry.name.endswith('.txt'))
        raise FileNotFoundError(f"There is no pruning of '{model_variant}', only of {', '.join(known)}.")
    return adapt_model_from_string(parent_module, file.read_text())
