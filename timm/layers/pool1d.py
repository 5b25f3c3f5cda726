"""Global pool of token sequences."""

import torch

__all__ = ['global_pool_nlc']


def global_pool_nlc(
    x: torch.Tensor,
    pool_type: str = 'token',
    num_prefix_tokens: int = 1,
    reduce_include_prefix: bool = False,
) -> torch.Tensor:
    """One feature vector per sequence: its first token, or the average, maximum or mean of both of its tokens.

    Shape: (B, N, C) -> (B, C), or (B, N, C) without pooling

    Args:
        pool_type: 'token', 'avg', 'max', 'avgmax'; '' for no pooling.
        num_prefix_tokens: Tokens at the front (class, registers) that average and maximum leave out,
            unless `reduce_include_prefix`.

    Raises:
        ValueError: `pool_type` is another, or `num_prefix_tokens` negative.
    """
    if num_prefix_tokens < 0:
        raise ValueError(f'num_prefix_tokens={num_prefix_tokens} is less than none: use 0 or more.')
    if not pool_type:
        return x
    if pool_type == 'token':
        return x[:, 0]
    if not reduce_include_prefix:
        x = x[:, num_prefix_tokens:]
    if pool_type == 'avg':
        return x.mean(dim=1)
    if pool_type == 'max':
        return x.amax(dim=1)
    if pool_type == 'avgmax':
        return 0.5 * (x.amax(dim=1) + x.mean(dim=1))
    raise ValueError(f"Unknown pool type '{pool_type}': use 'token', 'avg', 'max', 'avgmax' or ''.")
