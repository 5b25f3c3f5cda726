"""Swin Transformer: a pyramid of transformer stages that attend within windows, shifted in every second block.

Papers:
    Swin Transformer, Liu et al., 2021, arXiv:2103.14030 (architecture: figure 3; windows: section 3.2)
    Searching the Search Space of Vision Transformer, Chen et al., 2021, arXiv:2111.14725 (S3)

Departures: patches are merged at the beginning of a stage, not at the end of the one before.
Shapes: B images, H and W rows and columns of a map, C channels, M windows, N tokens of a window; a tensor with no
remark is (B, H, W, C).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timm.convert.swin_transformer import checkpoint_filter_fn as checkpoint_filter_fn
from timm.layers import (
    ClassifierHead,
    DropPath,
    LayerType,
    Mlp,
    PatchEmbed,
    calculate_drop_path_rates,
    gen_relative_position_index,
    get_norm_layer,
    register_notrace_function,
    resize_rel_pos_bias_table,
    to_2tuple,
    trunc_normal_,
    use_fused_attn,
    window,
)
from timm.layers._device import Module

from ._entrypoints import entrypoints
from ._input import update_model_input_size
from ._manipulate import CheckpointedSequential, named_apply
from ._model import ParamGroups
from ._staged import StagedModel
from ._window_sizes import Size, WindowRatios, WindowSizes, calc_stage_window_sizes, resolve_stage_window_sizes
from ._window_sizes import resolve_stage_window_ratios as resolve_stage_window_ratios
from ._window_sizes import resolve_window_args as resolve_window_args
from ._window_sizes import window_sizes_from_ratio as window_sizes_from_ratio
from .vision_transformer import get_init_weights_vit

__all__ = ['SwinTransformer']


def window_partition(x: Tensor, window_size: Size) -> Tensor:
    """Windows of a map: (B, H, W, C) -> (B * M, h, w, C)."""
    return window.window_partition(x, window_size)


@register_notrace_function
def window_reverse(windows: Tensor, window_size: Size, H: int, W: int) -> Tensor:
    """The map whose windows these are: (B * M, h, w, C) -> (B, H, W, C)."""
    return window.window_reverse(windows, window_size, (H, W))


def get_relative_position_index(win_h: int, win_w: int, device: torch.device | None = None) -> Tensor:
    """For each pair of tokens in a window, the row of its offset in the bias table: (N, N) (section 3.2, eq. 4)."""
    return gen_relative_position_index((win_h, win_w), device=device)


class WindowAttention(Module):
    """Attention within windows, with a learned bias for each relative position (section 3.2, equation 4).

    Shape: (B * M, N, C) -> (B * M, N, C)

    Args:
        head_dim: Width of a head; `dim / num_heads` unless given.
        window_size: Height and width of a window, N = h * w.

    Raises:
        ValueError: `dim` is not a multiple of `num_heads` and no `head_dim` is given.
    """

    fused_attn: torch.jit.Final[bool]
    relative_position_index: Tensor

    def __init__(
        self,
        dim: int,
        num_heads: int,
        head_dim: int | None = None,
        window_size: int | Size = 7,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        if head_dim is None and dim % num_heads:
            raise ValueError(f'dim={dim} is not a multiple of num_heads={num_heads}; give head_dim')
        self.dim = dim
        self.window_size: Size = to_2tuple(window_size)
        self.window_area = math.prod(self.window_size)
        self.num_heads = num_heads
        head_dim = head_dim or dim // num_heads
        attn_dim = head_dim * num_heads
        self.scale = head_dim**-0.5
        self.fused_attn = use_fused_attn(experimental=True)
        self.relative_position_bias_table = nn.Parameter(torch.empty(self._table_length(), num_heads))
        self.qkv = nn.Linear(dim, attn_dim * 3, bias=qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(attn_dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        self.softmax = nn.Softmax(dim=-1)
        self.reset_parameters()
        self.init_non_persistent_buffers()

    def _table_length(self) -> int:
        return (2 * self.window_size[0] - 1) * (2 * self.window_size[1] - 1)

    def reset_parameters(self) -> None:
        """Draw the bias table."""
        trunc_normal_(self.relative_position_bias_table, std=0.02)

    def init_non_persistent_buffers(self) -> None:
        """Compute the index into the bias table."""
        index = get_relative_position_index(*self.window_size, device=self.relative_position_bias_table.device)
        self.register_buffer('relative_position_index', index, persistent=False)

    def set_window_size(self, window_size: int | Size) -> None:
        """Attend within windows of another size; the bias table is resampled."""
        window_size = to_2tuple(window_size)
        if window_size == self.window_size:
            return
        old_window_size, self.window_size = self.window_size, window_size
        self.window_area = math.prod(window_size)
        old = self.relative_position_bias_table
        with torch.no_grad():
            table = resize_rel_pos_bias_table(
                old,
                new_window_size=window_size,
                new_bias_shape=(self._table_length(), self.num_heads),
                old_window_size=old_window_size,
            )
        self.relative_position_bias_table = nn.Parameter(table, requires_grad=old.requires_grad)
        self.init_non_persistent_buffers()

    def _bias(self) -> Tensor:
        """(1, heads, N, N)."""
        table = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        bias = table.view(self.window_area, self.window_area, -1).permute(2, 0, 1).contiguous()
        return bias.unsqueeze(0)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend; `mask` (M, N, N) is added to the scores of each image's windows."""
        windows, N, _ = x.shape
        q, k, v = self.qkv(x).reshape(windows, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self._bias()
        if mask is not None:
            repeats = windows // mask.shape[0]
            bias = (bias + mask.unsqueeze(1)).repeat(repeats, 1, 1, 1)
        if self.fused_attn:
            dropout = self.attn_drop.p if self.training else 0.0
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1) + bias
            x = self.attn_drop(self.softmax(scores)) @ v
        x = x.transpose(1, 2).reshape(windows, N, -1)
        return self.proj_drop(self.proj(x))


