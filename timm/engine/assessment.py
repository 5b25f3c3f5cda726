# pyright: strict
"""The evaluation of one trained model on one split: a row of results, and tables on request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from timm.data import RealLabelsImagenet
from timm.task import ClassificationEvaluator, MultiLabelClassificationEvaluator, evaluation_sample_limit

from .build_data import (
    Split,
    build_eval_loader,
    check_labels,
    check_same_labels,
    class_names,
    encode_labels,
    open_dataset,
)
from .build_model import build_model, compile_model, count_parameters, finish_model, load_weights, resolve_preprocessing
from .build_patches import build_patch_loader, check_patches, patch_size_of
from .checkpoint import trained_classes
from .damage import guarded, left_out
from .details import Predictions, calibration, confusions, expected_calibration_error, per_class, worst
from .distributed import World, pick_device
from .evaluate import ClassScores, evaluate
from .exits import UsageError
from .flags import flatten
from .options import DetailOptions, ValidateOptions
from .precision import Precision
from .report import Progressbar
from .tables import table_format, write_table
from .views import NUM_VIEWS

__all__ = ['validate_model']


@dataclass
class _Subject:
    """A model as it is evaluated.

    Attributes:
        running: The same on its device, compiled if that is asked for.
    """

    model: nn.Module
    running: Any
    preprocessing: dict[str, Any]
    num_parameters: int


def _check(options: ValidateOptions) -> None:
    """Refuse options that do not go together, and tables of no known form, before anything is read."""
    scoring, details = options.evaluate, options.details
    if options.model.num_classes == 0:
        raise UsageError('--num-classes 0 leaves no classifier to evaluate: give 1 or more')
    if scoring.real_labels and scoring.valid_labels:
        raise UsageError('--real-labels count all classes, --valid-labels choose some: leave one of them out')
    if (details.tta or 1) not in NUM_VIEWS:
        raise UsageError(f'--tta {details.tta} is no number of views: one of {", ".join(map(str, NUM_VIEWS))}')
    tables = details.confusion_matrix, details.per_class, details.calibration, details.worst
    for path in filter(None, tables):
        table_format(path)
    if options.labels.multi_label and (any(tables) or scoring.metrics_avg or scoring.real_labels):
        raise UsageError('--task multilabel has figures of its own: tables and other labels are for one label an image')
    if scoring.real_labels and options.data.bad_images != 'raise':
        raise UsageError('--real-labels go by the place of an image: leave out --bad-images')
    if options.patches.naflex_loader and (details.tta > 1 or scoring.tf_preprocessing or scoring.test_pool):
        raise UsageError('--naflex-loader loads patches: leave out --tta, --tf-preprocessing and --test-pool')
    faster = options.batch.fast_resize, options.batch.reduced_decode, options.batch.worker_type != 'process'
    if options.patches.naflex_loader and any(faster):
        raise UsageError('--naflex-loader has no --fast-resize, --reduced-decode or --worker-type: leave them out')


def _subject(options: ValidateOptions, precision: Precision) -> _Subject:
    """Build, load, merge, place and compile a model."""
    path, scoring = options.checkpoint.checkpoint, options.evaluate
    chosen = replace(options.model, pretrained=options.model.pretrained or not path)
    model = build_model(chosen, options.device, scoring.seed)
    preprocessing = resolve_preprocessing(model, flatten(options), not options.preprocess.use_train_size)
    if path:
        load_weights(model, path, preprocessing['input_size'][1:], options.checkpoint.use_ema)
    if options.patches.naflex_loader:
        check_patches(model, options.patches, preprocessing['input_size'][0])
    num_parameters = count_parameters(model)
    model, pooled = finish_model(model, preprocessing, scoring.reparam, scoring.test_pool)
    if pooled:
        preprocessing['crop_pct'] = 1.0
    running = compile_model(precision.place_model(model), options.device)
    return _Subject(model, running, preprocessing, num_parameters)


def _loader(options: ValidateOptions, subject: _Subject, dataset: Any, world: World, precision: Precision) -> Any:
    """Batches of images, or of patches."""
    told, dtype = subject.preprocessing, precision.dtype
    if options.patches.naflex_loader:
        size = patch_size_of(subject.model)
        return build_patch_loader(dataset, options.batch, options.patches, told, world, size, dtype=dtype)
    return build_eval_loader(
        dataset,
        options.batch,
        told,
        world,
        dtype=dtype,
        crop_border_pixels=options.preprocess.crop_border_pixels,
        tf_preprocessing=options.evaluate.tf_preprocessing,
    )


def validate_model(options: ValidateOptions) -> dict[str, Any]:
    """Evaluate one model on one split; the row of results. Tables that are asked for are written."""
    _check(options)
    scoring, details, labels = options.evaluate, options.details, options.labels
    world = World(pick_device(options.device.device))
    precision = Precision.from_options(options.device, world.device)
    subject = _subject(options, precision)
    split = Split(
        options.split.split,
        num_samples=options.split.num_samples,
        batch_size=options.batch.batch_size,
        target_format=labels.target_format if labels.target_format != 'indices' else None,
    )
    dataset = open_dataset(options.data, split, subject.preprocessing['input_size'][0])
    num_classes = options.model.num_classes or getattr(subject.model, 'num_classes', 0)
    if not scoring.valid_labels:
        check_labels(dataset, num_classes)
        check_same_labels(trained_classes(options.checkpoint.checkpoint), dataset)
    encode_labels(dataset, labels, num_classes)
    loaded = guarded(dataset, options.data, world)
    loader = _loader(options, subject, loaded, world, precision)
    real = _real_labels(dataset, scoring.real_labels)
    scores = ClassScores(scoring.metrics_avg) if scoring.metrics_avg else None
    wanted = details.confusion_matrix or details.per_class or details.calibration or details.worst
    kept = Predictions() if wanted else None
    limit = evaluation_sample_limit(loader)
    evaluator: ClassificationEvaluator = ClassificationEvaluator(world.device, max_samples=limit)
    if labels.multi_label:
        threshold = labels.multilabel_threshold
        evaluator = MultiLabelClassificationEvaluator(world.device, max_samples=limit, threshold=threshold)
    progress = Progressbar(f'validate {options.model.model}', len(loader), scoring.log_freq)
    observe = _observer(scoring.valid_labels, real, [part for part in (scores, kept) if part is not None])
    views = details.tta or 1
    figures = evaluate(subject.running, loader, evaluator, precision, progress, observe, num_views=views)
    if real is not None:
        figures |= {f'top{k}': cast('float', real.get_accuracy(k)) for k in (1, 5)}
    found = _several(figures) if labels.multi_label else _accuracy(figures)
    row = {'model': options.model.model, **found}
    row |= {name: round(value, 4) for name, value in scores.compute().items()} if scores else {}
    without = left_out(loaded)
    row |= _write_details(details, kept, dataset, without) if kept is not None else {}
    row |= {'left_out': len(without)} if without else {}
    return row | {
        'param_count': round(subject.num_parameters / 1e6, 2),
        'img_size': subject.preprocessing['input_size'][-1],
        'crop_pct': subject.preprocessing['crop_pct'],
        'interpolation': subject.preprocessing['interpolation'],
    }


def _several(figures: dict[str, float]) -> dict[str, float]:
    """Figures of several labels an image, in percent."""
    return {name: round(figures[name], 4) for name in ('map', 'micro_f1', 'macro_f1', 'sample_f1')}


def _write_details(details: DetailOptions, kept: Predictions, dataset: Any, without: set[int]) -> dict[str, Any]:
    """Write the tables that are asked for; what of them goes into the row of results."""
    outcome, names = kept.outcome(), class_names(dataset)
    if details.confusion_matrix:
        write_table(details.confusion_matrix, confusions(outcome, names), 'Confusion matrix')
    if details.per_class:
        write_table(details.per_class, per_class(outcome, names), 'Classes')
    if details.worst:
        places = [i for i in range(len(dataset)) if i not in without] if without else None
        rows = worst(outcome, details.num_worst, lambda i: _file_of(dataset, places[i] if places else i), names)
        write_table(details.worst, rows, 'Images with the largest loss')
    if not details.calibration:
        return {}
    bins = calibration(outcome, details.calibration_bins)
    write_table(details.calibration, bins, 'Calibration')
    return {'ece': round(expected_calibration_error(bins), 4)}


def _file_of(dataset: Any, index: int) -> str:
    """The file of an image, or its place in a dataset that has no files."""
    try:
        return str(dataset.filename(index, absolute=True))
    except (AttributeError, ValueError, NotImplementedError):
        return f'#{index}'


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
    valid_labels: str, real: RealLabelsImagenet | None, keepers: Sequence[ClassScores | Predictions]
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
        for keeper in keepers:
            keeper.update(output, target)
        return output, target

    return observe
