"""Times optimizer steps of the `timm` on PYTHONPATH as optimizers.py asks on standard input; answers are JSON lines."""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import timm
from timm.optim import create_optimizer_v2, list_optimizers
from timm.utils import ModelEmaV2, ModelEmaV3, adaptive_clip_grad, dispatch_clip_grad

WARM_UP = 8  # steps; the first five of RAdam are another rule


@cache
def model_of(name: str) -> nn.Module:
    """A model with a fixed random gradient on each parameter."""
    torch.manual_seed(0)
    model = timm.create_model(name)
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator) * 1e-3
    return model


def utility(name: str, model: nn.Module) -> Callable[[], Any] | None:
    """A function of timm.utils at work on a model."""
    params = list(model.parameters())
    if name in ('ema_v2', 'ema_v3'):
        average = {'ema_v2': ModelEmaV2, 'ema_v3': ModelEmaV3}[name](model)
        return lambda: average.update(model)
    return {
        'agc': lambda: adaptive_clip_grad(params, 0.01),
        'clip_norm': lambda: dispatch_clip_grad(params, 1.0, mode='norm'),
        'clip_value': lambda: dispatch_clip_grad(params, 1.0, mode='value'),
    }.get(name)


def stepper(name: str, model: nn.Module) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """A step of an optimizer on copies of a model's parameters, and what has to precede it outside the clock."""
    params = []
    for original in model.parameters():
        p = nn.Parameter(original.detach().clone())
        p.grad = None if original.grad is None else original.grad.clone()
        params.append(p)
    optimizer = create_optimizer_v2(params, opt=name, lr=1e-4, weight_decay=0.05)
    if not getattr(optimizer, 'is_second_order', False):
        return optimizer.step, None

    def differentiate() -> None:
        optimizer.zero_grad()
        cubes: list[Tensor] = [(p.square() * p).sum() for p in params]
        torch.stack(cubes).sum().backward(create_graph=True)

    return optimizer.step, differentiate


def repeat(call: Callable[[], Any], before: Callable[[], Any] | None, calls: int) -> float:
    """CPU seconds of one call, the mean of so many."""
    total = 0.0
    for _ in range(calls):
        if before is not None:
            before()
        start = time.process_time()
        call()
        total += time.process_time() - start
    return total / calls


def prepare(request: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """Set up what is timed next; says how long a call takes."""
    current.clear()
    gc.collect()
    torch.manual_seed(0)
    model = model_of(request['model'])
    try:
        call = utility(request['name'], model)
        current['call'], current['before'] = (call, None) if call is not None else stepper(request['name'], model)
        repeat(current['call'], current['before'], WARM_UP)
    except Exception as error:  # noqa: BLE001 - the table shows it, whatever it is
        return {'error': f'{type(error).__name__}: {error}'.splitlines()[0]}
    return {'seconds': repeat(current['call'], current['before'], 1)}


def main() -> None:
    site = os.environ['PYTHONPATH']
    if not Path(timm.__file__).is_relative_to(Path(site).resolve()):
        sys.exit(f'timm was imported from {timm.__file__}, not from {site}')
    torch.set_num_threads(1)
    current: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request['do'] == 'names':
            answer: dict[str, Any] = {'names': list_optimizers()}
        elif request['do'] == 'prepare':
            answer = prepare(request, current)
        else:
            answer = {'seconds': repeat(current['call'], current['before'], request['calls'])}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main()
