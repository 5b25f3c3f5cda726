# pyright: strict
"""Validation of one model or many: accuracy on a dataset, as a row of results."""

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

import timm
from timm.data import RealLabelsImagenet
from timm.task import ClassificationEvaluator, evaluation_sample_limit
from timm.utils import check_batch_size_retry, decay_batch_step, natural_key

from .build_data import Split, build_eval_loader, open_dataset
from .build_model import build_model, compile_model, count_parameters, finish_model, load_weights, resolve_preprocessing
from .distributed import World, pick_device
from .evaluate import ClassScores, evaluate
from .exits import RunError, UsageError
from .flags import flatten
from .options import ValidateOptions
from .precision import Precision
from .report import Progressbar
from .tables import model_names, print_json, write_rows

__all__ = ['run', 'validate_model', 'validate_models']

_logger = logging.getLogger(__name__)
_OTHER_LABELS = ('*_in21k', '*_in22k', '*_dino')


def validate_model(options: ValidateOptions) -> dict[str, Any]:
    """Evaluate one model on one split; the row of results."""
    arguments, scoring = flatten(options), options.evaluate
    if scoring.real_labels and scoring.valid_labels:
        raise UsageError('--real-labels count all classes, --valid-labels choose some: leave one of them out')
    world = World(pick_device(options.device.device))
    precision = Precision.from_options(options.device, world.device)
    chosen, path = options.model, options.checkpoint.checkpoint
    chosen = replace(chosen, pretrained=chosen.pretrained or not path)
    model = build_model(chosen, options.device, scoring.seed)
    preprocessing = resolve_preprocessing(model, arguments, not options.preprocess.use_train_size)
    if path:
        load_weights(model, path, preprocessing['input_size'][1:], options.checkpoint.use_ema)
    num_parameters = count_parameters(model)
    model, pooled = finish_model(model, preprocessing, scoring.reparam, scoring.test_pool)
    crop_pct = 1.0 if pooled else preprocessing['crop_pct']
    model = compile_model(precision.place_model(model), options.device)
    split = Split(options.split.split, num_samples=options.split.num_samples, batch_size=options.batch.batch_size)
    dataset = open_dataset(options.data, split, preprocessing['input_size'][0])
    loader = build_eval_loader(
        dataset,
        options.batch,
        {**preprocessing, 'crop_pct': crop_pct},
        world,
        dtype=precision.dtype,
        crop_border_pixels=options.preprocess.crop_border_pixels,
        tf_preprocessing=scoring.tf_preprocessing,
    )
    real = _real_labels(dataset, scoring.real_labels)
    scores = ClassScores(scoring.metrics_avg) if scoring.metrics_avg else None
    evaluator = ClassificationEvaluator(world.device, max_samples=evaluation_sample_limit(loader))
    progress = Progressbar(f'validate {options.model.model}', len(loader), scoring.log_freq)
    figures = evaluate(model, loader, evaluator, precision, progress, _observer(scoring.valid_labels, real, scores))
    if real is not None:
        figures |= {f'top{k}': cast('float', real.get_accuracy(k)) for k in (1, 5)}
    row = {'model': options.model.model, **_accuracy(figures)}
    row |= {name: round(value, 4) for name, value in scores.compute().items()} if scores else {}
    return row | {
        'param_count': round(num_parameters / 1e6, 2),
        'img_size': preprocessing['input_size'][-1],
        'crop_pct': crop_pct,
        'interpolation': preprocessing['interpolation'],
    }


def _accuracy(figures: dict[str, float]) -> dict[str, float]:
    """Accuracy and error in percent, of the best guess and the best five."""
    row: dict[str, float] = {}
    for name in ('top1', 'top5'):
        row |= {name: round(figures[name], 4), f'{name}_err': round(100 - figures[name], 4)}
    return row


