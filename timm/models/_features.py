"""What `features_only=True` returns: wrappers that turn a network into a feature pyramid, and the list of its taps."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from timm.layers import Format

from ._manipulate import checkpoint, flatten_modules

__all__ = [
    'FeatureDictNet',
    'FeatureGetterNet',
    'FeatureHookNet',
    'FeatureHooks',
    'FeatureInfo',
    'FeatureListNet',
    'feature_take_indices',
]

Indices = int | Sequence[int]


def feature_take_indices(
    num_features: int,
    indices: int | Iterable[int] | None = None,
    as_set: bool = False,
) -> tuple[Any, int]:
    """Turn a request for taps into indices counted from the front, and the deepest of them.

    Args:
        num_features: How many taps there are.
        indices: All of them (None), the last n (int), or these; negative ones count from the end.
        as_set: Return a set instead of a list.

    Raises:
        AssertionError: An index or count is out of range.
        ValueError: `indices` is empty.
    """
    if indices is None:
        indices = num_features
    if isinstance(indices, int):
        assert 0 < indices <= num_features, f'asked for the last {indices} of {num_features} feature taps'
        take = [num_features - indices + i for i in range(indices)]
    else:
        take = []
        for index in indices:
            assert -num_features <= index < num_features, (
                f'feature index {index} is out of range for {num_features} taps'
            )
            take.append(index % num_features)
        if not take:
            raise ValueError('no feature indices were given; pass at least one, or None for all')
    if torch.jit.is_scripting():
        return take, max(take)
    return (set(take) if as_set else take), max(take)


class FeatureInfo:
    """The taps of a network, one record each, and which of them are taken.

    Args:
        feature_info: One dict per tap, from shallow to deep: num_chs, reduction and module at the least.
        out_indices: The taps taken, in the order that `channels()` and kin answer in; an int means the last n.

    Raises:
        AssertionError: A record is incomplete or the reductions are not increasing.
    """

    def __init__(self, feature_info: list[dict[str, Any]], out_indices: Indices) -> None:
        deepest_reduction = 1
        for i, info in enumerate(feature_info):
            assert info.get('num_chs', 0) > 0, f'feature {i} lacks num_chs: {info}'
            assert info.get('reduction', 0) >= deepest_reduction, f'reductions must not fall at feature {i}: {info}'
            assert 'module' in info, f'feature {i} lacks module: {info}'
            deepest_reduction = info['reduction']
            info.setdefault('index', i)
        if isinstance(out_indices, int):
            out_indices = range(-out_indices, 0)
        self.out_indices = tuple(out_indices)
        self.info = feature_info

    def from_other(self, out_indices: Indices) -> 'FeatureInfo':
        """The same taps with another choice taken."""
        return FeatureInfo(deepcopy(self.info), out_indices)

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """One field: of the taps taken (None), of one tap (int), or of several."""
        if idx is None:
            return [self.info[i][key] for i in self.out_indices]
        if isinstance(idx, (tuple, list)):
            return [self.info[i][key] for i in idx]
        return self.info[idx][key]  # pyright: ignore[reportArgumentType, reportCallIssue]

    def get_dicts(self, keys: list[str] | None = None, idx: Any = None) -> Any:
        """Records of taps: the live dicts, or fresh ones with these keys only."""
        indices = self.out_indices if idx is None else idx if isinstance(idx, (tuple, list)) else (idx,)
        records = [self.info[i] if keys is None else {key: self.info[i][key] for key in keys} for i in indices]
        return records if idx is None or isinstance(idx, (tuple, list)) else records[0]

    def channels(self, idx: Any = None) -> Any:
        """Channels of the taps."""
        return self.get('num_chs', idx)

    def reduction(self, idx: Any = None) -> Any:
        """Strides of the taps against the image."""
        return self.get('reduction', idx)

    def module_name(self, idx: Any = None) -> Any:
        """Names of the modules whose outputs the taps are."""
        return self.get('module', idx)

    def __getitem__(self, item: int) -> dict[str, Any]:
        return self.info[item]

    def __len__(self) -> int:
        return len(self.info)


class FeatureHooks:
    """Collects the inputs or outputs of named modules, apart for each device that runs them.

    Args:
        hooks: Module names, or dicts with `module` and optionally `hook_type` ('forward' or 'forward_pre').
        named_modules: The model's `named_modules()`.
        out_map: Keys of the collected tensors; the module names unless given.
    """

    def __init__(
        self,
        hooks: Sequence[str | dict[str, Any]],
        named_modules: Iterable[tuple[str, nn.Module]],
        out_map: Sequence[int | str] | None = None,
        default_hook_type: str = 'forward',
    ) -> None:
        self._feature_outputs: dict[torch.device, OrderedDict[int | str, Tensor]] = defaultdict(OrderedDict)
        self._handles: list[Any] = []
        modules = dict(named_modules)
        for i, hook in enumerate(hooks):
            name = hook if isinstance(hook, str) else hook['module']
            hook_type = default_hook_type if isinstance(hook, str) else hook.get('hook_type') or default_hook_type
            collect = partial(self._collect, out_map[i] if out_map else name)
            if hook_type == 'forward_pre':
                handle = modules[name].register_forward_pre_hook(collect)
            elif hook_type == 'forward':
                handle = modules[name].register_forward_hook(collect)
            else:
                raise ValueError(f"hook_type must be 'forward' or 'forward_pre', got '{hook_type}'")
            self._handles.append(handle)

    def _collect(self, key: int | str, *args: Any) -> None:
        value = args[-1]  # output of a forward hook, input of a pre-hook
        if isinstance(value, tuple):
            value = value[0]
        self._feature_outputs[value.device][key] = value

    def get_output(self, device: torch.device) -> OrderedDict[int | str, Tensor]:
        """What was collected on a device since the last call."""
        output = self._feature_outputs[device]
        self._feature_outputs[device] = OrderedDict()
        return output


def _get_feature_info(net: nn.Module, out_indices: Indices, live: bool = False) -> FeatureInfo:
    """A FeatureInfo of the network's own record of its taps: a copy, or `live` that which the network may change."""
    info = net.feature_info
    if isinstance(info, FeatureInfo):
        return info.from_other(out_indices)
    if isinstance(info, (list, tuple)):
        return FeatureInfo(list(info) if live else deepcopy(list(info)), out_indices)
    raise TypeError(f'feature_info of {type(net).__name__} must be a list of dicts, got {type(info).__name__}')


