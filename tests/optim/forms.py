"""The forms an update rule runs in, and walks under given gradients that formulas can be held against."""

import torch
from torch import nn

from tests.fill import hash_uniform
from timm.optim import _rule

# One parameter at a time, with torch's fused kernels, as on a CPU; all at once; all at once and without a look at
# values, as on an accelerator.
FORMS = ('fused', 'lists', 'blind')
SHAPES = ((8, 6), (4, 3, 3, 3), (6,), (1, 5))


def take_form(monkeypatch, form):
    """Let rules run in `form` on the CPU."""
    if form != 'fused':
        monkeypatch.setattr(_rule, 'FOREACH_DEVICES', ('cpu',))
    if form == 'blind':
        monkeypatch.setattr(_rule, 'READABLE_DEVICES', ())


def values(name, shape):
    """A float64 tensor of numbers in [-1, 1) that depend on `name`."""
    return hash_uniform(f'{name}/{shape}', torch.Size(shape).numel()).view(shape)


STARTS = [values('start', shape) for shape in SHAPES]
GRADIENTS = [[values(f'gradient {step}', shape) for step in range(6)] for shape in SHAPES]


def walk(optimizer_class, starts=STARTS, gradients=GRADIENTS, rates=None, dtype=torch.float64, **args):
    """Where parameters that begin at `starts` end after one step for each of their `gradients`.

    Args:
        rates: The learning rate of each step, where it changes.
    """
    params = [nn.Parameter(start.to(dtype, copy=True)) for start in starts]
    optimizer = optimizer_class(params, **args)
    for step, grads in enumerate(zip(*gradients, strict=True)):
        if rates is not None:
            optimizer.param_groups[0]['lr'] = rates[step]
        for p, grad in zip(params, grads, strict=True):
            p.grad = grad.to(dtype, copy=True)
        optimizer.step()
        for p, grad in zip(params, grads, strict=True):
            assert torch.equal(p.grad, grad.to(dtype)), 'gradients are not for the rule to change'
    return [p.detach() for p in params]


def paths(formula, starts=STARTS, gradients=GRADIENTS, **args):
    """Where `formula(start, gradients, **args)` says they end."""
    return [formula(start, grads, **args) for start, grads in zip(starts, gradients, strict=True)]


def assert_close(found, expected, rtol=1e-9, atol=1e-12):
    """The tensors of both lists are equal up to rounding."""
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)
