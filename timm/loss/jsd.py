"""Cross entropy and agreement between augmentations of one image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cross_entropy import LabelSmoothingCrossEntropy

__all__ = ['JsdCrossEntropy']

SMALLEST_PROB = 1e-7


class JsdCrossEntropy(nn.Module):
    """Cross entropy of the clean images plus alpha times the Jensen-Shannon divergence of all their versions.

    Shape: logits (num_splits * B, C), the clean images first; class indices (num_splits * B or B) -> ()

    Args:
        num_splits: Versions of each image in the batch.
        smoothing: Of the cross entropy's targets.

    Raises:
        ValueError: No splits, or a batch that cannot be split so.

    Source: Hendrycks et al., AugMix, arXiv:1912.02781, section 3.
    """

    def __init__(self, num_splits: int = 3, alpha: float = 12, smoothing: float = 0.1) -> None:
        super().__init__()
        if num_splits < 1:
            raise ValueError(f'num_splits={num_splits} is not allowed: give 1 or more.')
        self.num_splits = num_splits
        self.alpha = alpha
        self.cross_entropy_loss = LabelSmoothingCrossEntropy(smoothing) if smoothing else nn.CrossEntropyLoss()

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return super().__call__(output, target)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if output.shape[0] % self.num_splits:
            raise ValueError(f'A batch of {output.shape[0]} cannot be split into num_splits={self.num_splits} parts.')
        versions = torch.split(output, output.shape[0] // self.num_splits)
        clean = versions[0]
        loss = self.cross_entropy_loss(clean, target[: clean.shape[0]])
        probs = torch.stack([F.softmax(logits, dim=1) for logits in versions])
        log_mixture = probs.mean(dim=0).clamp(SMALLEST_PROB, 1).log()
        divergences = [F.kl_div(log_mixture, p, reduction='batchmean') for p in probs]
        return loss + self.alpha * torch.stack(divergences).mean()