def _module_list(module: nn.Module, flatten_sequential: bool = False) -> list[tuple[str, str, nn.Module]]:
    """(flat name, dotted name, module) of the children, sequences opened one level where asked for."""
    children: Iterable[tuple[str, nn.Module]] = module.named_children()
    if flatten_sequential:
        children = flatten_modules(children)
    return [(name.replace('.', '_'), name, child) for name, child in children]


def _return_layers(info: FeatureInfo, out_map: Sequence[int | str] | None) -> dict[str, int | str]:
    names = info.module_name()
    return {name: out_map[i] if out_map is not None else info.out_indices[i] for i, name in enumerate(names)}


def _is_recomputable(index: int, last: int, module: nn.Module) -> bool:
    """Whether recomputing a child saves memory and is safe.

    The input of the first needs no gradient, the last would be recomputed at once, and one that works in place
    destroys what it would be recomputed from.
    """
    return 0 < index < last and not getattr(module, 'inplace', False)


class FeatureDictNet(nn.ModuleDict):
    """Runs the children of a network in order and returns the taps taken, keyed by str(index).

    Children after the deepest tap are dropped, so are those that no tap needs. The names of `return_layers` are
    looked up at every call and may be replaced between calls.

    Args:
        model: Network whose children, run one after the other, give the features.
        out_indices: Taps to return.
        out_map: Keys to return them under, in the order of `out_indices`.
        output_fmt: Layout of the maps.
        feature_concat: Concatenate a tap that is a list or tuple of maps along the channels.
        flatten_sequential: Let taps lie inside top-level sequences.

    Raises:
        AssertionError: A tap names no child.
    """

    def __init__(
        self,
        model: Any,
        out_indices: Indices = (0, 1, 2, 3, 4),
        out_map: Sequence[int | str] | None = None,
        output_fmt: str = 'NCHW',
        feature_concat: bool = False,
        flatten_sequential: bool = False,
    ) -> None:
        super().__init__()
        self.feature_info = _get_feature_info(model, out_indices)
        self.output_fmt = Format(output_fmt)
        self.concat = feature_concat
        self.grad_checkpointing = False
        self.return_layers: dict[str, str] = {}
        due = _return_layers(self.feature_info, out_map)
        missing = set(due)
        for flat_name, name, module in _module_list(model, flatten_sequential):
            self.add_module(flat_name, module)
            if name in missing:
                self.return_layers[flat_name] = str(due[name])
                missing.remove(name)
            if not missing:
                break
        assert not missing, f'feature taps {sorted(missing)} are no children of {type(model).__name__}'

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each child's activations in the backward pass."""
        self.grad_checkpointing = enable

    def _collect(self, x: Tensor) -> dict[str, Tensor]:
        features = OrderedDict()
        for i, (name, module) in enumerate(self.items()):
            if torch.jit.is_scripting():
                x = module(x)
            elif self.grad_checkpointing and _is_recomputable(i, len(self) - 1, module):
                x = checkpoint(module, x)
            else:
                x = module(x)
            if name in self.return_layers:
                key = self.return_layers[name]
                if isinstance(x, (tuple, list)):
                    features[key] = torch.cat(x, 1) if self.concat else x[0]
                else:
                    features[key] = x
        return features

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, in_chans, H, W) -> taps taken, in network order."""
        return self._collect(x)


class FeatureListNet(FeatureDictNet):
    """FeatureDictNet whose result is the list of taps, in network order; see there for the arguments."""

    def __init__(
        self,
        model: Any,
        out_indices: Indices = (0, 1, 2, 3, 4),
        output_fmt: str = 'NCHW',
        feature_concat: bool = False,
        flatten_sequential: bool = False,
    ) -> None:
        super().__init__(
            model,
            out_indices=out_indices,
            output_fmt=output_fmt,
            feature_concat=feature_concat,
            flatten_sequential=flatten_sequential,
        )

    def forward(self, x: Tensor) -> list[Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """(B, in_chans, H, W) -> list of taps taken, in network order."""
        return list(self._collect(x).values())


class FeatureHookNet(nn.ModuleDict):
    """Collects taps by hooks, for networks whose features are no sequence of children.

    Args:
        model: Network to observe.
        out_indices: Taps to return.
        out_map: Keys to return them under, in the order of `out_indices`; the names of the modules unless given.
        return_dict: Return a dict instead of a list.
        output_fmt: Layout of the maps.
        no_rewrite: Keep the network whole under the name `body` instead of taking its children apart; the default
            is to do so unless `flatten_sequential`.
        flatten_sequential: Open top-level sequences one level when taking the network apart.
        default_hook_type: 'forward' for outputs, 'forward_pre' for inputs of the tap modules.
    """

    def __init__(
        self,
        model: Any,
        out_indices: Indices = (0, 1, 2, 3, 4),
        out_map: Sequence[int | str] | None = None,
        return_dict: bool = False,
        output_fmt: str = 'NCHW',
        no_rewrite: bool | None = None,
        flatten_sequential: bool = False,
        default_hook_type: str = 'forward',
    ) -> None:
        super().__init__()
        self.feature_info = _get_feature_info(model, out_indices)
        self.return_dict = return_dict
        self.output_fmt = Format(output_fmt)
        self.grad_checkpointing = False
        if no_rewrite is None:
            no_rewrite = not flatten_sequential
        hooks = self.feature_info.get_dicts()
        layers: dict[str, nn.Module] = {}
        if no_rewrite:
            if hasattr(model, 'reset_classifier'):
                model.reset_classifier(0)
            layers['body'] = model
            named_modules = model.named_modules()
        else:
            missing = {hook['module']: hook.get('hook_type') or default_hook_type for hook in hooks}
            for flat_name, name, module in _module_list(model, flatten_sequential):
                layers[flat_name] = module
                for inner_name, _ in module.named_modules(prefix=name):
                    missing.pop(inner_name, None)
                if not missing:
                    break
            assert not missing, f'feature taps {sorted(missing)} were not found in {type(model).__name__}'
            named_modules = model.named_modules()
        self.update(layers)
        self.hooks = FeatureHooks(hooks, named_modules, out_map=out_map, default_hook_type=default_hook_type)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each child's activations in the backward pass."""
        self.grad_checkpointing = enable

    def forward(self, x: Tensor) -> list[Tensor] | dict[int | str, Tensor]:
        """(B, in_chans, H, W) -> taps taken, in network order."""
        last = len(self) - 1
        for i, module in enumerate(self.values()):
            if self.grad_checkpointing and _is_recomputable(i, last, module):
                x = checkpoint(module, x)
            else:
                x = module(x)
        features = self.hooks.get_output(x.device)
        return features if self.return_dict else list(features.values())


