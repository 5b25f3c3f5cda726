"""Gives a model the tensors of a state dict, without a copy where that is safe, and says what does not fit."""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ._deferred_init import is_deferring, written_outside
from ._identify import likely_architecture
from ._manipulate import reinit_non_persistent_buffers

__all__ = ['IncompatibleKeys', 'assign_state_dict', 'match_prefix']

StateDict = Mapping[str, Any]

# What wrappers (Lightning modules, DataParallel, torch.compile) put before the names of the model inside.
_WRAPPERS = ('', 'model.', 'module.', '_orig_mod.', 'model._orig_mod.', 'module._orig_mod.', 'module.model.')


class IncompatibleKeys(NamedTuple):
    """What did not find its match when a state dict was loaded.

    Attributes:
        missing_keys: Tensors of the model that the state dict has not.
        unexpected_keys: Entries of the state dict that the model has not.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return '<All keys matched successfully>'
        return f'IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})'


def match_prefix(state_dict: StateDict, names: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Exchange the wrapper's prefix of a state dict for that of the model, if nothing fits without.

    Args:
        names: The model's tensors.
    """
    own_names = set(names)
    if not state_dict or any(name in own_names for name in state_dict):
        return dict(state_dict)
    for old in _WRAPPERS:
        for new in _WRAPPERS:
            renamed = {
                new + name[len(old) :] if name.startswith(old) else name: value for name, value in state_dict.items()
            }
            if any(name in own_names for name in renamed):
                return renamed
    return dict(state_dict)


