# pyright: strict
"""Validation of one model or many: accuracy on a dataset, as rows of results."""

import gc
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import timm
from timm.utils import check_batch_size_retry, decay_batch_step, natural_key

from .assessment import validate_model
from .exits import RunError, UsageError
from .options import ValidateOptions
from .shards import MANIFEST
from .tables import model_names, print_json, write_rows

__all__ = ['run', 'validate_model', 'validate_models']

_logger = logging.getLogger(__name__)
_OTHER_LABELS = ('*_in21k', '*_in22k', '*_dino')


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
    if path and Path(path).is_dir() and not (Path(path) / MANIFEST).is_file():  # which a checkpoint in shards has
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
    metric = 'map' if options.labels.multi_label else 'top1'
    return sorted(rows, key=lambda row: row[metric], reverse=True)


def run(options: ValidateOptions) -> None:
    """Validate; the rows are printed, and written to --results-file."""
    found = validate_models(options)
    rows = found if isinstance(found, list) else [found]
    if options.evaluate.results_file:
        write_rows(options.evaluate.results_file, rows, options.evaluate.results_format)
    print_json(found)
    if 'error' in rows[0]:
        raise RunError(f'{rows[0]["model"]}: {rows[0]["error"]}')
