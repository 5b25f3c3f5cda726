"""Times layers of the `timm` on PYTHONPATH as layers.py asks on standard input; answers are lines of JSON."""

import functools
import gc
import importlib
import json
import os
import pkgutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from layer_cases import FUNCTIONS, LAYERS, Case, Input
from torch import Tensor, nn

import timm
import timm.layers


def public_layers() -> list[str]:
    """Names of the module classes that `timm.layers` publishes, each under the name it was given."""
    names = vars(timm.layers).items()
    return [n for n, c in names if isinstance(c, type) and issubclass(c, nn.Module) and c.__name__ == n]


def import_all() -> None:
    """Import the modules of `timm.layers` that it does not import itself, so that expressions can name them."""
    for module in pkgutil.iter_modules(timm.layers.__path__):
        importlib.import_module(f'timm.layers.{module.name}')


def evaluate(expression: str) -> Any:
    """The value of an expression of a case."""
    return eval(expression, {**vars(timm.layers), 'torch': torch, 'nn': nn, 'partial': functools.partial})


def argument(spec: Input, training: bool) -> Any:
    """One input of a case."""
    if isinstance(spec, str):
        return evaluate(spec)
    return torch.randn(spec).requires_grad_(training)


def tensors(value: Any) -> list[Tensor]:
    """All tensors of an output."""
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in tensors(part)] if isinstance(value, (tuple, list)) else []


def forward(function: Callable[..., Any], inputs: list[Any]) -> Callable[[], Any]:
    """What is timed in evaluation."""
    return lambda: function(*inputs)


def forward_backward(function: Callable[..., Any], inputs: list[Any]) -> Callable[[], Any] | None:
    """What is timed in training; None where the output has no gradient."""
    module = getattr(function, '__self__', function)
    sources = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    sources += [p for p in module.parameters() if p.requires_grad] if isinstance(module, nn.Module) else []

    def differentiable() -> list[Tensor]:
        return [y for y in tensors(function(*inputs)) if y.requires_grad]

    gradients = [torch.randn_like(y) for y in differentiable()]
    if not gradients:
        return None
    return lambda: torch.autograd.grad(differentiable(), sources, gradients, allow_unused=True)


def prepare(case: Case, mode: str) -> tuple[Callable[[], Any] | None, list[list[int]]]:
    """What is timed, and the shapes of its output."""
    training = mode == 'train'
    torch.manual_seed(0)
    torch.set_grad_enabled(training)
    function = evaluate(case.build)
    module = getattr(function, '__self__', function)
    if isinstance(module, nn.Module):
        module.train(training)
    inputs = [argument(spec, training) for spec in case.inputs]
    shapes = [list(y.shape) for y in tensors(function(*inputs))]
    return (forward_backward if training else forward)(function, inputs), shapes


def repeat(call: Callable[[], Any], calls: int) -> float:
    """CPU seconds of one call, the mean of so many; before them some to fill the caches, which the other side had."""
    for _ in range(1 + calls // 3):
        call()
    start = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - start) / calls


def answer(request: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """One answer; `current` holds what was prepared last."""
    if request['do'] == 'names':
        return {'names': public_layers(), 'version': timm.__version__}
    if request['do'] == 'prepare':
        current.clear()
        gc.collect()
        try:
            current['call'], shapes = prepare([*LAYERS, *FUNCTIONS][request['case']], request['mode'])
        except Exception as error:  # noqa: BLE001 - the table shows it, whatever it is
            return {'error': f'{type(error).__name__}: {error}'.splitlines()[0]}
        if current['call'] is None:
            return {'shapes': shapes, 'seconds': None}
        return {'shapes': shapes, 'seconds': repeat(current['call'], 3)}
    return {'seconds': repeat(current['call'], request['calls'])}


def main() -> None:
    site = os.environ['PYTHONPATH']
    if not Path(timm.__file__).is_relative_to(Path(site).resolve()):
        sys.exit(f'timm was imported from {timm.__file__}, not from {site}')
    import_all()
    torch.set_num_threads(1)
    gc.disable()  # collections fall where they like, and would fall into some blocks only
    current: dict[str, Any] = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), current)), flush=True)


if __name__ == '__main__':
    main()
