"""Pooling for images larger than those of training."""

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ._checks import BadValue, size_2d
from .helpers import get_device_dtype

__all__ = ['TestTimePoolHead', 'apply_test_time_pool']

_logger = logging.getLogger(__name__)


class TestTimePoolHead(nn.Module):
    """A network that classifies every window of its feature map, then pools the logits (DPN, arXiv:1707.01629).

    Shape: (B, in_chans, H, W) -> (B, num_classes)

    Args:
        base: The network; its classifier moves here and its pooling is turned off.
        original_pool: Height and width of the feature map in training, which is the size of a window.

    Raises:
        ValueError: The classifier is not one map of pooled features, or `original_pool` no size.
        TypeError: `base` has no classifier to move.
    """

    __test__ = False  # the name is no test case for pytest

    def __init__(self, base: Any, original_pool: int | tuple[int, int] = 7) -> None:
        super().__init__()
        if not all(hasattr(base, name) for name in ('get_classifier', 'reset_classifier', 'forward_features')):
            raise TypeError(f'{base!r} is no network with a classifier to move: use one that timm.create_model builds.')
        classifier = base.get_classifier()
        if not isinstance(classifier, (nn.Linear, nn.Conv2d)) or classifier.weight.shape[1] != base.num_features:
            raise BadValue(
                f'Test-time pooling needs a classifier of the {base.num_features} pooled features of '
                f'{type(base).__name__}, which has {classifier}: use this network as it is.'
            )
        self.base = base
        size_2d('original_pool', original_pool)
        self.original_pool = original_pool
        num_classes = classifier.weight.shape[0]
        placement = get_device_dtype(classifier)
        self.fc = nn.Conv2d(base.num_features, num_classes, 1, bias=classifier.bias is not None, **placement)
        self.fc.weight = nn.Parameter(classifier.weight.detach().reshape(self.fc.weight.shape))
        self.fc.bias = classifier.bias
        base.reset_classifier(0, '')

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify windows of the trained size, then take the mean of average and maximum of each class."""
        x = self.base.forward_features(x)  # pyright: ignore[reportCallIssue]
        x = self.fc(F.avg_pool2d(x, kernel_size=self.original_pool, stride=1))
        return 0.5 * (x.mean((2, 3)) + x.amax((2, 3)))


def apply_test_time_pool(
    model: nn.Module,
    config: dict[str, Any],
    use_test_size: bool = False,
) -> tuple[nn.Module, bool]:
    """Wrap a network in a `TestTimePoolHead` where `config['input_size']` exceeds the trained size on both axes.

    Args:
        use_test_size: Compare with the size that the weights were tested at, where it differs from training.

    Returns:
        (network, whether it is wrapped)
    """
    trained = getattr(model, 'default_cfg', None) or {}
    if not trained:
        return model, False
    size = (use_test_size and trained.get('test_input_size')) or trained['input_size']
    asked = config['input_size']
    if asked[-1] <= size[-1] or asked[-2] <= size[-2]:
        return model, False
    if not trained.get('pool_size'):
        _logger.warning('%s has no pool size: no test-time pooling of larger input.', type(model).__name__)
        return model, False
    _logger.info('Input %s is larger than the trained %s: pooling at test time.', asked[-2:], size[-2:])
    return TestTimePoolHead(model, original_pool=trained['pool_size']), True
