# pyright: strict
"""The model that a training starts from, set up as the options say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from .build_model import build_model, load_weights, resolve_preprocessing, why_not
from .build_patches import check_patches
from .exits import UsageError
from .flags import flatten
from .train_options import BatchNormOptions, StartOptions, TrainOptions

__all__ = ['start_model']


def start_model(options: TrainOptions) -> tuple[nn.Module, dict[str, Any]]:
    """The model with the weights it starts from, in host memory, and what it wants its input to be.

    Raises:
        UsageError: It cannot be built, or cannot do what is asked of it.
    """
    start, regularize = options.start, options.regularize
    chosen, overlay = options.model, dict(start.pretrained_cfg_overlay)
    if start.pretrained_path:  # stands for the published weights, without their classifier
        chosen, overlay = replace(chosen, pretrained=True), {'file': start.pretrained_path, 'num_classes': -1} | overlay
    model = build_model(
        chosen,
        options.device,
        options.run.seed,
        drop_rate=regularize.drop,
        drop_path_rate=options.past.drop_connect if regularize.drop_path is None else regularize.drop_path,
        drop_block_rate=regularize.drop_block,
        pretrained_cfg_overlay=overlay or None,
    )
    preprocessing = resolve_preprocessing(model, flatten(options))
    if start.initial_checkpoint:
        load_weights(model, start.initial_checkpoint, preprocessing['input_size'][1:])
    _set_head(model, start)
    _set_batch_norms(model, options.norm)
    if options.run.grad_checkpointing:
        try:
            model.set_grad_checkpointing(enable=True)  # pyright: ignore[reportCallIssue]
        except (AssertionError, AttributeError) as error:
            raise UsageError(f'{options.model.model} cannot compute activations twice: {error}') from error
    if options.sizes.train_img_sizes is not None:
        _check_sizes(model, options.sizes.train_img_sizes, preprocessing['input_size'])
    if options.patches.naflex_loader:
        check_patches(model, options.patches, preprocessing['input_size'][0])
    return model, preprocessing


def _set_head(model: nn.Module, start: StartOptions) -> None:
    """Multiply the classifier's initial numbers, then set its bias, as far as that is asked for."""
    if start.head_init_scale is None and start.head_init_bias is None:
        return
    head: Any = getattr(model, 'get_classifier', lambda: None)()
    if not isinstance(getattr(head, 'bias', None), Tensor):
        raise UsageError(f'the classifier of {type(model).__name__} has no weight and bias to set at the start')
    with torch.no_grad():
        if start.head_init_scale is not None:
            head.weight.mul_(start.head_init_scale)
            head.bias.mul_(start.head_init_scale)
        if start.head_init_bias is not None:
            head.bias.fill_(start.head_init_bias)


def _set_batch_norms(model: nn.Module, options: BatchNormOptions) -> None:
    """Set momentum and epsilon of all batch norms."""
    if options.bn_momentum is None and options.bn_eps is None and not options.split_bn:
        return
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise UsageError(f'{type(model).__name__} has no batch norm: leave out --bn-momentum, --bn-eps and --split-bn')
    for norm in norms:
        if options.bn_momentum is not None:
            norm.momentum = options.bn_momentum
        if options.bn_eps is not None:
            norm.eps = options.bn_eps


def _check_sizes(model: nn.Module, sizes: Sequence[int], size: Sequence[int]) -> None:
    """Refuse a model that cannot take images of all these sizes, and of the one it is evaluated at."""
    for side in sorted({*sizes, size[-1]}):
        reason = why_not(model, torch.zeros(1, size[0], side, side))
        if reason:
            raise UsageError(
                f'--train-img-sizes: {type(model).__name__} takes no images of {side}x{side} ({reason}); some models '
                'take any size with --model-kwargs dynamic_img_size=True'
            )
