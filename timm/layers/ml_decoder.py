"""ML-Decoder: a head for many labels, whose queries look at the features of a network (arXiv:2111.12933)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_counts, check_multiple, share_of
from ._device import building_on
from ._fx import register_notrace_function
from ._names import unknown_name
from .adaptive_avgmax_pool import SelectAdaptivePool2d
from .classifier import ClassifierHead
from .helpers import get_device_dtype

__all__ = ['MLDecoder', 'TransformerDecoderLayerOptimal', 'add_ml_decoder_head']

_HEADS = 8
_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {'relu': F.relu, 'gelu': F.gelu}


class TransformerDecoderLayerOptimal(nn.Module):
    """A layer of a transformer's decoder without self attention: norm, attention to a memory, MLP (section 2).

    x = norm1(2 tgt), then x = norm2(x + attention(x, memory)), then norm3(x + linear2(act(linear1(x)))).

    Shape: tgt (T, B, d_model), memory (M, B, d_model) -> (T, B, d_model)

    Args:
        dim_feedforward: Hidden width of the MLP.
        dropout: Of queries as they are added to themselves, attention weights, what attention returns, hidden units
            and what the MLP returns.
        activation: 'relu' or 'gelu'.

    Raises:
        ValueError: `nhead` does not divide `d_model`; the activation is another.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int = 8,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = 'relu',
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        share_of('d_model', d_model, 'nhead', nhead)
        if activation not in _ACTIVATIONS:
            raise unknown_name('activation', activation, _ACTIVATIONS)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.multihead_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.norm3 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.activation = _ACTIVATIONS[activation]
        self.dropout, self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(dropout) for _ in range(4))

    def forward(
        self,
        tgt: torch.Tensor,
        memory: torch.Tensor,
        tgt_mask: torch.Tensor | None = None,  # noqa: ARG002
        memory_mask: torch.Tensor | None = None,
        tgt_key_padding_mask: torch.Tensor | None = None,  # noqa: ARG002
        memory_key_padding_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Queries that have looked at the memory.

        Args:
            tgt_mask: For symmetry with nn.TransformerDecoderLayer: queries do not look at each other. Likewise
                `tgt_key_padding_mask`.
            memory_mask: (T, M), what queries must not look at is True, or numbers to add to scores.
            memory_key_padding_mask: (B, M), likewise for single images.
        """
        x = self.norm1(tgt + self.dropout1(tgt))
        found = self.multihead_attn(
            x, memory, memory, key_padding_mask=memory_key_padding_mask, need_weights=False, attn_mask=memory_mask
        )[0]
        x = self.norm2(x + self.dropout2(found))
        hidden = self.dropout(self.activation(self.linear1(x)))
        return self.norm3(x + self.dropout3(self.linear2(hidden)))


class _Decoder(nn.Module):
    """A column of decoder layers."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, tgt: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            tgt = layer(tgt, memory)
        return tgt


@register_notrace_function
def as_tokens(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, H * W, C); (B, N, C) stays."""
    if x.ndim == 4:
        return x.flatten(2).transpose(1, 2)
    if x.ndim != 3:
        raise ValueError(
            f'MLDecoder takes a map (B, C, H, W) or tokens (B, N, C), not {x.ndim} dimensions: leave pooling out.'
        )
    return x


class MLDecoder(nn.Module):
    """Logits from fixed random queries that have looked at all features, a few classes to each query (section 2).

    Shape: (B, initial_num_features, H, W) or (B, N, initial_num_features) -> (B, num_classes)

    Args:
        num_of_groups: Queries, each of which serves as many classes; below 0 for 100, and no more than classes.
        decoder_embedding: Width of queries, a multiple of 8; below 0 for 768.
        initial_num_features: Channels of the features.

    Raises:
        ValueError: A count is 0; `decoder_embedding` is no multiple of 8.
    """

    def __init__(
        self,
        num_classes: int,
        num_of_groups: int = -1,
        decoder_embedding: int = 768,
        initial_num_features: int = 2048,
    ) -> None:
        super().__init__()
        num_queries = min(100 if num_of_groups < 0 else num_of_groups, num_classes)
        width = 768 if decoder_embedding < 0 else decoder_embedding
        check_counts(num_classes=num_classes, num_of_groups=num_queries, initial_num_features=initial_num_features)
        check_multiple('decoder_embedding', width, _HEADS, f'cannot be shared by {_HEADS} heads')
        self.embed_len_decoder = num_queries
        self.num_classes = num_classes
        self.duplicate_factor = -(-num_classes // num_queries)
        self.embed_standart = nn.Linear(initial_num_features, width)
        self.decoder = _Decoder(TransformerDecoderLayerOptimal(width, _HEADS))
        self.query_embed = nn.Embedding(num_queries, width).requires_grad_(False)
        self.duplicate_pooling = nn.Parameter(torch.empty(num_queries, width, self.duplicate_factor))
        self.duplicate_pooling_bias = nn.Parameter(torch.zeros(num_classes))
        nn.init.xavier_normal_(self.duplicate_pooling)

    def _decode(self, x: torch.Tensor) -> torch.Tensor:
        memory = F.relu(self.embed_standart(as_tokens(x))).transpose(0, 1)
        queries = self.query_embed.weight.unsqueeze(1).expand(-1, memory.shape[1], -1)
        logits = torch.bmm(self.decoder(queries, memory), self.duplicate_pooling)
        return logits.transpose(0, 1).flatten(1)[:, : self.num_classes] + self.duplicate_pooling_bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify a map or tokens."""
        return self._decode(x)


class _MLDecoderHead(MLDecoder):
    """An MLDecoder in place of a `ClassifierHead`."""

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Classify a map; with `pre_logits` return it."""
        return x if pre_logits else self._decode(x)


def _place_of_head(model: Any) -> str:
    """Name of the linear map that a pool feeds, or of a head of nothing but these; '' where there is neither."""
    head = getattr(model, 'head', None)
    if isinstance(head, ClassifierHead):
        return 'head' if head.input_fmt == 'NCHW' else ''
    pool = getattr(model, 'global_pool', None)
    if isinstance(pool, nn.Module):
        width = model.num_features * (pool.feat_mult() if isinstance(pool, SelectAdaptivePool2d) else 1)
        for name in ('fc', 'classifier'):
            classifier = getattr(model, name, None)
            # another width would mean a hidden layer in between, which wants pooled features
            if (isinstance(classifier, nn.Linear) and classifier.in_features == width) or (
                isinstance(classifier, nn.Conv2d) and classifier.in_channels == width
            ):
                return name
    return ''


def add_ml_decoder_head(model: nn.Module) -> nn.Module:
    """Replace pool and classifier of a convolutional network by an `MLDecoder`, in place; returns the network.

    There must be a pool `global_pool` and behind it a linear classifier `fc` (as in ResNet) or `classifier` (as in
    EfficientNet), or a `ClassifierHead` for `head` (as in RegNet). The network's `drop_rate` becomes 0.

    Raises:
        ValueError: The network has no such head, or no classes.
    """
    facts: Any = model
    if not getattr(model, 'num_classes', 0):
        raise BadValue(f'{type(model).__name__} has no classes: build it with num_classes of 1 or more.')
    name = _place_of_head(model)
    if not name:
        raise BadValue(
            f"{type(model).__name__} has no head that an MLDecoder can replace: it needs 'global_pool' and a linear "
            f"'fc' or 'classifier' of num_features inputs, or a ClassifierHead as 'head', as ResNet, EfficientNet and "
            f'RegNet have.'
        )
    build = _MLDecoderHead if name == 'head' else MLDecoder
    with building_on(**get_device_dtype(model)):
        decoder = build(facts.num_classes, initial_num_features=facts.num_features)
    setattr(model, name, decoder.train(model.training))
    if name != 'head':
        facts.global_pool = SelectAdaptivePool2d(pool_type='')
    if hasattr(model, 'drop_rate'):
        facts.drop_rate = 0
    return model
