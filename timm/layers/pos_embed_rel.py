"""Biases of attention that depend on the offset between two positions of a window (Swin, arXiv:2103.14030, eq. 4)."""

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_counts, size_2d
from ._device import Module
from .grid import ndgrid as ndgrid
from .helpers import to_2tuple as to_2tuple
from .interpolate import RegularGridInterpolator as RegularGridInterpolator
from .mlp import Mlp
from .rel_pos_index import (
    gen_relative_log_coords,
    gen_relative_position_index,
    generate_lookup_tensor,
    reindex_2d_einsum_lookup,
)
from .rel_pos_resize import (
    resize_rel_pos_bias_table,
    resize_rel_pos_bias_table_levit,
    resize_rel_pos_bias_table_simple,
)
from .weight_init import trunc_normal_

__all__ = [
    'RelPosBias',
    'RelPosBiasTf',
    'RelPosMlp',
    'gen_relative_log_coords',
    'gen_relative_position_index',
    'generate_lookup_tensor',
    'reindex_2d_einsum_lookup',
    'resize_rel_pos_bias_table',
    'resize_rel_pos_bias_table_levit',
    'resize_rel_pos_bias_table_simple',
]


class _RelPos(Module):
    """What all kinds share: a window, and a bias that is added to the scores of attention."""

    def _set_window(self, window_size: tuple[int, int], prefix_tokens: int) -> None:
        if prefix_tokens not in (0, 1):
            raise BadValue(f'prefix_tokens={prefix_tokens}: at most one token may stand before a window, use 0 or 1.')
        self.window_size = size_2d('window_size', window_size)
        self.window_area = self.window_size[0] * self.window_size[1]
        self.prefix_tokens = prefix_tokens

    def get_bias(self) -> torch.Tensor:
        """The bias of each head for each pair of positions."""
        raise NotImplementedError

    def forward(self, attn: torch.Tensor, shared_rel_pos: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        """Scores (B, heads, N, N) with the bias added; a bias shared among blocks has no effect here."""
        return attn + self.get_bias()


class RelPosBias(_RelPos):
    """A learned bias of each head for each offset within a window (Swin, eq. 4).

    Shape: scores (B, num_heads, N, N) -> the same

    Args:
        window_size: (h, w); N = h * w, and one more with a prefix token.
        prefix_tokens: 0, or 1 for a class token before the positions, with biases of its own.

    Raises:
        ValueError: There are more prefix tokens; a size is below 1, or the window not two numbers.
    """

    relative_position_index: torch.Tensor

    def __init__(self, window_size: tuple[int, int], num_heads: int, prefix_tokens: int = 0) -> None:
        super().__init__()
        check_counts(num_heads=num_heads)
        self._set_window(window_size, prefix_tokens)
        self.bias_shape = (*(self.window_area + prefix_tokens,) * 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(torch.empty(self._num_rows(), num_heads))
        self.register_buffer('relative_position_index', self._index(None), persistent=False)
        self.reset_parameters()

    def _num_rows(self) -> int:
        h, w = self.window_size
        return (2 * h - 1) * (2 * w - 1) + 3 * self.prefix_tokens

    def _index(self, device: torch.device | None) -> torch.Tensor:
        return gen_relative_position_index(self.window_size, None, self.prefix_tokens > 0, device).flatten()

    def reset_parameters(self) -> None:
        """Draw the table anew, and compute the index."""
        trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where they are."""
        self.relative_position_index = self._index(self.relative_position_index.device)

    def set_window_size(self, window_size: tuple[int, int]) -> None:
        """Resample the table for windows of another size, see `resize_rel_pos_bias_table`."""
        if tuple(window_size) == self.window_size:
            return
        old, table = self.window_size, self.relative_position_bias_table
        self._set_window(window_size, self.prefix_tokens)
        self.bias_shape = (*(self.window_area + self.prefix_tokens,) * 2, table.shape[1])
        shape = (self._num_rows(), table.shape[1])
        resized = resize_rel_pos_bias_table(table.detach(), window_size, shape, old_window_size=old)
        self.relative_position_bias_table = nn.Parameter(resized.contiguous(), requires_grad=table.requires_grad)
        self.init_non_persistent_buffers()

    def get_bias(self) -> torch.Tensor:
        """The bias of each head for each pair of positions: (1, num_heads, N, N)."""
        bias = self.relative_position_bias_table[self.relative_position_index]
        return bias.view(self.bias_shape).permute(2, 0, 1).unsqueeze(0).contiguous()


class RelPosMlp(_RelPos):
    """A bias computed from each offset by a small MLP (Swin V2, arXiv:2111.09883, section 3.3).

    Shape: scores (B, num_heads, N, N) -> the same

    Args:
        window_size: (h, w); N = h * w, and one more with a prefix token.
        hidden_dim: Width of the MLP.
        prefix_tokens: 0, or 1 for a class token before the positions, whose pairs have no bias.
        mode: 'swin' scales offsets to those of the window it was trained with and biases to (0, 16); 'cr' does neither.
        pretrained_window_size: For 'swin'; (0, 0) for the window itself.

    Raises:
        ValueError: There are more prefix tokens; `mode` is another; a size is below 1, or a window not two numbers.
    """

    relative_position_index: torch.Tensor
    rel_coords_log: torch.Tensor

    def __init__(
        self,
        window_size: tuple[int, int],
        num_heads: int = 8,
        hidden_dim: int = 128,
        prefix_tokens: int = 0,
        mode: str = 'cr',
        pretrained_window_size: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        check_counts(num_heads=num_heads, hidden_dim=hidden_dim)
        self._set_window(window_size, prefix_tokens)
        self.num_heads = num_heads
        self.bias_shape = (self.window_area, self.window_area, num_heads)
        self.mode = mode
        self.pretrained_window_size = pretrained_window_size
        index, coords = self._buffers_on(None)
        swin = mode == 'swin'
        self.bias_act = nn.Sigmoid() if swin else nn.Identity()
        self.bias_gain = 16 if swin else None
        self.mlp = Mlp(
            2,
            hidden_features=hidden_dim,
            out_features=num_heads,
            act_layer=nn.ReLU,
            bias=(True, not swin),
            drop=(0.125, 0.0),
        )
        self.register_buffer('relative_position_index', index, persistent=False)
        self.register_buffer('rel_coords_log', coords, persistent=False)

    def _buffers_on(self, device: torch.device | None) -> tuple[torch.Tensor, torch.Tensor]:
        index = gen_relative_position_index(self.window_size, device=device).flatten()
        coords = gen_relative_log_coords(self.window_size, self.pretrained_window_size, self.mode, device)
        return index, coords

    def reset_parameters(self) -> None:
        """Compute the buffers; the MLP's layers draw their weights themselves."""
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where and as they are."""
        dtype = self.rel_coords_log.dtype
        self.relative_position_index, coords = self._buffers_on(self.rel_coords_log.device)
        self.rel_coords_log = coords.to(dtype)

    def set_window_size(self, window_size: tuple[int, int]) -> None:
        """Be ready for windows of another size; the MLP serves any."""
        if tuple(window_size) != self.window_size:
            self._set_window(window_size, self.prefix_tokens)
            self.bias_shape = (self.window_area, self.window_area, self.num_heads)
            self.init_non_persistent_buffers()

    def get_bias(self) -> torch.Tensor:
        """The bias of each head for each pair of positions: (1, num_heads, N, N)."""
        biases = self.mlp(self.rel_coords_log.to(self.mlp.fc1.weight.dtype)).flatten(0, 1)
        biases = self.bias_act(biases[self.relative_position_index].view(self.bias_shape).permute(2, 0, 1))
        if self.bias_gain is not None:
            biases = self.bias_gain * biases
        if self.prefix_tokens:
            biases = F.pad(biases, (self.prefix_tokens, 0, self.prefix_tokens, 0))
        return biases.unsqueeze(0).contiguous()


class RelPosBiasTf(_RelPos):
    """A learned bias for each offset, looked up by products with ones and zeros as on accelerators (MaxViT's release).

    Shape: scores (B, num_heads, N, N) -> the same

    Args:
        window_size: (h, w); N = h * w, and one more with a prefix token.
        prefix_tokens: 0, or 1 for a class token before the positions, whose pairs have no bias.

    Raises:
        ValueError: There are more prefix tokens; a size is below 1, or the window not two numbers.
    """

    height_lookup: torch.Tensor
    width_lookup: torch.Tensor

    def __init__(self, window_size: tuple[int, int], num_heads: int, prefix_tokens: int = 0) -> None:
        super().__init__()
        check_counts(num_heads=num_heads)
        self._set_window(window_size, prefix_tokens)
        self.num_heads = num_heads
        self.bias_shape = (num_heads, 2 * window_size[0] - 1, 2 * window_size[1] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(self.bias_shape))
        self.register_buffer('height_lookup', None, persistent=False)
        self.register_buffer('width_lookup', None, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew, and compute the lookup tables."""
        nn.init.normal_(self.relative_position_bias_table, std=0.02)
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where and as the table is."""
        table = self.relative_position_bias_table
        self.height_lookup = generate_lookup_tensor(self.window_size[0], device=table.device, dtype=table.dtype)
        self.width_lookup = generate_lookup_tensor(self.window_size[1], device=table.device, dtype=table.dtype)

    def set_window_size(self, window_size: tuple[int, int]) -> None:
        """Resample the table for windows of another size, see `resize_rel_pos_bias_table`."""
        if tuple(window_size) == self.window_size:
            return
        table = self.relative_position_bias_table
        self._set_window(window_size, self.prefix_tokens)
        self.bias_shape = (self.num_heads, 2 * window_size[0] - 1, 2 * window_size[1] - 1)
        resized = resize_rel_pos_bias_table(table.detach(), window_size, self.bias_shape)
        self.relative_position_bias_table = nn.Parameter(resized.contiguous(), requires_grad=table.requires_grad)
        self.init_non_persistent_buffers()

    def get_bias(self) -> torch.Tensor:
        """The bias of each head for each pair of positions: (num_heads, N, N)."""
        bias = reindex_2d_einsum_lookup(
            self.relative_position_bias_table,
            self.window_size[0],
            self.window_size[1],
            self.height_lookup,
            self.width_lookup,
        )
        return F.pad(bias, (self.prefix_tokens, 0, self.prefix_tokens, 0)) if self.prefix_tokens else bias
