# pyright: strict
"""Predictions for a folder of images: a table of names, classes and scores."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from timm.data import CustomDatasetInfo, DatasetInfoLabelMapper, ImageNetInfo, infer_imagenet_subset
from timm.data.readers.class_map import load_class_map
from timm.models import safe_model_name

from .batches import readable
from .build_data import Split, build_eval_loader, open_dataset
from .build_model import build_model, compile_model, finish_model, load_weights, resolve_preprocessing
from .checkpoint import trained_classes
from .damage import guarded, left_out
from .distributed import World, pick_device
from .evaluate import first_output
from .exits import DataError, UsageError, nearest
from .flags import flatten
from .options import InferenceOptions, PredictOptions
from .precision import Precision
from .report import Progressbar
from .tables import print_json, to_csv, write_text

__all__ = ['by_name', 'predict_folder', 'run', 'score_batches', 'write_predictions']

_logger = logging.getLogger(__name__)
_FORMATS = {'csv': 'csv', 'json': 'json', 'json-split': 'json', 'parquet': 'parquet'}

Rows = list[dict[str, Any]]


def score_batches(
    model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], precision: Precision, topk: int, probabilities: bool
) -> Iterable[tuple[Tensor, Tensor | None]]:
    """Scores and classes of each batch, the best `topk` first; all scores, and no classes, with 0."""
    model.eval()
    with torch.inference_mode():
        for x, _ in readable(loader):
            with precision.autocast():
                output = first_output(model(precision.place_input(x))).float()
            if probabilities:
                output = output.softmax(-1)
            if topk:
                scores, classes = output.topk(min(topk, output.shape[-1]))
                yield scores.cpu(), classes.cpu()
            else:
                yield output.cpu(), None


def _numbers(values: Tensor) -> list[list[float]]:
    """Scores as short decimals that read back to the same 32-bit numbers."""
    return [[float(f'{value:.9g}') for value in row] for row in values.tolist()]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _labels(model: nn.Module, options: InferenceOptions) -> DatasetInfoLabelMapper | None:
    """Class index to text: by --class-map, by what came with the weights, or by ImageNet; None where none of them fits.

    A network of as many classes as a subset of ImageNet is taken to tell those apart, unless it was trained on others.
    """
    kind = options.predict.label_type
    if kind == 'none' or not options.predict.topk:
        return None
    config: Mapping[str, Any] = getattr(model, 'pretrained_cfg', None) or {}
    if options.data.class_map:
        by_index = {index: str(name) for name, index in load_class_map(options.data.class_map).items()}
        return DatasetInfoLabelMapper(CustomDatasetInfo(by_index), kind)
    if config.get('label_names'):
        return DatasetInfoLabelMapper(CustomDatasetInfo(config['label_names'], config.get('label_descriptions')), kind)
    subset = infer_imagenet_subset(model)
    trained_on = trained_classes(options.checkpoint.checkpoint)
    if trained_on and (subset is None or set(trained_on) != set(ImageNetInfo(subset).label_names())):
        of_all = {index: str(index) for index in range(getattr(model, 'num_classes', 0))}
        of_all |= {index: name for name, index in trained_on.items()}
        return DatasetInfoLabelMapper(CustomDatasetInfo(of_all), kind)
    if subset is not None:
        return DatasetInfoLabelMapper(ImageNetInfo(subset), kind)
    _logger.info('the classes of this model have no names that are known here; --include-index gives their numbers')
    return None


def _columns(title: str, values: Sequence[Sequence[Any]], separate: bool) -> dict[str, list[Any]]:
    """A column per rank, or one column of lists, or of plain values where there is one rank."""
    width = len(values[0])
    if separate and width > 1:
        return {f'{title}_{rank}': [row[rank] for row in values] for rank in range(width)}
    return {title: [row[0] for row in values] if width == 1 else [list(row) for row in values]}


def _table(
    names: Sequence[str], scores: Tensor, classes: Tensor | None, labels: Callable[[int], str] | None, o: PredictOptions
) -> Rows:
    """One row per image: name, and as asked index, label and score."""
    columns: dict[str, list[Any]] = {o.filename_col: list(names)}
    if classes is not None:
        indices: list[list[int]] = classes.tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if o.include_index:
            columns |= _columns(o.index_col, indices, o.results_separate_col)
        if labels is not None:
            columns |= _columns(o.label_col, [[labels(i) for i in row] for row in indices], o.results_separate_col)
    if not o.exclude_output:
        columns |= _columns(o.output_col or o.output_type, _numbers(scores), o.results_separate_col)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _names(dataset: Any, fullname: bool) -> list[str]:
    """The images' names, with their folders where the names alone would not tell them apart."""
    names: list[str] = dataset.filenames(basename=not fullname)
    if len(set(names)) < len(names) and not fullname:
        _logger.info('images of the same name: their folders are kept in the table')
        names = dataset.filenames()
    return names