def assign_state_dict(
    model: nn.Module,
    state_dict: StateDict,
    strict: bool = True,
    source: str | os.PathLike[str] | None = None,
    share: bool | None = None,
) -> IncompatibleKeys:
    """Load a state dict into a model whose parameters keep their dtype, device, layout and requires_grad.

    Shared, the model's parameters become new ones on the memory of the state dict's tensors: right for a model that
    was just built, from a state dict that was just read. Not shared, values are copied into the parameters there are,
    which optimizers and wrappers may hold.

    Args:
        strict: Every tensor must find its match. Shapes must agree in any case.
        source: File the tensors come from, for messages.
        share: None means yes while the model is under construction (its initialisation is deferred) or has
            parameters on the meta device.

    Raises:
        RuntimeError: Names or shapes do not agree; the message says which, and what to do.
    """
    with torch._C.DisableTorchFunction():
        own = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if _shape(tensor) is not None}
        on_meta = any(tensor.is_meta for tensor in own.values())
        if share is None:
            share = on_meta or is_deferring()
        share = share and all(type(tensor) in (Tensor, nn.Parameter) for tensor in own.values())
        values = match_prefix(state_dict, own)
        differing = [name for name in values.keys() & own.keys() if _shape(values[name]) != _shape(own[name])]
        ties = _ties(model)
    prepared = dict(values)
    with torch.no_grad(), torch._C.DisableTorchFunction(), written_outside(own.values()):
        if share:
            taken = _callers_addresses(model)
            for name in values.keys() & own.keys() - set(differing):
                prepared[name] = _own_tensor(name, values[name], own[name], taken)
        try:
            # an overridden load_state_dict may not know `assign`
            result = model.load_state_dict(prepared, strict=False, **({'assign': True} if share else {}))
        except RuntimeError as error:
            if not differing:
                raise
            missing, unexpected, cause = [k for k in own if k not in values], [k for k in values if k not in own], error
        else:
            missing, unexpected, cause = result.missing_keys, result.unexpected_keys, None
            _retie(ties, values)
            if share and on_meta:
                _fill_tables(model)
    supplied = {name for names in ties.values() if any(n in values for _, _, n in names) for _, _, name in names}
    missing = [name for name in missing if name not in supplied]
    if cause is not None or (strict and (missing or unexpected)):
        differing = [name for name in own if name in differing] if cause is not None else []
        raise RuntimeError(_Mismatch(model, own, values, missing, unexpected, differing, source).message()) from cause
    return IncompatibleKeys(missing, unexpected)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Shape of a tensor, None for anything else and for a parameter that takes its shape from its first input."""
    return tuple(value.shape) if isinstance(value, Tensor) and not is_lazy(value) else None


def _cfg_of(model: nn.Module) -> Mapping[str, Any]:
    cfg = getattr(model, 'pretrained_cfg', None)
    return cfg if isinstance(cfg, Mapping) else {}


def _callers_addresses(model: nn.Module) -> set[int]:
    """Memory of a state dict that the caller gave in the configuration, perhaps that of another model."""
    given = _cfg_of(model).get('state_dict') or {}
    return {value.data_ptr() for value in given.values() if isinstance(value, Tensor)}


def _own_tensor(name: str, value: Tensor, own: Tensor, taken: set[int]) -> Tensor:
    """`value` as the model can keep it: itself, or a copy in dtype, device and layout of the model's tensor `own`.

    Args:
        taken: Addresses that other tensors of the model use already.
    """
    value = value.detach()
    if own.layout != torch.strided or value.layout != torch.strided:
        return value
    device = value.device if own.is_meta else own.device
    is_whole = value.untyped_storage().nbytes() == value.nbytes
    fits = value.dtype == own.dtype and value.device == device and value.stride() == own.stride()
    if fits and is_whole and value.data_ptr() not in taken and not _is_misaligned(name, value):
        taken.add(value.data_ptr())
        return value
    return torch.empty_like(own, device=device, requires_grad=False).copy_(value)


def _is_misaligned(name: str, value: Tensor) -> bool:
    """Whether a tensor's address would change the last bits of what is computed with it.

    Files align tensors to 8 bytes. Where an address is no multiple of 16, matrix products of a single row (and those
    in float64) add up in another order. Weights inside numbered blocks see many rows, tokens or pixels, so only the
    small ones are worth a copy; what lies outside, such as the classifier, sees one row per image.
    """
    address = value.data_ptr()
    if address % 16 == 0 or value.device.type != 'cpu':
        return False
    if address % value.element_size() or value.dtype == torch.float64:
        return True
    is_matrix = value.ndim in (2, 3)
    in_block = any(part.isdigit() for part in name.split('.'))
    return is_matrix and (not in_block or value.nbytes <= 2**20)


def _ties(model: nn.Module) -> dict[int, list[tuple[nn.Module, str, str]]]:
    """Parameters that several modules hold: identity -> (module, attribute, full name) of each place."""
    places: defaultdict[int, list[tuple[nn.Module, str, str]]] = defaultdict(list)
    for path, module in model.named_modules():
        for attribute, parameter in module._parameters.items():
            if parameter is not None:
                places[id(parameter)].append((module, attribute, f'{path}.{attribute}' if path else attribute))
    return {key: found for key, found in places.items() if len(found) > 1}


def _retie(ties: dict[int, list[tuple[nn.Module, str, str]]], values: StateDict) -> None:
    """Make all places of a tied parameter hold what the last of them in the state dict was given."""
    for places in ties.values():
        given = [place for place in places if place[2] in values]
        if given:
            module, attribute, _ = given[-1]
            for other, other_attribute, _ in places:
                other._parameters[other_attribute] = module._parameters[attribute]


def _fill_tables(model: nn.Module) -> None:
    """Make the tables of a model from the meta device that no state dict holds.

    Raises:
        RuntimeError: Only the constructor of a module can make its table.
    """
    stuck: list[str] = []
    for path, module in model.named_modules():
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers[name]
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = torch.empty_like(buffer, device='cpu')
                if not hasattr(module, 'init_non_persistent_buffers'):
                    stuck.append(f'{path}.{name}' if path else name)
    if stuck:
        raise RuntimeError(
            f'{type(model).__name__} was built on the meta device, where {", ".join(stuck[:4])} got no values, and no '
            'file holds them: build it on the CPU.'
        )
    reinit_non_persistent_buffers(model)


class _Mismatch:
    """Explains in at most 15 lines why a state dict does not fit a model."""

    def __init__(
        self,
        model: nn.Module,
        own: Mapping[str, Tensor],
        state_dict: StateDict,
        missing: Sequence[str],
        unexpected: Sequence[str],
        differing: Sequence[str],
        source: str | os.PathLike[str] | None,
    ) -> None:
        self.model = model
        self.own = own
        self.state_dict = state_dict
        self.missing = missing
        self.unexpected = unexpected
        self.differing = differing
        self.source = None if source is None else str(source)
        self.cfg = _cfg_of(model)

    def message(self) -> str:
        name = type(self.model).__name__
        architecture = self.cfg.get('architecture')
        label = f'{name} ({architecture})' if architecture else name
        found = f"'{self.source}'" if self.source else 'the state dict'
        matched = sum(key in self.state_dict for key in self.own) - len(self.differing)
        counts = f'{matched} of its {len(self.own)} tensors have a match in {found}.'
        lines = [
            f'Error(s) in loading state_dict for {label}: {counts}',
            *self._list('size mismatch', self.differing, self._sizes),
            *self._list('missing in the file', self.missing),
            *self._list('not in the model', self.unexpected),
            *self._advice(),
        ]
        return '\n'.join(lines[:15])

    def _list(self, title: str, names: Sequence[str], show: Callable[[str], str] = str) -> list[str]:
        """One line that counts the names and shows the first."""
        if not names:
            return []
        more = ', ...' if len(names) > 3 else ''
        return [f'  {title} ({len(names)}): {", ".join(map(show, names[:3]))}{more}']

    def _sizes(self, name: str) -> str:
        return f'{name} {_shape(self.state_dict[name])} in the file, {_shape(self.own[name])} in the model'

    def _advice(self) -> list[str]:
        """What to do, if all that does not fit is classifier, stem or position tables; else what the file is of."""
        classifiers, stems = (self._names(field) for field in ('classifier', 'first_conv'))
        causes: set[str] = set()
        for name in (*self.differing, *self.missing, *self.unexpected):
            module = name.rpartition('.')[0]
            if module in classifiers:
                causes.add('classifier')
            elif module in stems and self._chans(self.own, module) != self._chans(self.state_dict, module):
                causes.add('stem')
            elif module in stems or any(part in name for part in ('pos_embed', 'relative_position', 'rel_pos')):
                causes.add('size')
            else:
                return self._advice_other_architecture()
        return [
            *(self._advice_classifier(classifiers) if 'classifier' in causes else ()),
            *(self._advice_stem(stems) if 'stem' in causes else ()),
            *(self._advice_size() if 'size' in causes else ()),
        ]

    def _names(self, field: str) -> tuple[str, ...]:
        """Names of modules that the model's configuration gives under `field`."""
        names = self.cfg.get(field) or ()
        return (names,) if isinstance(names, str) else tuple(names)

    def _chans(self, tensors: StateDict, stem: str) -> int | None:
        shape = _shape(tensors.get(f'{stem}.weight'))
        return shape[1] if shape and len(shape) > 1 else None

    def _classes(self, tensors: StateDict, classifiers: Sequence[str]) -> int:
        shapes = [_shape(tensors.get(f'{name}.weight')) for name in classifiers]
        return next((shape[0] for shape in shapes if shape), 0)

    def _command(self, argument: str, **fields: Any) -> str:
        """The call that adapts the file to the model."""
        overlay = ', '.join([f'file={self.source or "..."!r}', *(f'{k}={v!r}' for k, v in fields.items())])
        return f'  create_model(..., {argument}pretrained=True, pretrained_cfg_overlay=dict({overlay}))'

    def _advice_classifier(self, classifiers: Sequence[str]) -> list[str]:
        in_file, in_model = self._classes(self.state_dict, classifiers), self._classes(self.own, classifiers)
        held = f'holds a classifier of {in_file} classes' if in_file else 'holds no classifier'
        wanted = f'for a model with {in_model}' if in_model else 'for a model without one'
        return [
            f'The file {held} {wanted}. Either build the model like the file: num_classes={in_file};',
            '  or load all but the classifier into the model you asked for:',
            self._command(f'num_classes={in_model}, ', num_classes=in_file),
        ]

    def _advice_stem(self, stems: Sequence[str]) -> list[str]:
        in_file, in_model = (self._chans(tensors, stems[0]) for tensors in (self.state_dict, self.own))
        size = (in_file, *(self.cfg.get('input_size') or (3, 224, 224))[1:])
        held = f'The file is for images of {in_file} channels, the model for {in_model}.'
        return [
            f'{held} Either build the model with in_chans={in_file}; or let the stem be adapted:',
            self._command(f'in_chans={in_model}, ', input_size=size),
        ]

    def _advice_size(self) -> list[str]:
        return [
            'The file was made for another image or patch size. What depends on it is resampled by',
            self._command(''),
        ]

    def _advice_other_architecture(self) -> list[str]:
        parts = [name for name, value in self.state_dict.items() if isinstance(value, Mapping)]
        if parts:
            shown = ', '.join(parts[:6])
            return [f'The file has parts ({shown}): load one of them with model.load_state_dict, or save it by itself.']
        shapes = {name: shape for name, value in self.state_dict.items() if (shape := _shape(value)) is not None}
        likely = likely_architecture(shapes, self.source)
        if not likely:
            return ['The names fit no architecture here: is it a checkpoint of another library, or of a changed model?']
        if self.cfg.get('architecture') in likely.split():
            return [
                f'The file {likely}, but this model has other names or sizes. Load it as published weights:',
                self._command(''),
            ]
        return [f'The file {likely}. Build that architecture, or give the file of the one you want.']
