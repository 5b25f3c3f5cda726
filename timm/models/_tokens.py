"""TokenModel: features of networks that are a column of blocks over one sequence of tokens."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ._features import feature_take_indices
from ._model import ImageModel

__all__ = ['TokenModel', 'tokens_to_map']


def tokens_to_map(tokens: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Lay patch tokens out as the image they came from: (B, h * w, C) -> (B, C, h, w)."""
    B, _, C = tokens.shape
    return tokens.reshape(B, *grid_size, C).permute(0, 3, 1, 2).contiguous()


class TokenModel(ImageModel):
    """A network of patch embedding, blocks that keep the shape of the sequence, and a final norm.

    It names its parts `blocks` and `norm` and implements `embed`, what comes before the first block, and
    `token_grid`. With rotary positions it implements `embed_with_rope`, too. The taps are the blocks.

    Attributes:
        num_prefix_tokens: Tokens before the patches (class, registers, distillation).
    """

    num_prefix_tokens: int = 0

    if TYPE_CHECKING:
        blocks: nn.Sequential
        norm: nn.Module

    def embed(self, x: Tensor) -> Tensor:
        """What the first block sees: (B, in_chans, H, W) -> (B, num_prefix_tokens + h * w, C)."""
        raise NotImplementedError

    def embed_with_rope(self, x: Tensor) -> tuple[Tensor, list[Tensor] | None]:
        """`embed`, and for each block the rotary table that it takes as `rope`; None where blocks take none."""
        return self.embed(x), None

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patch tokens for an image of this size."""
        raise NotImplementedError

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Outputs of several blocks: (B, in_chans, H, W) -> (normed tokens, list of (B, C, h, w)).

        Args:
            indices: Blocks to take: all (None), the last n (int), or these, negative ones counted from the end. The
                list comes in network order.
            norm: Apply the final norm to every item of the list.
            stop_early: Do not run the blocks after the deepest that is taken.
            output_fmt: 'NCHW', or 'NLC' for tokens (B, h * w, C).
            intermediates_only: Return the list alone.
        """
        final, intermediates = self.walk_blocks(x, indices, norm, stop_early or intermediates_only, output_fmt)
        patches = [item for item, _ in intermediates]
        return patches if intermediates_only else (final(), patches)

    def walk_blocks(
        self,
        x: Tensor,
        indices: int | list[int] | None,
        norm: bool,
        stop_early: bool,
        output_fmt: str,
        **block_args: Any,
    ) -> tuple[Any, list[tuple[Tensor, Tensor]]]:
        """Run the blocks: returns a function that gives the final tokens, and (patches, prefix) pairs of the taps.

        Args:
            block_args: Passed to each block beside the tokens.
        """
        assert output_fmt in ('NCHW', 'NLC'), f"output_fmt must be 'NCHW' or 'NLC', got '{output_fmt}'"
        take, deepest = feature_take_indices(len(self.blocks), indices)
        wanted = set(take)
        grid_size = self.token_grid(x.shape[-2], x.shape[-1])
        num_prefix = self.num_prefix_tokens
        x, ropes = self.embed_with_rope(x)
        intermediates: list[tuple[Tensor, Tensor]] = []
        for i, block in enumerate(self.blocks):
            if stop_early and i > deepest:
                break
            x = block(x, **block_args) if ropes is None else block(x, rope=ropes[i], **block_args)
            if i in wanted:
                tokens = self.norm(x) if norm else x
                patches = tokens[:, num_prefix:]
                if output_fmt == 'NCHW':
                    patches = tokens_to_map(patches, grid_size)
                intermediates.append((patches, tokens[:, :num_prefix]))
        return lambda: self.norm(x), intermediates

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove the blocks beyond the deepest of those asked for; returns their indices, counted from the front.

        Args:
            indices: Blocks that must survive, as in `forward_intermediates`.
            prune_norm: Remove the final norm.
            prune_head: Remove what pools and classifies.
        """
        take, deepest = feature_take_indices(len(self.blocks), indices)
        self.blocks = self.blocks[: deepest + 1]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.prune_head()
        return take

    def prune_head(self) -> None:
        """Remove what pools and classifies."""
        self.reset_classifier(0, '')
