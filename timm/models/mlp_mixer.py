"""Networks of MLPs alone: one mixes the patches of each channel, the next the channels of each patch.

Papers:
    MLP-Mixer, Tolstikhin et al., 2021, arXiv:2105.01601 (`MixerBlock`: equation 1)
    ResMLP, Touvron et al., 2021, arXiv:2105.03404 (`Affine`, `ResBlock`: equations 1 to 3)
    Pay Attention to MLPs, Liu et al., 2021, arXiv:2105.08050 (gMLP; `SpatialGatingUnit`: section 2.1)

Departures: none.
Shapes: B images, N patches, C channels; a tensor with no remark is (B, N, C).
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from timm.convert.mlp_mixer import checkpoint_filter_fn as checkpoint_filter_fn
from timm.layers import DropPath, GatedMlp, Mlp, PatchEmbed, init_weight_jax, to_2tuple
from timm.layers._device import Module

from ._entrypoints import entrypoints
from ._manipulate import CheckpointedSequential, named_apply
from ._model import ParamGroups
from ._tokens import TokenModel

__all__ = ['MixerBlock', 'MlpMixer']

LAYER_NORM = partial(nn.LayerNorm, eps=1e-6)


def _drop_path(rate: float) -> nn.Module:
    return DropPath(rate) if rate > 0.0 else nn.Identity()


class MixerBlock(Module):
    """An MLP over patches, then one over channels, each behind a norm and beside a skip (equation 1).

    Shape: (B, N, C) -> (B, N, C)

    Args:
        seq_len: Number of patches.
        mlp_ratio: Widths of the two MLPs over `dim`.
    """

    def __init__(
        self,
        dim: int,
        seq_len: int,
        mlp_ratio: float | tuple[float, float] = (0.5, 4.0),
        mlp_layer: Callable[..., nn.Module] = Mlp,
        norm_layer: Callable[..., nn.Module] = LAYER_NORM,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        drop: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        tokens_dim, channels_dim = (int(ratio * dim) for ratio in to_2tuple(mlp_ratio))
        self.norm1 = norm_layer(dim)
        self.mlp_tokens = mlp_layer(seq_len, tokens_dim, act_layer=act_layer, drop=drop)
        self.drop_path = _drop_path(drop_path)
        self.norm2 = norm_layer(dim)
        self.mlp_channels = mlp_layer(dim, channels_dim, act_layer=act_layer, drop=drop)

    def forward(self, x: Tensor) -> Tensor:
        """Mix patches, then channels."""
        x = x + self.drop_path(self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2))
        x = x + self.drop_path(self.mlp_channels(self.norm2(x)))
        return x


class Affine(Module):
    """alpha * x + beta, element by element (ResMLP, equation 1)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift."""
        return torch.addcmul(self.beta, self.alpha, x)


class ResBlock(Module):
    """A linear layer over patches, then an MLP over channels, each scaled per channel (ResMLP, equations 2 and 3).

    Shape: (B, N, C) -> (B, N, C)

    Args:
        seq_len: Number of patches.
        init_values: First value of the two scales.
    """

    def __init__(
        self,
        dim: int,
        seq_len: int,
        mlp_ratio: float = 4,
        mlp_layer: Callable[..., nn.Module] = Mlp,
        norm_layer: Callable[..., nn.Module] = Affine,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        init_values: float = 1e-4,
        drop: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.linear_tokens = nn.Linear(seq_len, seq_len)
        self.drop_path = _drop_path(drop_path)
        self.norm2 = norm_layer(dim)
        self.mlp_channels = mlp_layer(dim, int(dim * mlp_ratio), act_layer=act_layer, drop=drop)
        self.ls1 = nn.Parameter(init_values * torch.ones(dim))
        self.ls2 = nn.Parameter(init_values * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Mix patches, then channels."""
        x = x + self.drop_path(self.ls1 * self.linear_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2))
        x = x + self.drop_path(self.ls2 * self.mlp_channels(self.norm2(x)))
        return x


