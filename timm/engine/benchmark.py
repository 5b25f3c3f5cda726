# pyright: strict
"""Throughput of models for inference and training, and what they compute per image."""

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import timm
from timm.loss import create_classification_loss
from timm.optim import create_optimizer_v2
from timm.utils import check_batch_size_retry, decay_batch_step, dispatch_clip_grad

from .build_model import build_model, compile_model, count_parameters, finish_model, resolve_preprocessing
from .count import count_operations
from .distributed import pick_device
from .evaluate import first_output
from .exits import RunError, UsageError
from .flags import flatten
from .options import BenchmarkOptions, DeviceOptions
from .precision import Precision
from .tables import model_names, print_json, write_rows

__all__ = ['benchmark_model', 'benchmark_models', 'run']

_logger = logging.getLogger(__name__)
_PRECISIONS = {
    'float32': DeviceOptions(),
    'float16': DeviceOptions(model_dtype='float16'),
    'bfloat16': DeviceOptions(model_dtype='bfloat16'),
    'amp': DeviceOptions(amp=True, amp_dtype='float16'),
    'amp_bfloat16': DeviceOptions(amp=True, amp_dtype='bfloat16'),
}

Row = dict[str, Any]


@dataclass
class Subject:
    """A model on its device and what is fed to it."""

    model: nn.Module
    running: Callable[[Tensor], Tensor]
    precision: Precision
    input_size: tuple[int, int, int]
    num_parameters: int
    operations: Row

    def batch(self, size: int) -> Tensor:
        """Random images."""
        return self.precision.place_input(torch.randn(size, *self.input_size))


class _Clock:
    """Seconds of work on a device: waits until it is done."""

    def __init__(self, device: torch.device) -> None:
        self._waits = device.type not in ('cpu', 'meta')

    def __call__(self) -> float:
        if self._waits:
            torch.accelerator.synchronize()
        return time.perf_counter()


def _precision(options: BenchmarkOptions, device: torch.device) -> Precision:
    named = _PRECISIONS[options.bench.precision]
    chosen = replace(options.device, model_dtype=named.model_dtype)
    if named.amp:
        chosen = replace(chosen, amp=True, amp_dtype=named.amp_dtype)
    return Precision.from_options(chosen, device)


def _subject(options: BenchmarkOptions, training: bool) -> Subject:
    """Build the model of a benchmark; it is counted before it is compiled."""
    precision = _precision(options, pick_device(options.device.device))
    regularize = options.regularize
    rates = {
        'drop_rate': regularize.drop or None,
        'drop_path_rate': regularize.drop_path,
        'drop_block_rate': regularize.drop_block,
    }
    model = build_model(options.model, options.device, seed=0, **(rates if training else {}))
    preprocessing = resolve_preprocessing(model, flatten(options), not options.preprocess.use_train_size)
    size: tuple[int, int, int] = preprocessing['input_size']
    num_parameters = count_parameters(model)
    if training:
        if options.bench.grad_checkpointing:
            model.set_grad_checkpointing(enable=True)  # pyright: ignore[reportCallIssue]
        model = precision.place_model(model).train()
        operations: Row = {}
    else:
        model, _ = finish_model(model, preprocessing, options.bench.reparam)
        model = precision.place_model(model).eval()
        with precision.autocast():
            counter = count_operations(model, precision.place_input(torch.randn(1, *size)))
        operations = {'gmacs': round(counter.macs / 1e9, 2), 'macts': round(counter.activations / 1e6, 2)}
    running = compile_model(model, options.device)
    return Subject(model, running, precision, size, num_parameters, operations)


def _row(subject: Subject, batch_size: int, seconds: float, steps: int, parts: Row) -> Row:
    """The figures of a timing, named as the published tables name them."""
    return {
        'samples_per_sec': round(batch_size * steps / seconds, 2),
        'step_time': round(seconds / steps * 1e3, 3),
        **parts,
        'batch_size': batch_size,
        'img_size': subject.input_size[-1],
        **subject.operations,
        'param_count': round(subject.num_parameters / 1e6, 2),
    }


def time_inference(options: BenchmarkOptions, batch_size: int) -> Row:
    """Time forward passes."""
    subject = _subject(options, training=False)
    if options.bench.bench == 'profile':
        size = subject.input_size[-1]
        return {'img_size': size, **subject.operations, 'param_count': round(subject.num_parameters / 1e6, 2)}
    x, clock = subject.batch(batch_size), _Clock(subject.precision.device)
    with torch.no_grad(), subject.precision.autocast():
        for _ in range(options.bench.num_warm_iter):
            subject.running(x)
        start = clock()
        for _ in range(options.bench.num_bench_iter):
            subject.running(x)
        seconds = clock() - start
    return _row(subject, batch_size, seconds, options.bench.num_bench_iter, {})


