"""Deterministic, platform-independent tensor fill: a value depends only on the tensor's name, its index and its
shape (integer hash, exact in int64), so two implementations that agree on names and shapes hold equal weights."""

import zlib

import torch


def hash_uniform(name: str, numel: int) -> torch.Tensor:
    """float64 tensor (numel,), values in [-1, 1), from an integer hash of (name, index)."""
    mask = 0xFFFFFFFF
    seed = zlib.crc32(name.encode())
    out = torch.empty(numel, dtype=torch.float64)
    step = 1 << 24
    for start in range(0, numel, step):
        i = torch.arange(start, min(start + step, numel), dtype=torch.int64)
        x = (i * 2654435761 + seed) & mask
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & mask
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & mask
        x = x ^ (x >> 16)
        out[start : start + step] = x.to(torch.float64) / 2147483648.0 - 1.0
    return out


def fill_value(name: str, shape) -> torch.Tensor:
    """The float64 value of the floating-point state tensor `name`."""
    numel = 1
    for s in shape:
        numel *= s
    u = hash_uniform(name, numel).reshape(tuple(shape))
    leaf = name.rsplit('.', 1)[-1]
    if leaf == 'running_var':
        return 1.0 + 0.25 * u
    if leaf == 'running_mean':
        return 0.1 * u
    if u.ndim <= 1:
        if leaf in ('bias', 'beta') or leaf.endswith('_bias'):
            return 0.1 * u
        return 1.0 + 0.25 * u
    fan_in = numel // shape[0] if shape[0] > 1 else max(shape[-1], 1)
    return u * (3.0 / fan_in) ** 0.5


@torch.no_grad()
def fill_model(model: torch.nn.Module) -> torch.nn.Module:
    """Fill every floating-point tensor of model.state_dict() in place (integer buffers stay as built)."""
    for name, t in model.state_dict().items():
        if t.is_floating_point() and t.numel():
            t.copy_(fill_value(name, t.shape).to(t.dtype))
    return model


def input_image(batch: int, size) -> torch.Tensor:
    """float64 image batch (batch, C, H, W), about unit variance."""
    c, h, w = size
    return hash_uniform(f'input/{c}x{h}x{w}', batch * c * h * w).reshape(batch, c, h, w) * 1.7320508075688772


def digest(t: torch.Tensor) -> dict:
    """Shape, rms and a fixed random projection of a tensor, in float64."""
    x = t.detach().to(torch.float64).reshape(-1)
    p = hash_uniform(f'digest/{x.numel()}', x.numel())
    rms = float(x.square().mean().sqrt())
    return {'shape': list(t.shape), 'rms': rms, 'proj': float((x * p).sum() / max(x.numel(), 1) ** 0.5)}
