"""Feature wrappers built by symbolic tracing: any node of a network's graph can be an output."""

from collections.abc import Sequence

import torch
from torch import nn

from timm.layers._fx import (
    create_feature_extractor,
    get_graph_node_names,
    get_notrace_functions,
    get_notrace_modules,
    is_notrace_function,
    is_notrace_module,
    register_notrace_function,
    register_notrace_module,
)
from timm.layers.format import Format, FormatT

from ._features import _get_feature_info

__all__ = [
    'FeatureGraphNet',
    'GraphExtractNet',
    'create_feature_extractor',
    'get_graph_node_names',
    'get_notrace_functions',
    'get_notrace_modules',
    'is_notrace_function',
    'is_notrace_module',
    'register_notrace_function',
    'register_notrace_module',
]


class FeatureGraphNet(nn.Module):
    """The feature maps that `feature_info` of a network promises, read off its traced graph in network order.

    Shape: (B, C, H, W) -> list of maps, or dict of maps with `return_dict`

    Args:
        out_indices: Which taps of `feature_info` to return; negative ones count from the end.
        out_map: Keys of the dict, one per index; the indices as text when None.
        output_fmt: Layout of the network's maps, kept for readers; nothing is permuted.

    Raises:
        ValueError: `out_map` and `out_indices` differ in length.
    """

    return_dict: torch.jit.Final[bool]

    def __init__(
        self,
        model: nn.Module,
        out_indices: Sequence[int],
        out_map: Sequence[int | str] | None = None,
        output_fmt: FormatT = 'NCHW',
        return_dict: bool = False,
    ) -> None:
        super().__init__()
        self.feature_info = _get_feature_info(model, out_indices)
        self.output_fmt = Format(output_fmt)
        self.return_dict = return_dict
        keys = self.feature_info.out_indices if out_map is None else out_map
        names = self.feature_info.module_name()
        if len(keys) != len(names):
            raise ValueError(f'out_map names {len(keys)} outputs for {len(names)} out_indices: give one name for each.')
        nodes = {name: str(key) for name, key in zip(names, keys, strict=True)}
        self.graph_module = create_feature_extractor(model, nodes)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor] | dict[str, torch.Tensor]:
        """Maps of all taps."""
        maps = self.graph_module(x)
        return maps if self.return_dict else list(maps.values())


class GraphExtractNet(nn.Module):
    """Outputs of arbitrary nodes of a network's traced graph.

    Shape: (B, C, H, W) -> list of node outputs; the output itself if there is one and `squeeze_out`; dict with
    `return_dict`

    Args:
        return_nodes: Node names, or name of node -> key in the result; see `get_graph_node_names`.
    """

    return_dict: torch.jit.Final[bool]

    def __init__(
        self,
        model: nn.Module,
        return_nodes: dict[str, str] | list[str] | str,
        squeeze_out: bool = True,
        return_dict: bool = False,
    ) -> None:
        super().__init__()
        self.squeeze_out = squeeze_out
        self.return_dict = return_dict
        self.graph_module = create_feature_extractor(model, return_nodes)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor] | torch.Tensor | dict[str, torch.Tensor]:
        """Outputs of all nodes asked for."""
        outputs = self.graph_module(x)
        if self.return_dict:
            return outputs
        if self.squeeze_out and len(outputs) == 1:
            return next(iter(outputs.values()))
        return list(outputs.values())