class SpatialGatingUnit(Module):
    """One half of the channels, mixed over patches, gates the other: (B, N, C) -> (B, N, C / 2) (gMLP, section 2.1)."""

    def __init__(self, dim: int, seq_len: int, norm_layer: Callable[..., nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm_layer(dim // 2)
        self.proj = nn.Linear(seq_len, seq_len)

    def init_weights(self) -> None:
        """Start with open gates: weights near 0, bias 1."""
        nn.init.normal_(self.proj.weight, std=1e-6)
        nn.init.ones_(self.proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Gate one half by the other."""
        value, gate = x.chunk(2, dim=-1)
        gate = self.proj(self.norm(gate).transpose(-1, -2))
        return value * gate.transpose(-1, -2)


class SpatialGatingBlock(Module):
    """A gated MLP over channels whose gate looks over all patches (gMLP, figure 1): (B, N, C) -> (B, N, C).

    Args:
        seq_len: Number of patches.
    """

    def __init__(
        self,
        dim: int,
        seq_len: int,
        mlp_ratio: float = 4,
        mlp_layer: Callable[..., nn.Module] = GatedMlp,
        norm_layer: Callable[..., nn.Module] = LAYER_NORM,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        drop: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = norm_layer(dim)
        gate = partial(SpatialGatingUnit, seq_len=seq_len)
        self.mlp_channels = mlp_layer(dim, int(dim * mlp_ratio), act_layer=act_layer, gate_layer=gate, drop=drop)
        self.drop_path = _drop_path(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Residual branch plus skip."""
        return x + self.drop_path(self.mlp_channels(self.norm(x)))


class MlpMixer(TokenModel):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Args:
        block_layer: Builds a block from (dim, seq_len, mlp_ratio, ...).
        nlhb: Start the classifier's bias at -log(num_classes).
        stem_norm: Norm after the patch embedding.
        global_pool: 'avg', or '' for all patches.

    Raises:
        AssertionError: The pooling is unknown.
    """

    classifier_name = 'head'
    groups = ParamGroups(stem=r'^stem', blocks=[(r'^blocks\.(\d+)', None), (r'^norm', (99999,))])

    def __init__(
        self,
        num_classes: int = 1000,
        img_size: int | tuple[int, int] = 224,
        in_chans: int = 3,
        patch_size: int = 16,
        num_blocks: int = 8,
        embed_dim: int = 512,
        mlp_ratio: float | tuple[float, float] = (0.5, 4.0),
        block_layer: Callable[..., nn.Module] = MixerBlock,
        mlp_layer: Callable[..., nn.Module] = Mlp,
        norm_layer: Callable[..., nn.Module] = LAYER_NORM,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        nlhb: bool = False,
        stem_norm: bool = False,
        global_pool: str = 'avg',
    ) -> None:
        super().__init__()
        self.describe(num_classes, in_chans, embed_dim)
        self.embed_dim = embed_dim
        self.global_pool = _checked_pool(global_pool)
        self.stem = PatchEmbed(
            img_size=img_size,
            patch_size=patch_size,
            in_chans=in_chans,
            embed_dim=embed_dim,
            norm_layer=norm_layer if stem_norm else None,
        )
        reduction = self.stem.feat_ratio()
        make_block = partial(
            block_layer,
            dim=embed_dim,
            seq_len=self.stem.num_patches,
            mlp_ratio=mlp_ratio,
            mlp_layer=mlp_layer,
            act_layer=act_layer,
            norm_layer=norm_layer,
            drop_path=drop_path_rate,
            drop=proj_drop_rate,
        )
        self.blocks = CheckpointedSequential(*(make_block() for _ in range(num_blocks)))
        self.feature_info = [
            {'module': f'blocks.{i}', 'num_chs': embed_dim, 'reduction': reduction} for i in range(num_blocks)
        ]
        self.norm = norm_layer(embed_dim)
        self.head_drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(embed_dim, num_classes) if num_classes > 0 else nn.Identity()
        self.init_weights(nlhb=nlhb)

    def init_weights(self, nlhb: bool = False) -> None:
        """Glorot matrices, tiny MLP biases, a zero classifier, as the original JAX code."""
        head_bias = -math.log(self.num_classes) if nlhb else 0.0
        named_apply(partial(init_weight_jax, head_bias=head_bias), self)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier; see `ImageModel.reset_classifier`.

        Raises:
            AssertionError: The pooling is unknown.
        """
        self.num_classes = num_classes
        if global_pool is not None:
            self.global_pool = _checked_pool(global_pool)
        with self.building_beside():
            head = nn.Linear(self.embed_dim, num_classes) if num_classes > 0 else nn.Identity()
        self.head = head.train(self.training)

    def embed(self, x: Tensor) -> Tensor:
        """Patches: (B, in_chans, H, W) -> (B, N, C)."""
        return self.stem(x)

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches for an image of this size."""
        return self.stem.dynamic_feat_size((height, width))

    def forward_features(self, x: Tensor) -> Tensor:
        """Patches after the final norm: (B, in_chans, H, W) -> (B, N, C)."""
        x = self.stem(x)
        x = self.blocks(x)
        return self.norm(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Average and classify; with `pre_logits` stop before the classifier."""
        if self.global_pool == 'avg':
            x = x.mean(dim=1)
        x = self.head_drop(x)
        return x if pre_logits else self.head(x)


def _checked_pool(global_pool: str) -> str:
    assert global_pool in ('', 'avg'), f"global_pool must be 'avg' or '', got {global_pool!r}"
    return global_pool


__getattr__ = entrypoints(__name__)
