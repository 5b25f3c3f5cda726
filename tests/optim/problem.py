"""The small problem that the reference trajectories were taken on."""

import torch
from torch import nn

from tests.fill import fill_value, hash_uniform
from timm.optim import create_optimizer_v2

PARAMETERS = (
    ('fc_weight', 'fc.weight2d', (8, 6)),
    ('conv_weight', 'conv.weight4d', (4, 3, 3, 3)),
    ('norm_weight', 'norm.weight', (6,)),
    ('fc_bias', 'fc.bias', (8,)),
)
SIZES = [torch.Size(shape) for _, _, shape in PARAMETERS]
TARGETS = [hash_uniform(f'target/{i}', size.numel()).view(size) for i, size in enumerate(SIZES)]
CURVATURES = [1 + 0.5 * hash_uniform(f'curvature/{i}', size.numel()).view(size) for i, size in enumerate(SIZES)]


class Problem(nn.Module):
    """Four tensors, pulled to targets through a slightly wavy bowl."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        for name, fill_name, shape in PARAMETERS:
            self.register_parameter(name, nn.Parameter(fill_value(fill_name, shape).to(dtype)))

    def loss(self):
        parts = zip(self.parameters(), TARGETS, CURVATURES, strict=True)
        return sum((0.5 * c * (p - target) ** 2 + 0.1 * torch.sin(3 * p)).sum() for p, target, c in parts)


def train(problem, optimizer, steps):
    """Losses before each of `steps` steps."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = problem.loss()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return losses


def solve(name, steps=12, dtype=torch.float64, **args):
    """Losses on the way, and the problem afterwards."""
    torch.manual_seed(0)
    problem = Problem(dtype)
    optimizer = create_optimizer_v2(problem, opt=name, **args)
    return train(problem, optimizer, steps), problem