def _real_labels(dataset: Any, path: str) -> RealLabelsImagenet | None:
    """The labels of ImageNet ReaL for the files of a dataset, None where they are not asked for."""
    if not path:
        return None
    try:
        return RealLabelsImagenet(dataset.filenames(basename=True), path)
    except (OSError, ValueError) as error:
        raise UsageError(f'{path} is no file of ImageNet ReaL labels: {error}') from error


def _observer(
    valid_labels: str, real: RealLabelsImagenet | None, scores: ClassScores | None
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What happens to each batch before it counts: the classes of a file are chosen, and further scores kept."""
    chosen: Tensor | None = None
    if valid_labels:
        try:
            chosen = torch.tensor([int(word) for word in Path(valid_labels).read_text(encoding='utf-8').split()])
        except (OSError, ValueError) as error:
            raise UsageError(f'{valid_labels} is no text file of class indices: {error}') from error

    def observe(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if chosen is not None:
            output = output[:, chosen.to(output.device)]
        if real is not None:
            real.add_result(output)
        if scores is not None:
            scores.update(output, target)
        return output, target

    return observe


def _validate_with_retry(options: ValidateOptions) -> dict[str, Any]:
    """The row of one model; with --retry a smaller batch is tried where memory runs out, and failure is a row."""
    batch_size = options.batch.batch_size
    while True:
        try:
            return validate_model(replace(options, batch=replace(options.batch, batch_size=batch_size)))
        except RuntimeError as error:
            reason = ' '.join(str(error).split())
            smaller = decay_batch_step(batch_size) if check_batch_size_retry(reason) else 0
            if not options.evaluate.retry:
                raise
            if not smaller:
                return {'model': options.model.model, 'error': reason}
        _logger.warning('batch size %d does not fit (%s); trying %d', batch_size, reason[:120], smaller)
        batch_size = smaller
        gc.collect()
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()


def _choices(options: ValidateOptions) -> list[ValidateOptions] | None:
    """One record per model or checkpoint where several are meant, None for a single one."""
    name, path = options.model.model, options.checkpoint.checkpoint
    if path and Path(path).is_dir():
        files = [str(f) for suffix in ('*.pth.tar', '*.pth') for f in Path(path).glob(suffix)]
        if not files:
            raise UsageError(f'there is no checkpoint in {path}')
        return [
            replace(options, checkpoint=replace(options.checkpoint, checkpoint=file))
            for file in sorted(files, key=natural_key)
        ]
    if name == 'all':
        names = timm.list_models(pretrained=True, exclude_filters=_OTHER_LABELS)
    elif any(mark in name for mark in '*?['):
        names = timm.list_models(name, pretrained=True)
        if not names:
            raise UsageError(f'no model with weights is called {name!r}')
    elif Path(name).is_file():
        names = model_names(name)
    else:
        return None
    return [replace(options, model=replace(options.model, model=name)) for name in names]


def validate_models(options: ValidateOptions) -> dict[str, Any] | list[dict[str, Any]]:
    """The row of a model; or rows, the best first, of all that a wildcard, list or folder of checkpoints means."""
    choices = _choices(options)
    if choices is None:
        return _validate_with_retry(options)
    rows: list[dict[str, Any]] = []
    for choice in choices:
        try:
            row = _validate_with_retry(choice)
        except (RunError, RuntimeError) as error:
            _logger.error('%s left out: %s', choice.model.model, error)
            continue
        if 'error' in row:
            continue
        rows.append(row | ({'checkpoint': choice.checkpoint.checkpoint} if choice.checkpoint.checkpoint else {}))
    if not rows:
        raise UsageError(f'none of {len(choices)} models could be validated')
    return sorted(rows, key=lambda row: row['top1'], reverse=True)


def run(options: ValidateOptions) -> None:
    """Validate; the rows are printed, and written to --results-file."""
    found = validate_models(options)
    rows = found if isinstance(found, list) else [found]
    if options.evaluate.results_file:
        write_rows(options.evaluate.results_file, rows, options.evaluate.results_format)
    print_json(found)
    if 'error' in rows[0]:
        raise RunError(f'{rows[0]["model"]}: {rows[0]["error"]}')
