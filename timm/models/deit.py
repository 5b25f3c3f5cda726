"""DeiT: vision transformers trained on ImageNet alone, some with a second token that learns from a teacher.

Papers:
    Training data-efficient image transformers & distillation through attention, Touvron et al., 2020,
        arXiv:2012.12877 (distillation token: section 4, figure 2)
    DeiT III: Revenge of the ViT, Touvron et al., 2022, arXiv:2204.07118 (LayerScale, no position for the class token)

Departures: none. The undistilled networks are `VisionTransformer` as it is.
Shapes: B images, N tokens, C channels.
"""

from typing import Any

import torch
from torch import Tensor, nn

from timm.convert.vision_transformer import checkpoint_filter_fn as checkpoint_filter_fn
from timm.layers import resample_abs_pos_embed, trunc_normal_

from ._entrypoints import entrypoints
from ._model import ParamGroups
from .vision_transformer import VisionTransformer

__all__ = ['VisionTransformer', 'VisionTransformerDistilled']


class VisionTransformerDistilled(VisionTransformer):
    """A vision transformer with class and distillation tokens and a classifier for each (section 4).

    In training with `set_distilled_training(True)` the result is the pair of logits, otherwise their mean. The
    arguments are those of `VisionTransformer`.

    Raises:
        AssertionError: A pooling other than 'token' is asked for.
    """

    classifier_name = ('head', 'head_dist')
    groups = ParamGroups(
        stem=r'^cls_token|pos_embed|patch_embed|dist_token',
        blocks=[(r'^blocks\.(\d+)', None), (r'^norm', (99999,))],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        weight_init = kwargs.pop('weight_init', '')
        super().__init__(*args, **kwargs, weight_init='skip')
        assert self.global_pool == 'token', f"global_pool must be 'token', got {self.global_pool!r}"
        self.num_prefix_tokens = 2
        self.dist_token = nn.Parameter(torch.zeros(1, 1, self.embed_dim))
        self.pos_embed = nn.Parameter(
            torch.zeros(1, self.patch_embed.num_patches + self.num_prefix_tokens, self.embed_dim)
        )
        self.head_dist = nn.Linear(self.embed_dim, self.num_classes) if self.num_classes > 0 else nn.Identity()
        self.distilled_training = False
        self.weight_init_mode = weight_init
        self.init_weights(weight_init, needs_reset=False)

    def init_weights(self, mode: str = '', needs_reset: bool = True) -> None:
        """Draw all weights anew; see `VisionTransformer.init_weights`."""
        trunc_normal_(self.dist_token, std=0.02)
        super().init_weights(mode, needs_reset)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace both classifiers; each goes on reading its own token.

        Raises:
            AssertionError: A pooling other than 'token' is asked for.
        """
        assert global_pool in (None, '', 'token'), f'two classifiers read two tokens: no pooling {global_pool!r}'
        self.num_classes = num_classes
        with self.building_beside():
            heads = [nn.Linear(self.embed_dim, num_classes) if num_classes > 0 else nn.Identity() for _ in range(2)]
        self.head, self.head_dist = (head.train(self.training) for head in heads)

    def set_distilled_training(self, enable: bool = True) -> None:
        """Return both logits in training, for a loss that compares one with the teacher."""
        self.distilled_training = enable

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Class token, distillation token, patches, and a position for each."""
        table = self.pos_embed
        if self.dynamic_img_size:
            B, H, W, C = x.shape
            grid = self.patch_embed.grid_size
            table = resample_abs_pos_embed(
                table,
                new_size=[H, W],
                old_size=None if grid is None else list(grid),
                num_prefix_tokens=0 if self.no_embed_class else self.num_prefix_tokens,
            )
            x = x.reshape(B, -1, C)
        assert self.cls_token is not None
        tokens = [self.cls_token.expand(x.shape[0], -1, -1), self.dist_token.expand(x.shape[0], -1, -1)]
        if self.no_embed_class:
            x = torch.cat(tokens + [x + table], dim=1)  # noqa: RUF005 (TorchScript has no unpacking)
        else:
            x = torch.cat(tokens + [x], dim=1) + table  # noqa: RUF005
        return self.pos_drop(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Mean of the two classifiers, or both in distilled training; with `pre_logits` the mean of the two tokens."""
        cls, dist = x[:, 0], x[:, 1]
        if pre_logits:
            return (cls + dist) / 2
        logits = self.head(cls)
        dist_logits = self.head_dist(dist)
        if self.distilled_training and self.training and not torch.jit.is_scripting():
            return logits, dist_logits  # pyright: ignore[reportReturnType] (a pair only where it was asked for)
        return (logits + dist_logits) / 2


__getattr__ = entrypoints(__name__)
