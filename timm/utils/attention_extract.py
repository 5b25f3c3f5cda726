"""Attention maps of a transformer, by the names of modules or graph nodes."""

import contextlib
import fnmatch
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from timm.models._features import FeatureHooks
from timm.models._features_fx import GraphExtractNet, get_graph_node_names

__all__ = ['AttentionExtract']

# What the maps are called where nothing else is asked for.
DEFAULT_NODES = ('*attn.softmax',)
DEFAULT_MODULES = ('*attn_drop',)


@contextlib.contextmanager
def _plain_attention(model: nn.Module) -> Iterator[None]:
    """Attention step by step inside the block: a fused kernel never writes the map."""
    fused = [module for module in model.modules() if getattr(module, 'fused_attn', False) is True]
    for module in fused:
        module.fused_attn = False  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]


class AttentionExtract(nn.Module):
    """Gives the attention maps of a model instead of its output: (B, C, H, W) -> dict of name -> (B, heads, N, N).

    Args:
        names: Patterns, as in a shell, of node names ('fx', default '*attn.softmax') or module names ('hook', default
            '*attn_drop').
        mode: 'eval' or 'train', into which the model is put.
        method: Read nodes of the traced graph ('fx') or outputs of modules ('hook').
        hook_type: With 'hook', take what a module gives ('forward') or gets ('forward_pre').
        use_regex: `names` are regular expressions.

    Raises:
        ValueError: `mode` or `method` is unknown.
        RuntimeError: No name matches.
    """

    def __init__(
        self,
        model: nn.Module,
        names: Sequence[str] | str | None = None,
        mode: str = 'eval',
        method: str = 'fx',
        hook_type: str = 'forward',
        use_regex: bool = False,
    ) -> None:
        super().__init__()
        if mode not in ('eval', 'train'):
            raise ValueError(f"mode='{mode}' is not known: use 'eval' or 'train'.")
        if method not in ('fx', 'hook'):
            raise ValueError(f"method='{method}' is not known: use 'fx' or 'hook'.")
        model.train(mode == 'train')
        patterns = names or (DEFAULT_NODES if method == 'fx' else DEFAULT_MODULES)
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        with _plain_attention(model):
            if method == 'fx':
                train_nodes, eval_nodes = get_graph_node_names(model)
                known = train_nodes if mode == 'train' else eval_nodes
            else:
                known = [name for name, _ in model.named_modules()]
            chosen = [name for name in known if _matches(name, patterns, use_regex)]
            if not chosen:
                what = 'graph node' if method == 'fx' else 'module'
                raise RuntimeError(f'No {what} matches {patterns}: look at the names the model has.')
            self.model = GraphExtractNet(model, chosen, return_dict=True) if method == 'fx' else model
        self.hooks = None
        if method == 'hook':
            self.hooks = FeatureHooks(chosen, model.named_modules(), default_hook_type=hook_type)
        self.names = chosen
        self.mode = mode
        self.method = method

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if self.hooks is None:
            return self.model(x)
        with _plain_attention(self.model):
            self.model(x)
        found: OrderedDict[int | str, Tensor] = self.hooks.get_output(device=torch.device(x.device))
        return {str(name): value for name, value in found.items()}


def _matches(name: str, patterns: Sequence[str], use_regex: bool) -> bool:
    if use_regex:
        return any(re.match(pattern, name) for pattern in patterns)
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
