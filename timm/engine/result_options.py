# pyright: strict
"""What a command can be told about its results: which figures, in which files, in which form."""

from dataclasses import dataclass
from typing import Literal

from .flags import flag

__all__ = ['BenchOptions', 'DetailOptions', 'EvaluateOptions', 'PredictOptions']


@dataclass(frozen=True)
class EvaluateOptions:
    """What validation reports."""

    test_pool: bool = flag(False, 'pool at test time over a larger map')
    tf_preprocessing: bool = flag(False, 'preprocess with TensorFlow, as the first EfficientNets were')
    reparam: bool = flag(False, 'merge training-time branches first')
    log_freq: int = flag(10, 'batches between lines of the log', low=1)
    results_file: str = flag('', 'file for the results')
    results_format: Literal['csv', 'json'] = flag('csv', 'its format')
    real_labels: str = flag('', 'JSON file of the ImageNet ReaL labels')
    valid_labels: str = flag('', 'text file of the class indices that count')
    retry: bool = flag(False, 'try again with a smaller batch where memory runs out')
    seed: int = flag(42, 'random seed')
    metrics_avg: Literal['micro', 'macro', 'weighted'] | None = flag(
        None, 'precision, recall and F1 averaged like this'
    )


@dataclass(frozen=True)
class DetailOptions:
    """What else validation finds out on request; a file is written as its name ends: .csv, .json or .html."""

    tta: int = flag(0, 'views of each image whose outputs are averaged: 2 mirrored, 5 or 10 with the corners', low=0)
    confusion_matrix: str = flag('', 'file for how many images of each class were taken for which')
    per_class: str = flag('', 'file for accuracy, precision, recall and F1 of each class')
    calibration: str = flag('', 'file for how often the model is right at which confidence; adds the column ece')
    calibration_bins: int = flag(15, 'bins of confidence', low=1)
    worst: str = flag('', 'file for the images with the largest loss')
    num_worst: int = flag(50, 'how many of them', low=1)


@dataclass(frozen=True)
class PredictOptions:
    """Which predictions are written, and how."""

    test_pool: bool = flag(False, 'pool at test time over a larger map')
    log_freq: int = flag(10, 'batches between lines of the log', low=1)
    results_dir: str | None = flag(None, 'folder for the results')
    results_file: str | None = flag(None, 'name of the result files; the extension follows the format')
    results_format: tuple[str, ...] = flag(('csv',), 'formats: csv, json, json-split, parquet')
    results_separate_col: bool = flag(False, 'one column for each rank of the top-k')
    topk: int = flag(1, 'predictions per image; 0: the score of every class', low=0)
    fullname: bool = flag(False, 'keep the folders in the names of the images')
    filename_col: str = flag('filename', 'title of the column of names')
    index_col: str = flag('index', 'title of the column of class indices')
    label_col: str = flag('label', 'title of the column of class names')
    output_col: str | None = flag(None, 'title of the column of scores; by default prob or logit')
    output_type: Literal['prob', 'logit'] = flag('prob', 'scores: prob or logit')
    label_type: Literal['none', 'name', 'description', 'detailed'] = flag(
        'description', 'class names: none, name, description or detailed'
    )
    include_index: bool = flag(False, 'add the class indices')
    exclude_output: bool = flag(False, 'leave out the scores')
    no_console_results: bool = flag(False, 'do not print the predictions')


@dataclass(frozen=True)
class BenchOptions:
    """What is timed."""

    model_list: str = flag('', 'text file of model names, or a wildcard; goes before --model')
    bench: Literal['both', 'inference', 'train', 'profile'] = flag(
        'both', 'what is timed: inference, train, both; or profile, which counts without timing'
    )
    detail: bool = flag(False, 'split a training step into forward, backward and update')
    no_retry: bool = flag(False, 'do not try again with a smaller batch where memory runs out')
    results_file: str = flag('', 'file for the results')
    results_format: Literal['csv', 'json'] = flag('csv', 'its format: csv or json')
    num_warm_iter: int = flag(10, 'steps before the clock starts', low=0)
    num_bench_iter: int = flag(40, 'steps that are timed', low=1)
    precision: Literal['float32', 'amp', 'amp_bfloat16', 'float16', 'bfloat16'] = flag(
        'float32', 'amp, amp_bfloat16, float32, float16 or bfloat16'
    )
    grad_checkpointing: bool = flag(False, 'compute activations twice instead of keeping them')
    reparam: bool = flag(False, 'merge training-time branches first')
