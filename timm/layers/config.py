"""Process-wide switches that layers read when built: export and script friendliness, attention, checkpointing."""

import os
from dataclasses import dataclass, replace
from types import TracebackType

__all__ = [
    'is_exportable',
    'is_no_jit',
    'is_scriptable',
    'set_exportable',
    'set_fused_attn',
    'set_layer_config',
    'set_no_jit',
    'set_reentrant_ckpt',
    'set_scriptable',
    'use_fused_attn',
    'use_reentrant_ckpt',
]

_YES = ('1', 'true', 't', 'yes', 'y', 'on')
_NO = ('0', 'false', 'f', 'no', 'n', 'off', '')


def _flag_from_env(name: str, default: bool) -> bool:
    text = os.environ.get(name)
    if text is None:
        return default
    if text.strip().lower() not in _YES + _NO:
        raise ValueError(f'Environment variable {name}={text!r} is not a yes or no: set it to 1 or 0.')
    return text.strip().lower() in _YES


def _fused_attn_from_env() -> int:
    text = os.environ.get('TIMM_FUSED_ATTN', '1').strip()
    if text not in ('0', '1', '2'):
        raise ValueError(
            f'Environment variable TIMM_FUSED_ATTN={text!r} is not known: set it to 0 (off), 1 (on) or '
            f'2 (on also where it is experimental).'
        )
    return int(text)


@dataclass(slots=True)
class _Switches:
    scriptable: bool = False
    exportable: bool = False
    no_jit: bool = False
    no_activation_jit: bool = False
    fused_attn: int = 1  # 0 off, 1 on, 2 on also where it is experimental
    reentrant_ckpt: bool = False


_switches = _Switches(
    fused_attn=_fused_attn_from_env(),
    reentrant_ckpt=_flag_from_env('TIMM_REENTRANT_CKPT', default=False),
)


def check_switch(name: str, value: object) -> None:
    """Refuse text, of which even 'false' would switch on."""
    if isinstance(value, str):
        raise TypeError(f'{name}={value!r} is neither on nor off: use True or False.')


class _Setting:
    """Flips switches at construction; used in a `with` statement, puts all of them back at its end."""

    def __init__(self, **changes: bool) -> None:
        self._before = replace(_switches)
        self._names = tuple(changes)
        for name, value in changes.items():
            check_switch(name, value)
        for name, value in changes.items():
            setattr(_switches, name, value)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in self._names:
            setattr(_switches, name, getattr(self._before, name))


class set_scriptable(_Setting):
    """Ask for layers that TorchScript can compile, from now on or for the length of a `with` block."""

    def __init__(self, mode: bool) -> None:
        super().__init__(scriptable=mode)


class set_exportable(_Setting):
    """Ask for layers that exporters such as ONNX understand, from now on or for the length of a `with` block."""

    def __init__(self, mode: bool) -> None:
        super().__init__(exportable=mode)


class set_no_jit(_Setting):
    """Keep layers from scripting parts of themselves, from now on or for the length of a `with` block."""

    def __init__(self, mode: bool) -> None:
        super().__init__(no_jit=mode)


class set_layer_config(_Setting):
    """Flip several switches at once, from now on or for the length of a `with` block; None leaves a switch alone.

    Args:
        no_activation_jit: As `no_jit`, for activations only.
    """

    def __init__(
        self,
        scriptable: bool | None = None,
        exportable: bool | None = None,
        no_jit: bool | None = None,
        no_activation_jit: bool | None = None,
    ) -> None:
        asked = {
            'scriptable': scriptable,
            'exportable': exportable,
            'no_jit': no_jit,
            'no_activation_jit': no_activation_jit,
        }
        super().__init__(**{name: value for name, value in asked.items() if value is not None})


def is_scriptable() -> bool:
    """Whether layers built now should compile under TorchScript."""
    return _switches.scriptable


def is_exportable() -> bool:
    """Whether layers built now should suit exporters such as ONNX."""
    return _switches.exportable


def is_no_jit() -> bool:
    """Whether layers built now should leave scripting of their parts alone."""
    return _switches.no_jit


def use_fused_attn(experimental: bool = False) -> bool:
    """Whether attention built now should call scaled_dot_product_attention; never while `is_exportable()`.

    Args:
        experimental: The caller's fused path is experimental, so plain "on" is not enough.
    """
    return not _switches.exportable and _switches.fused_attn >= (2 if experimental else 1)


def set_fused_attn(enable: bool = True, experimental: bool = False) -> None:
    """Let attention built from now on use the fused kernel or not.

    Args:
        experimental: With `enable`, also where the fused path is experimental.
    """
    check_switch('enable', enable)
    _switches.fused_attn = (2 if experimental else 1) if enable else 0


def use_reentrant_ckpt() -> bool:
    """The `use_reentrant` that activation checkpointing takes where a caller names none."""
    return _switches.reentrant_ckpt


def set_reentrant_ckpt(enable: bool = True) -> None:
    """Choose the `use_reentrant` that activation checkpointing takes where a caller names none."""
    check_switch('enable', enable)
    _switches.reentrant_ckpt = enable