def by_name(rows: Rows, filename_col: str) -> dict[str, dict[str, Any]]:
    """The rows as one object keyed by image name."""
    return {row[filename_col]: {k: v for k, v in row.items() if k != filename_col} for row in rows}


def write_predictions(rows: Rows, path: Path, kind: str, filename_col: str) -> None:
    """Write the table as csv, json (an object keyed by name), json-split (columns and data) or parquet."""
    path = path.parent / f'{path.name}.{_FORMATS[kind]}'
    if kind == 'csv':
        write_text(path, to_csv(rows))
    elif kind == 'json':
        write_text(path, json.dumps(by_name(rows, filename_col), indent=4) + '\n')
    elif kind == 'json-split':
        table = {'columns': list(rows[0]), 'data': [list(row.values()) for row in rows]}
        write_text(path, json.dumps(table, indent=4) + '\n')
    else:
        try:
            pd: Any = import_module('pandas')
        except ImportError:
            raise UsageError('parquet needs pandas and pyarrow: pip install "timm[parquet]"') from None
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).set_index(filename_col).to_parquet(path)


def _check_formats(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in _FORMATS:
            raise UsageError(f'--results-format {kind} is none of {", ".join(_FORMATS)}{nearest(kind, _FORMATS)}')


def predict_folder(options: InferenceOptions) -> Rows:
    """Predict every image of a split and write the tables that the options ask for; the rows come back."""
    told = options.predict
    _check_formats(told.results_format)
    world = World(pick_device(options.device.device))
    precision = Precision.from_options(options.device, world.device)
    path = options.checkpoint.checkpoint
    chosen = replace(options.model, pretrained=options.model.pretrained or not path)
    model = build_model(chosen, options.device, seed=0)
    preprocessing = resolve_preprocessing(model, flatten(options), not options.preprocess.use_train_size)
    if path:
        load_weights(model, path, preprocessing['input_size'][1:])
    model, pooled = finish_model(model, preprocessing, test_pool=told.test_pool)
    if pooled:
        preprocessing['crop_pct'] = 1.0
    running = compile_model(precision.place_model(model), options.device)
    split = Split(options.split.split, batch_size=options.batch.batch_size)
    dataset = open_dataset(options.data, split, preprocessing['input_size'][0])
    loaded = guarded(dataset, options.data, world)
    loader = build_eval_loader(loaded, options.batch, preprocessing, world, dtype=precision.dtype)
    progress = Progressbar(f'predict {options.model.model}', len(loader), told.log_freq)
    scores: list[Tensor] = []
    classes: list[Tensor] = []
    for batch_scores, batch_classes in score_batches(running, loader, precision, told.topk, told.output_type == 'prob'):
        scores.append(batch_scores)
        if batch_classes is not None:
            classes.append(batch_classes)
        progress.step(len(batch_scores), {})
    progress.close()
    if not scores:
        raise DataError(f'no image of {options.data.root or options.data.dataset} can be read')
    without = left_out(loaded)
    names = [name for i, name in enumerate(_names(dataset, told.fullname)) if i not in without]
    rows = _table(names, torch.cat(scores), torch.cat(classes) if classes else None, _labels(model, options), told)
    default = f'{safe_model_name(options.model.model)}-{preprocessing["input_size"][-1]}'
    target = Path(told.results_dir or '.') / (told.results_file or default)
    stem = target.with_suffix('') if target.suffix[1:] in _FORMATS.values() else target
    for kind in told.results_format:
        write_predictions(rows, stem, kind, told.filename_col)
    return rows


def run(options: InferenceOptions) -> None:
    """Predict; the tables are written, and unless told otherwise printed."""
    rows = predict_folder(options)
    if not options.predict.no_console_results:
        print_json(by_name(rows, options.predict.filename_col))