class FeatureGetterNet(nn.ModuleDict):
    """Takes the taps from the network's own `forward_intermediates`.

    Args:
        model: Network with `forward_intermediates`.
        out_indices: Taps to return, or how many from the end.
        out_map: Keys to return them under, in the order of `out_indices`.
        return_dict: Return a dict instead of a list.
        output_fmt: Layout of the maps, as `forward_intermediates` takes it.
        norm: Apply the network's final norm to the taps.
        prune: Remove what lies beyond the deepest tap.
    """

    def __init__(
        self,
        model: Any,
        out_indices: Indices = 4,
        out_map: Sequence[int | str] | None = None,
        return_dict: bool = False,
        output_fmt: str = 'NCHW',
        norm: bool = False,
        prune: bool = True,
    ) -> None:
        super().__init__()
        indices: Any = out_indices if isinstance(out_indices, int) else list(out_indices)
        if prune and hasattr(model, 'prune_intermediate_layers'):
            indices = model.prune_intermediate_layers(indices, prune_norm=not norm)
        else:
            indices, _ = feature_take_indices(len(model.feature_info), indices)  # pyright: ignore[reportArgumentType]
        self.feature_info = _get_feature_info(model, indices, live=True)
        self.model: Any = model
        self.out_indices = indices
        self.out_map = out_map
        self.return_dict = return_dict
        self.output_fmt = Format(output_fmt)
        self.norm = norm

    def forward(self, x: Tensor) -> list[Tensor] | dict[int | str, Tensor]:
        """(B, in_chans, H, W) -> taps taken, in network order."""
        features = self.model.forward_intermediates(
            x,
            indices=self.out_indices,
            norm=self.norm,
            output_fmt=self.output_fmt.value,
            intermediates_only=True,
        )
        if not self.return_dict:
            return features
        keys = dict(zip(self.out_indices, self.out_map or self.out_indices, strict=True))
        return OrderedDict((keys[i], feature) for i, feature in zip(sorted(keys), features, strict=True))
