"""Parameter groups: which parameters decay, and by how much each layer's learning rate shrinks with its depth."""

import fnmatch
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from timm.models._manipulate import group_parameters

__all__ = ['auto_group_layers', 'bare_model', 'param_groups_layer_decay', 'param_groups_weight_decay']

_logger = logging.getLogger(__name__)

ItemT = TypeVar('ItemT')


def bare_model(model: nn.Module) -> nn.Module:
    """The model inside the wrappers of torch.compile and DistributedDataParallel, which rename its parameters."""
    while True:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, '_orig_mod', None), nn.Module):
            model = model._orig_mod  # pyright: ignore[reportAssignmentType]
        else:
            return model


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _trainable(
    model: nn.Module,
    no_weight_decay_list: Collection[str],
    fallback_list: Collection[str],
    fallback_no_weight_decay: bool,
) -> Iterator[tuple[str, nn.Parameter, bool, bool]]:
    """Every trainable parameter: name, itself, is its name exempt from decay, is a fallback rule to update it."""
    for name, param in model.named_parameters():
        if param.requires_grad:
            exempt = _matches(name, no_weight_decay_list)
            yield name, param, exempt, _matches(name, fallback_list) or (fallback_no_weight_decay and exempt)


def param_groups_weight_decay(
    model: nn.Module,
    weight_decay: float | None = 1e-5,
    weight_decay_exclude_1d: bool = True,
    no_weight_decay_list: Collection[str] = (),
    fallback_list: Collection[str] = (),
    fallback_no_weight_decay: bool = False,
) -> list[dict[str, Any]]:
    """Groups without and with weight decay, then the same two for the fallback rule; empty ones are left out.

    Args:
        weight_decay_exclude_1d: Vectors, scalars and whatever is called bias do not decay.
        no_weight_decay_list: Names, or patterns as in a shell, that do not decay either.
        fallback_list: Names or patterns that an optimizer with two rules updates by its second one.
        fallback_no_weight_decay: The names in `no_weight_decay_list` belong to these too.
    """
    decay = weight_decay or 0.0
    groups: dict[tuple[bool, float], dict[str, Any]] = {}
    for key in itertools.product((False, True), dict.fromkeys((0.0, decay))):
        groups[key] = {'params': [], 'weight_decay': key[1], **({'use_fallback': True} if key[0] else {})}
    for name, param, exempt, fallback in _trainable(
        bare_model(model), no_weight_decay_list, fallback_list, fallback_no_weight_decay
    ):
        exempt = exempt or (weight_decay_exclude_1d and (param.ndim <= 1 or name.endswith('.bias')))
        groups[fallback, 0.0 if exempt else decay]['params'].append(param)
    return [group for group in groups.values() if group['params']]


def _group(it: Iterable[ItemT], size: int) -> Iterator[tuple[ItemT, ...]]:
    """Cut `it` into tuples of `size`; the last may be shorter."""
    items = iter(it)
    return iter(lambda: tuple(itertools.islice(items, size)), ())


def auto_group_layers(model: nn.Module, layers_per_group: int = 12, num_groups: int | None = None) -> dict[str, int]:
    """Layer numbers by name for a model without a `group_matcher`: runs of parameters, then the classifier.

    The classifier is what the model's pretrained_cfg names; a model that names none is all one layer.

    Args:
        layers_per_group: Parameters to a layer.
        num_groups: Make about this many layers before the classifier instead.
    """
    cfg = getattr(model, 'pretrained_cfg', None) or {}
    classifiers = cfg.get('classifier') if isinstance(cfg, dict) else getattr(cfg, 'classifier', None)
    names = [name for name, _ in model.named_parameters()]
    if not classifiers:
        return dict.fromkeys(names, 0)
    heads = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
    head = [name for name in names if any(name == h or name.startswith(f'{h}.') for h in heads)]
    trunk = [name for name in names if name not in head]
    size = layers_per_group if num_groups is None else max(1, -(-len(trunk) // num_groups))
    layers = list(_group(trunk, size))
    numbered = {name: number for number, layer in enumerate(layers) for name in layer}
    return numbered | dict.fromkeys(head, len(layers))


_layer_map = auto_group_layers


def _layer_ids(model: nn.Module) -> dict[str, int]:
    """Parameter name -> depth, from the model's own `group_matcher` where it has one."""
    matcher: Callable[..., Any] | None = getattr(model, 'group_matcher', None)
    if matcher is not None:
        return group_parameters(model, matcher(coarse=False), reverse=True)
    return auto_group_layers(model)


def _log_groups(model: nn.Module, groups: Iterable[dict[str, Any]]) -> None:
    """Log each group with the names of its parameters."""
    names = {param: name for name, param in model.named_parameters()}
    for group in groups:
        traits = ', '.join(f'{trait}={value}' for trait, value in group.items() if trait != 'params')
        _logger.info('Parameter group %s: %s', traits, ' '.join(names[param] for param in group['params']))


def param_groups_layer_decay(
    model: nn.Module,
    weight_decay: float = 0.05,
    no_weight_decay_list: Collection[str] = (),
    fallback_list: Collection[str] = (),
    fallback_no_weight_decay: bool = False,
    weight_decay_exclude_1d: bool = True,
    layer_decay: float = 0.75,
    min_scale: float = 0.0,
    no_opt_scale: float | None = None,
    verbose: bool = False,
) -> list[dict[str, Any]]:
    """Groups with `lr_scale` = layer_decay^(layers above), split by weight decay, in order of first appearance.

    Args:
        weight_decay_exclude_1d: Vectors and scalars do not decay.
        no_weight_decay_list: Names, or patterns as in a shell, that do not decay either.
        fallback_list: Names or patterns that an optimizer with two rules updates by its second one.
        fallback_no_weight_decay: The names in `no_weight_decay_list` belong to these too.
        min_scale: No layer's scale falls below it.
        no_opt_scale: Layers whose scale would be smaller are frozen (requires_grad=False) and in no group.
        verbose: Log the groups with the names of their parameters.

    Source: Bao et al., BEiT, arXiv:2106.08254, appendix; Clark et al., ELECTRA, arXiv:2003.10555, section 3.1.
    """
    model = bare_model(model)
    layers = _layer_ids(model)
    top = max(layers.values(), default=0)
    if top == 0:
        _logger.warning(
            'layer_decay=%s has no effect: all parameters are in one layer. Give the model a group_matcher(), or a '
            'pretrained_cfg whose "classifier" names its head.',
            layer_decay,
        )
    scales = [layer_decay ** (top - layer) for layer in range(top + 1)]
    if no_opt_scale is not None:
        for name, param in model.named_parameters():
            if scales[layers[name]] < no_opt_scale:
                param.requires_grad = False

    groups: dict[tuple[int, bool, bool], dict[str, Any]] = {}
    for name, param, exempt, fallback in _trainable(
        model, no_weight_decay_list, fallback_list, fallback_no_weight_decay
    ):
        layer = layers[name]
        exempt = exempt or (weight_decay_exclude_1d and param.ndim <= 1)
        key = (layer, exempt, fallback)
        if key not in groups:
            groups[key] = {
                'lr_scale': max(min_scale, scales[layer]),
                'weight_decay': 0.0 if exempt else weight_decay,
                'params': [],
            }
            if fallback:
                groups[key]['use_fallback'] = True
        groups[key]['params'].append(param)
    if verbose:
        _log_groups(model, groups.values())
    return list(groups.values())
