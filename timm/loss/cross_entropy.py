"""Cross entropy with smoothed and with soft targets."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ['LabelSmoothingCrossEntropy', 'SoftTargetCrossEntropy']


class LabelSmoothingCrossEntropy(nn.Module):
    """Cross entropy against 1 - smoothing on the class and smoothing spread over all classes.

    Shape: logits (B, C), class indices (B) -> ()

    Raises:
        ValueError: `smoothing` lies outside [0, 1).

    Source: Szegedy et al., arXiv:1512.00567, section 7.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f'smoothing={smoothing} is not allowed: give a share, 0 <= smoothing < 1.')
        self.smoothing = smoothing
        self.confidence = 1.0 - smoothing

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        log_probs = F.log_softmax(x, dim=-1)
        at_class = log_probs.gather(dim=-1, index=target.unsqueeze(1)).squeeze(1)
        return -(self.confidence * at_class + self.smoothing * log_probs.mean(dim=-1)).mean()


class SoftTargetCrossEntropy(nn.Module):
    """Cross entropy against a distribution over the classes, such as mixup makes.

    Shape: logits (B, C), probabilities (B, C) -> ()
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return torch.sum(-target * F.log_softmax(x, dim=-1), dim=-1).mean()