class _TrainStep:
    """Forward, backward and update on random images, with the seconds of each part where they are asked for."""

    def __init__(self, options: BenchmarkOptions, subject: Subject, batch_size: int) -> None:
        optim = options.optim
        told: dict[str, Any] = {'eps': optim.opt_eps, 'betas': optim.opt_betas}
        self.subject = subject
        self.clip = optim
        try:
            self.optimizer = create_optimizer_v2(
                subject.model,
                opt=optim.opt,
                lr=1e-4,
                weight_decay=optim.weight_decay,
                momentum=optim.momentum,
                **{name: value for name, value in told.items() if value is not None},
            )
        except (ValueError, TypeError, ImportError) as error:
            raise UsageError(f'cannot build optimizer {optim.opt!r}: {error}') from error
        device = subject.precision.device
        self.loss = create_classification_loss('ce', smoothing=options.smoothing.smoothing).to(device)
        self.x = subject.batch(batch_size)
        with torch.no_grad(), subject.precision.autocast():
            num_classes = first_output(subject.running(self.x[:2])).shape[-1]
        self.target = torch.randint(num_classes, (batch_size,), device=device)
        self.clock: Callable[[], float] = _Clock(device) if options.bench.detail else lambda: 0.0

    def __call__(self) -> tuple[float, float, float]:
        precision, scaler = self.subject.precision, self.subject.precision.scaler
        start = self.clock()
        with precision.autocast():
            output = first_output(self.subject.running(self.x))
        loss: Tensor = self.loss(output.float(), self.target)
        forward = self.clock()
        torch.autograd.backward(loss if scaler is None else scaler.scale(loss))
        backward = self.clock()
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        if self.clip.clip_grad is not None:
            dispatch_clip_grad(self.subject.model.parameters(), self.clip.clip_grad, mode=self.clip.clip_mode)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        self.optimizer.zero_grad()
        return forward - start, backward - forward, self.clock() - backward


def time_training(options: BenchmarkOptions, batch_size: int) -> Row:
    """Time training steps."""
    subject = _subject(options, training=True)
    step, clock = _TrainStep(options, subject, batch_size), _Clock(subject.precision.device)
    steps = options.bench.num_bench_iter
    for _ in range(options.bench.num_warm_iter):
        step()
    start = clock()
    parts = [step() for _ in range(steps)]
    seconds = clock() - start
    detail: Row = {}
    if options.bench.detail:
        for name, column in zip(('fwd_time', 'bwd_time', 'opt_time'), zip(*parts, strict=True), strict=True):
            detail[name] = round(sum(column) / steps * 1e3, 3)
    return _row(subject, batch_size, seconds, steps, detail)


def _with_smaller_batches(options: BenchmarkOptions, work: Callable[[BenchmarkOptions, int], Row]) -> Row:
    """Time at the largest batch that fits, from --batch-size down; {'error': reason} if none does."""
    batch_size, reason = options.batch.batch_size, ''
    while batch_size:
        gc.collect()
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()
        try:
            return work(options, batch_size)
        except RuntimeError as error:
            reason = ' '.join(str(error).split())
        if options.bench.no_retry or not check_batch_size_retry(reason):
            break
        _logger.warning('batch size %d does not fit (%s)', batch_size, reason[:120])
        batch_size = decay_batch_step(batch_size)
    return {'error': reason}


def benchmark_model(options: BenchmarkOptions) -> Row:
    """Time one model as asked; figures are prefixed infer_ and train_, a failure is an 'error'."""
    wanted = options.bench.bench
    works = {'infer': time_inference, 'train': time_training}
    if wanted != 'both':
        works = {'train': time_training} if wanted == 'train' else {'infer': time_inference}
    row: Row = {'model': options.model.model}
    num_parameters: float | None = None
    for prefix, work in works.items():
        found = _with_smaller_batches(options, work)
        if 'error' in found:
            return {**row, **found}
        num_parameters = found.pop('param_count')
        row |= {f'{prefix}_{name}': value for name, value in found.items()}
    return row | {'param_count': num_parameters}


def benchmark_models(options: BenchmarkOptions) -> Row | list[Row]:
    """The row of a model, or the rows of a list, the fastest first; written to --results-file as well."""
    bench, name = options.bench, options.model.model
    names: list[str] | None = None
    if bench.model_list:
        names = (
            model_names(bench.model_list) if Path(bench.model_list).is_file() else timm.list_models(bench.model_list)
        )
    elif name == 'all':
        names = timm.list_models()
    elif any(mark in name for mark in '*?['):
        names = timm.list_models(name)
    if names is not None and not names:
        raise UsageError(f'no model is called {bench.model_list or name!r}')
    chosen = [replace(options, model=replace(options.model, model=name)) for name in names or [name]]
    rows: list[Row] = []
    for choice in chosen:
        try:
            rows.append(benchmark_model(choice))
        except RunError as error:
            if names is None:
                raise
            rows.append({'model': choice.model.model, 'error': str(error)})
        _logger.info('%s', '  '.join(f'{key} {value}' for key, value in rows[-1].items()))
    sort_key = f'{"train" if bench.bench == "train" else "infer"}_samples_per_sec'
    rows.sort(key=lambda row: row.get(sort_key, 0), reverse=True)
    if bench.results_file:
        write_rows(bench.results_file, rows, bench.results_format)
    return rows[0] if names is None else rows


def run(options: BenchmarkOptions) -> None:
    """Benchmark; the rows are printed, and written to --results-file."""
    found = benchmark_models(options)
    print_json(found)
    rows = found if isinstance(found, list) else [found]
    if all('error' in row for row in rows):
        raise RunError(f'{rows[0]["model"]}: {rows[0]["error"]}')
