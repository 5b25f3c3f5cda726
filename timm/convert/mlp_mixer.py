"""ResMLP checkpoints of the original code; the others have our names already."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ['checkpoint_filter_fn']

_RENAMES = (
    ('patch_embed.', 'stem.'),
    ('attn.', 'linear_tokens.'),
    ('mlp.', 'mlp_channels.'),
    ('gamma_', 'ls'),
)


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: Any) -> dict[str, Tensor]:  # noqa: ARG001
    """Bring a checkpoint to our names; affine parameters get their two leading axes."""
    state = state_dict.get('model', state_dict)
    if 'patch_embed.proj.weight' not in state:
        return dict(state)
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        for old, new in _RENAMES:
            key = key.replace(old, new)
        if key.endswith(('.alpha', '.beta')):
            value = value.reshape(1, 1, -1)
        result[key] = value
    return result
