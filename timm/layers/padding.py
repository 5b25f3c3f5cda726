"""How much padding convolutions and pools need: symmetric, and 'SAME' as TensorFlow defines it."""

from typing import TYPE_CHECKING, Any, overload

import torch
import torch.nn.functional as F

from ._checks import size_2d
from ._names import unknown_name

__all__ = [
    'check_padding',
    'get_padding',
    'get_padding_value',
    'get_same_padding',
    'is_static_pad',
    'pad_same',
    'pad_same_arg',
]

# Callers pass lists or tuples; TorchScript knows lists, and makes them of tuples.
if TYPE_CHECKING:
    IntList = list[int] | tuple[int, ...]
else:
    IntList = list[int]

_MODES = ('', 'same', 'valid')


def _by_axis(kernel_size: Any, stride: Any, dilation: Any) -> list[tuple[int, int, int]]:
    sizes = size_2d('kernel_size', kernel_size), size_2d('stride', stride), size_2d('dilation', dilation)
    return list(zip(*sizes, strict=True))


@overload
def get_padding(kernel_size: int, stride: int = 1, dilation: int = 1, **_: Any) -> int: ...
@overload
def get_padding(
    kernel_size: int | tuple[int, ...] | list[int],
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    **_: Any,
) -> int | list[int]: ...
def get_padding(
    kernel_size: int | tuple[int, ...] | list[int],
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    **_: Any,
) -> int | list[int]:
    """Padding on each side that keeps ceil(size / stride) positions, for odd kernels: (stride - 1 + d (k - 1)) // 2.

    Returns:
        One number, or a list of one per axis where any argument names its axes.

    Raises:
        ValueError: A size is below 1, or names other than two axes.
    """
    axes = _by_axis(kernel_size, stride, dilation)
    if isinstance(kernel_size, int) and isinstance(stride, int) and isinstance(dilation, int):
        return (stride - 1 + dilation * (kernel_size - 1)) // 2
    return [(s - 1 + d * (k - 1)) // 2 for k, s, d in axes]


def get_same_padding(x: int, kernel_size: int, stride: int, dilation: int) -> int:
    """What 'SAME' adds to an axis, both ends together, so that exactly ceil(x / stride) windows fit.

    Args:
        x: Size of the axis; a tensor where torch.jit.trace records sizes.

    Raises:
        ValueError: `stride` is below 1.
    """
    if stride < 1:
        raise ValueError(f'stride={stride} is too small: use 1 or more.')
    # The last window starts at the greatest multiple of the stride below x.
    missing = (x - 1) // stride * stride + dilation * (kernel_size - 1) + 1 - x
    if isinstance(missing, torch.Tensor):
        return missing.clamp(min=0)  # pyright: ignore[reportReturnType]
    return max(missing, 0)


def is_static_pad(
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    **_: Any,
) -> bool:
    """Whether 'SAME' is symmetric and the same for every input size: stride 1, and an even dilation * (kernel - 1)."""
    axes = _by_axis(kernel_size, stride, dilation)
    return all(s == 1 and d * (k - 1) % 2 == 0 for k, s, d in axes)


def pad_same_arg(
    input_size: IntList,
    kernel_size: IntList,
    stride: IntList,
    dilation: IntList = (1, 1),
) -> list[int]:
    """The `pad` argument of `F.pad` for 'SAME': left, right, top, bottom; an odd one goes right and to the bottom.

    Args:
        input_size: Height and width, as are the pairs after it.
    """
    rows = get_same_padding(input_size[0], kernel_size[0], stride[0], dilation[0])
    columns = get_same_padding(input_size[1], kernel_size[1], stride[1], dilation[1])
    return [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]


def pad_same(
    x: torch.Tensor,
    kernel_size: IntList,
    stride: IntList,
    dilation: IntList = (1, 1),
    value: float = 0,
) -> torch.Tensor:
    """A feature map with the border that 'SAME' asks for at its size, filled with `value`.

    Shape: (..., H, W) -> (..., H + rows, W + columns)
    """
    return F.pad(x, pad_same_arg(x.shape[-2:], kernel_size, stride, dilation), value=value)


def check_padding(padding: Any) -> None:
    """Refuse text that is none of '', 'same' and 'valid', in any case of letters."""
    if isinstance(padding, str) and padding.lower() not in _MODES:
        raise unknown_name('padding', padding, _MODES)


def get_padding_value(padding: Any, kernel_size: int | tuple[int, int], **kwargs: Any) -> tuple[Any, bool]:
    """The `padding` to give a layer, and whether the layer has to pad by input size (then the first is 0).

    Args:
        padding: '' for symmetric, 'same', 'valid' (none), in any case of letters; anything but a string is passed on.
        kwargs: Of the layer; `stride` and `dilation` matter.

    Raises:
        ValueError: `padding` is another string.
    """
    check_padding(padding)
    if not isinstance(padding, str):
        return padding, False
    mode = padding.lower()
    if mode == 'valid':
        return 0, False
    if mode == 'same' and not is_static_pad(kernel_size, **kwargs):
        return 0, True
    return get_padding(kernel_size, **kwargs), False
