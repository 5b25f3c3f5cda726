"""A learned bias of attention for each absolute offset between two positions (LeViT, arXiv:2104.01136, section 4.2)."""

import torch
from torch import nn

from ._device import Module
from .grid import ndgrid

__all__ = ['AttentionBias', 'abs_offset_index']


def abs_offset_index(resolution: tuple[int, int], stride: int = 1, device: torch.device | None = None) -> torch.Tensor:
    """Which absolute offset lies between each query and each key of a map: |rows apart| * w + |columns apart|.

    Shape: (queries, keys), int64, for keys at all h * w positions and queries at every `stride`-th row and column
    """
    h, w = resolution
    rows, columns = ndgrid(
        torch.arange(h, dtype=torch.int64, device=device), torch.arange(w, dtype=torch.int64, device=device)
    )
    down = rows[::stride, ::stride].reshape(-1, 1) - rows.reshape(1, -1)
    right = columns[::stride, ::stride].reshape(-1, 1) - columns.reshape(1, -1)
    return down.abs() * w + right.abs()


class AttentionBias(Module):
    """Base of attention modules that add a bias for each offset; it keeps the gathered biases for inference.

    A subclass calls `add_attention_biases` where the parameter belongs in its state dict, and in its forward adds
    `get_attention_biases(x.device)`, of shape (num_heads, queries, keys), to the scores.
    """

    attention_biases: nn.Parameter
    attention_bias_idxs: torch.Tensor

    def add_attention_biases(
        self, num_heads: int, resolution: tuple[int, int], stride: int = 1, persistent: bool = False
    ) -> None:
        """Create the biases, zero, for a map of this size, and their index.

        Args:
            stride: Queries stand at every `stride`-th row and column.
            persistent: The index belongs to the state dict.
        """
        self.attention_bias_grid = (resolution, stride)
        self.attention_bias_cache: dict[str, tuple[nn.Parameter, int, torch.Tensor]] = {}
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, resolution[0] * resolution[1]))
        index = abs_offset_index(resolution, stride, self.attention_biases.device)
        self.register_buffer('attention_bias_idxs', index, persistent=persistent)

    def init_non_persistent_buffers(self) -> None:
        """Compute the index that a state dict may leave out, where the biases are."""
        resolution, stride = self.attention_bias_grid
        self.attention_bias_cache.clear()
        self.attention_bias_idxs = abs_offset_index(resolution, stride, self.attention_biases.device)

    def get_attention_biases(self, device: torch.device) -> torch.Tensor:
        """The bias of each head for each pair of positions: (num_heads, queries, keys).

        What is kept for inference is dropped as soon as the parameter is written to or replaced.
        """
        if torch.jit.is_scripting():
            return self.attention_biases[:, self.attention_bias_idxs]
        else:  # not reached by TorchScript, which must not see it
            return self._gathered(device)

    def _gathered(self, device: torch.device) -> torch.Tensor:
        biases = self.attention_biases
        if (
            self.training
            or torch.is_grad_enabled()
            or torch.jit.is_tracing()
            or torch.compiler.is_compiling()
            or not isinstance(biases, nn.Parameter)  # a symbolic tracer's stand-in
            or biases.is_inference()  # has no version
        ):
            return biases[:, self.attention_bias_idxs]
        key = f'{device}/{biases.dtype}'
        kept = self.attention_bias_cache.get(key)
        if kept is None or kept[0] is not biases or kept[1] != biases._version:
            kept = (biases, biases._version, biases[:, self.attention_bias_idxs])
            self.attention_bias_cache[key] = kept
        return kept[2]
