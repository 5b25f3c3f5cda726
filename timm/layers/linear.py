"""Linear layer that keeps mixed precision under TorchScript."""

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ['Linear']


class Linear(nn.Linear):
    """`nn.Linear` that, once scripted, casts its parameters to the type of its input, as eager autocast would.

    Shape: (..., in_features) -> (..., out_features)
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Apply the linear map."""
        if torch.jit.is_scripting():
            bias = self.bias.to(dtype=input.dtype) if self.bias is not None else None
            return F.linear(input, self.weight.to(dtype=input.dtype), bias=bias)
        return F.linear(input, self.weight, self.bias)