class SwinTransformerBlock(Module):
    """Window attention and an MLP, each behind a norm and beside a skip (figure 3b): (B, H, W, C) -> (B, H, W, C).

    Args:
        input_resolution: H and W that the attention mask is computed for.
        window_size: Reduced to `input_resolution` where that is smaller, unless `always_partition`.
        shift_size: Rows and columns by which windows are shifted.
        dynamic_mask: Compute the mask for each input, for maps of any size.
    """

    def __init__(
        self,
        dim: int,
        input_resolution: Size,
        num_heads: int = 4,
        head_dim: int | None = None,
        window_size: int | Size = 7,
        shift_size: int | Size = 0,
        always_partition: bool = False,
        dynamic_mask: bool = False,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: Callable[..., nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.input_resolution = input_resolution
        self.target_shift_size: Size = to_2tuple(shift_size)
        self.always_partition = always_partition
        self.dynamic_mask = dynamic_mask
        self.window_size, self.shift_size = self._fit(to_2tuple(window_size))
        self.window_area = math.prod(self.window_size)
        self.mlp_ratio = mlp_ratio

        self.norm1 = norm_layer(dim)
        self.attn = WindowAttention(
            dim,
            num_heads=num_heads,
            head_dim=head_dim,
            window_size=self.window_size,
            qkv_bias=qkv_bias,
            attn_drop=attn_drop,
            proj_drop=proj_drop,
        )
        self.drop_path1 = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()
        self.norm2 = norm_layer(dim)
        self.mlp = Mlp(dim, hidden_features=int(dim * mlp_ratio), act_layer=act_layer, drop=proj_drop)
        self.drop_path2 = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()
        self.register_buffer('attn_mask', None, persistent=False)
        self.init_non_persistent_buffers()

    def reset_parameters(self) -> None:
        """Nothing of its own to draw."""

    def init_non_persistent_buffers(self) -> None:
        """Compute the mask for the map this block was built for."""
        table = self.attn.relative_position_bias_table
        self.attn_mask = None if self.dynamic_mask else self.get_attn_mask(device=table.device, dtype=table.dtype)

    def get_attn_mask(
        self, x: Tensor | None = None, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Tensor | None:
        """-100 between tokens that a shifted window brings together from apart: (M, N, N) (section 3.2, figure 4).

        Args:
            x: Map to take the size from; `input_resolution` unless given.
        """
        if self.shift_size[0] == 0 and self.shift_size[1] == 0:
            return None
        if x is None:
            H, W = self.input_resolution
        else:
            H, W, device, dtype = x.shape[1], x.shape[2], x.device, x.dtype
        h, w = self.window_size
        H, W = (H + h - 1) // h * h, (W + w - 1) // w * w
        rows = _regions(H, h, self.shift_size[0], device)
        columns = _regions(W, w, self.shift_size[1], device)
        regions = (rows[:, None] * 3 + columns[None, :]).reshape(1, H, W, 1)
        regions = window_partition(regions, self.window_size).reshape(-1, self.window_area)
        apart = regions.unsqueeze(1) != regions.unsqueeze(2)
        mask = apart * -100.0
        return mask if dtype is None else mask.to(dtype)

    def _fit(self, window_size: Size) -> tuple[Size, Size]:
        """Window and shift that suit the map: no larger than it, and unshifted where one window spans it."""
        shift = (window_size[0] // 2, window_size[1] // 2) if any(self.target_shift_size) else (0, 0)
        if self.always_partition:
            return window_size, shift
        fitted = [
            (extent, 0) if extent <= size else (size, step)
            for extent, size, step in zip(self.input_resolution, window_size, shift, strict=True)
        ]
        return (fitted[0][0], fitted[1][0]), (fitted[0][1], fitted[1][1])

    def set_input_size(self, feat_size: Size, window_size: Size, always_partition: bool | None = None) -> None:
        """Expect maps of another size, in windows of another size."""
        self.input_resolution = feat_size
        if always_partition is not None:
            self.always_partition = always_partition
        self.window_size, self.shift_size = self._fit(to_2tuple(window_size))
        self.window_area = math.prod(self.window_size)
        self.attn.set_window_size(self.window_size)
        self.init_non_persistent_buffers()

    def _attn(self, x: Tensor) -> Tensor:
        """Shift, cut into windows, attend, put together, shift back."""
        _, H, W, C = x.shape
        h, w = self.window_size
        shifted = self.shift_size[0] > 0 or self.shift_size[1] > 0
        if shifted:
            x = torch.roll(x, shifts=(-self.shift_size[0], -self.shift_size[1]), dims=(1, 2))
        below, right = (h - H % h) % h, (w - W % w) % w
        x = F.pad(x, (0, 0, 0, right, 0, below))
        windows = window_partition(x, self.window_size).reshape(-1, self.window_area, C)
        mask = self.get_attn_mask(x) if self.dynamic_mask else self.attn_mask
        windows = self.attn(windows, mask=mask).view(-1, h, w, C)
        x = window_reverse(windows, self.window_size, H + below, W + right)
        x = x[:, :H, :W, :].contiguous()
        if shifted:
            x = torch.roll(x, shifts=self.shift_size, dims=(1, 2))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Attention branch, then MLP branch."""
        x = x + self.drop_path1(self._attn(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))


def _regions(extent: int, window_size: int, shift: int, device: torch.device | None) -> Tensor:
    """0, 1 or 2 for each row: untouched windows, and the two parts of the windows that wrap around."""
    position = torch.arange(extent, device=device)
    if shift == 0:
        return torch.zeros_like(position)
    return (position >= extent - window_size).long() + (position >= extent - shift).long()


class PatchMerging(Module):
    """Each 2 x 2 neighbourhood becomes one token (section 3.1): (B, H, W, C) -> (B, H/2, W/2, out_dim)."""

    def __init__(
        self, dim: int, out_dim: int | None = None, norm_layer: Callable[..., nn.Module] = nn.LayerNorm
    ) -> None:
        super().__init__()
        self.dim = dim
        self.out_dim = out_dim or 2 * dim
        self.norm = norm_layer(4 * dim)
        self.reduction = nn.Linear(4 * dim, self.out_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gather, norm, project; an odd row or column is padded."""
        B, H, W, C = x.shape
        x = F.pad(x, (0, 0, 0, W % 2, 0, H % 2))
        # Published weights expect the neighbours column by column.
        x = x.reshape(B, (H + 1) // 2, 2, (W + 1) // 2, 2, C).permute(0, 1, 3, 4, 2, 5).flatten(3)
        return self.reduction(self.norm(x))


class SwinTransformerStage(Module):
    """Patch merging, then blocks with windows in place and shifted in turn: (B, H, W, C) -> (B, H/2, W/2, out_dim).

    Args:
        input_resolution: H and W before merging.
        downsample: Merge patches at the entrance.
        drop_path: One rate for all blocks, or one each.

    The other arguments are those of `SwinTransformerBlock`.
    """

    def __init__(
        self,
        dim: int,
        out_dim: int,
        input_resolution: Size,
        depth: int,
        downsample: bool = True,
        num_heads: int = 4,
        head_dim: int | None = None,
        window_size: int | Size = 7,
        always_partition: bool = False,
        dynamic_mask: bool = False,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float | Sequence[float] = 0.0,
        norm_layer: Callable[..., nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.input_resolution = input_resolution
        self.depth = depth
        self.output_resolution = _halved(input_resolution) if downsample else input_resolution
        window_size = to_2tuple(window_size)
        if downsample:
            self.downsample = PatchMerging(dim=dim, out_dim=out_dim, norm_layer=norm_layer)
        else:
            assert dim == out_dim
            self.downsample = nn.Identity()
        rates = list(drop_path) if isinstance(drop_path, Sequence) else [drop_path] * depth
        self.blocks = CheckpointedSequential(
            *(
                SwinTransformerBlock(
                    dim=out_dim,
                    input_resolution=self.output_resolution,
                    num_heads=num_heads,
                    head_dim=head_dim,
                    window_size=window_size,
                    shift_size=0 if i % 2 == 0 else (window_size[0] // 2, window_size[1] // 2),
                    always_partition=always_partition,
                    dynamic_mask=dynamic_mask,
                    mlp_ratio=mlp_ratio,
                    qkv_bias=qkv_bias,
                    proj_drop=proj_drop,
                    attn_drop=attn_drop,
                    drop_path=rates[i],
                    norm_layer=norm_layer,
                )
                for i in range(depth)
            )
        )

    def set_input_size(self, feat_size: Size, window_size: Size, always_partition: bool | None = None) -> None:
        """Expect maps of another size, in windows of another size."""
        self.input_resolution = feat_size
        self.output_resolution = feat_size if isinstance(self.downsample, nn.Identity) else _halved(feat_size)
        blocks: Any = self.blocks
        for block in blocks:
            block.set_input_size(self.output_resolution, window_size, always_partition)

    def forward(self, x: Tensor) -> Tensor:
        """Merge, then attend."""
        return self.blocks(self.downsample(x))


def _halved(size: Size) -> Size:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


class SwinTransformer(StagedModel):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Args:
        embed_dim: Channels of the first stage, doubled by each later one.
        head_dim: Width of a head; `dim / num_heads` unless given.
        window_size: Of all stages, or one for each.
        always_partition: Keep the window size where one window would span the map.
        strict_img_size: Refuse images of another size than `img_size`.
        dynamic_img_size: Take images of any size; masks are computed for each.
        weight_init: As in `VisionTransformer`.
    """

    path = ('patch_embed', 'layers.*', 'norm')
    final_norm = 'norm'
    layout = 'NHWC'
    groups = ParamGroups(
        stem=r'^patch_embed',
        blocks=[
            (r'^layers\.(\d+).downsample', (0,)),
            (r'^layers\.(\d+)\.\w+\.(\d+)', None),
            (r'^norm', (99999,)),
        ],
        coarse=r'^layers\.(\d+)',
    )

    def __init__(
        self,
        img_size: int | Size = 224,
        patch_size: int = 4,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = 'avg',
        embed_dim: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        num_heads: tuple[int, ...] = (3, 6, 12, 24),
        head_dim: int | None = None,
        window_size: WindowSizes = 7,
        always_partition: bool = False,
        strict_img_size: bool = True,
        dynamic_img_size: bool = False,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        embed_layer: Callable[..., nn.Module] = PatchEmbed,
        norm_layer: LayerType = nn.LayerNorm,
        weight_init: str = '',
    ) -> None:
        super().__init__()
        norm: Any = get_norm_layer(norm_layer)
        self.num_layers = num_stages = len(depths)
        strict = strict_img_size and not dynamic_img_size
        self.dynamic_img_size = not strict
        self.global_pool = global_pool
        self.output_fmt = 'NHWC'
        self.embed_dim = embed_dim
        self.weight_init_mode = weight_init
        self.patch_embed: Any = embed_layer(
            img_size=img_size,
            patch_size=patch_size,
            in_chans=in_chans,
            embed_dim=embed_dim,
            norm_layer=norm,
            strict_img_size=strict,
            output_fmt='NHWC',
        )
        grid, ratio = self.patch_embed.grid_size, self.patch_embed.feat_ratio()
        sizes = resolve_stage_window_sizes(window_size, num_stages)
        dims = [embed_dim * 2**i for i in range(num_stages)]
        rates = calculate_drop_path_rates(drop_path_rate, depths, stagewise=True)
        stages: list[SwinTransformerStage] = []
        self.feature_info, size = [], grid
        for i, dim in enumerate(dims):
            stages.append(
                SwinTransformerStage(
                    dim=dims[max(i - 1, 0)],
                    out_dim=dim,
                    input_resolution=size,
                    depth=depths[i],
                    downsample=i > 0,
                    num_heads=num_heads[i],
                    head_dim=head_dim,
                    window_size=sizes[i],
                    always_partition=always_partition,
                    dynamic_mask=not strict,
                    mlp_ratio=mlp_ratio,
                    qkv_bias=qkv_bias,
                    proj_drop=proj_drop_rate,
                    attn_drop=attn_drop_rate,
                    drop_path=rates[i],
                    norm_layer=norm,
                )
            )
            size = stages[-1].output_resolution
            self.feature_info.append({'num_chs': dim, 'reduction': ratio * 2**i, 'module': f'layers.{i}'})
        self.layers = nn.Sequential(*stages)
        self.norm = norm(dims[-1])
        self.head = ClassifierHead(dims[-1], num_classes, pool_type=global_pool, drop_rate=drop_rate, input_fmt='NHWC')
        self.describe(num_classes, in_chans, dims[-1], self.head.num_features)
        self._ref_grid_size, self._ref_window_sizes = grid, sizes
        if weight_init != 'skip':
            self.init_weights(weight_init, needs_reset=False)

    def init_weights(self, mode: str = '', needs_reset: bool = True) -> None:
        """Draw all weights anew; the modes are those of `VisionTransformer`."""
        mode = mode or self.weight_init_mode
        assert mode in ('jax', 'jax_nlhb', 'moco', 'reset', 'skip', ''), f'unknown weight_init {mode!r}'
        head_bias = -math.log(self.num_classes) if 'nlhb' in mode else 0.0
        named_apply(get_init_weights_vit(mode, head_bias, needs_reset), self)

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone: the bias tables."""
        return {name for name, _ in self.named_parameters() if 'relative_position_bias_table' in name}

    def set_input_size(
        self,
        img_size: int | Size | None = None,
        patch_size: int | Size | None = None,
        window_size: WindowSizes | None = None,
        window_ratio: WindowRatios | None = None,
        always_partition: bool | None = None,
    ) -> None:
        """Expect images of another size, in patches or windows of another size; weights are resampled.

        Args:
            window_size: Of all stages, or one for each.
            window_ratio: Windows are the first map divided by this, for all stages or one for each. Without it and
                `window_size`, windows are to the map as in the last call that named either, or as built.

        Raises:
            AssertionError: A window size or ratio is below 1, or there is not one for each stage.
            TypeError: It is no whole number. In both cases the model stays as it is.
        """
        stages: Any = self.layers
        window_size, window_ratio = resolve_window_args(window_size, window_ratio, len(stages))
        if img_size is not None or patch_size is not None:
            self.patch_embed.set_input_size(img_size=img_size, patch_size=patch_size)
        ratio: int = self.patch_embed.feat_ratio()
        for i, info in enumerate(self.feature_info):
            info['reduction'] = ratio * 2**i
        grid: Size = self.patch_embed.grid_size
        sizes = calc_stage_window_sizes(grid, self._ref_window_sizes, self._ref_grid_size, window_size, window_ratio)
        size = grid
        for stage, stage_window in zip(stages, sizes, strict=True):
            stage.set_input_size(size, stage_window, always_partition)
            size = stage.output_resolution
        if window_size is not None or window_ratio is not None:
            self._ref_grid_size, self._ref_window_sizes = grid, sizes
        asked = {'patch_size': patch_size, 'always_partition': always_partition}
        changed = {name: value for name, value in asked.items() if value is not None}
        update_model_input_size(self, self.patch_embed.img_size, window_size=sizes, **changed)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove what lies beyond the deepest tap; see `StagedModel.prune_intermediate_layers`."""
        taken = super().prune_intermediate_layers(indices, prune_norm, prune_head)
        self._ref_window_sizes = self._ref_window_sizes[: len(self.layers)]
        return taken

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier; see `ImageModel.reset_classifier`."""
        super().reset_classifier(num_classes, global_pool)
        self.global_pool = self.head.global_pool.pool_type

    def forward_features(self, x: Tensor) -> Tensor:
        """Un-pooled features: (B, in_chans, H, W) -> (B, H/32, W/32, num_features)."""
        return self.norm(self.layers(self.patch_embed(x)))


__getattr__ = entrypoints(__name__)
