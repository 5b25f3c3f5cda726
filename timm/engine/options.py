# pyright: strict
"""What the scripts can be told: records whose fields are the command-line flags and whose field docs are their help.

A field `batch_size` is the flag `--batch-size`; its annotation decides how the flag reads its value: `bool` is a
switch, `tuple[X, ...]` takes several values, `dict` takes key=value items, `Literal` is a closed choice. A script's
record is made of such records; the instance it holds as default says where the script's defaults differ.
`timm.engine.flags` translates, `timm.engine.train_options` adds what only training takes.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from .flags import about, flag, without
from .result_options import BenchOptions, DetailOptions, EvaluateOptions, PredictOptions

__all__ = [
    'BatchOptions',
    'BenchOptions',
    'BenchmarkOptions',
    'CheckpointOptions',
    'DataOptions',
    'DetailOptions',
    'DeviceOptions',
    'EvaluateOptions',
    'InferenceOptions',
    'LabelOptions',
    'ModelOptions',
    'OptimOptions',
    'PastOptions',
    'PatchOptions',
    'PredictOptions',
    'PreprocessOptions',
    'RegularizeOptions',
    'SmoothingOptions',
    'SplitOptions',
    'ValidateOptions',
]


@dataclass(frozen=True)
class DataOptions:
    """Where the images come from."""

    data: str | None = flag(None, 'root of the dataset (older spelling of --data-dir)', positional=True)
    data_dir: str | None = flag(None, 'root of the dataset')
    dataset: str = flag('', 'kind and name, as in torch/cifar10 or hfds/NAME; empty: a folder or tar of images')
    dataset_download: bool = flag(False, 'let the dataset be downloaded where its kind can')
    class_map: str = flag('', 'file that maps class names to indices')
    input_img_mode: str | None = flag(None, 'PIL mode of the images; by default RGB for 3 channels, else L')
    input_key: str | None = flag(None, 'field of a sample that holds the image; of a folder, the extensions: .jpg;.png')
    target_key: str | None = flag(None, 'field of a sample that holds the label')
    dataset_trust_remote_code: bool = flag(False, 'let datasets of the hub run their own code')
    bad_images: str = flag('raise', 'what cannot be read: raise stops, skip goes on, FILE.jsonl also lists it there')
    max_image_pixels: int | None = flag(
        None, 'refuse images of more pixels, by their header; by default 89 million', low=1
    )

    @property
    def root(self) -> str | None:
        """The dataset's root, whichever way it was given."""
        return self.data_dir or self.data


@dataclass(frozen=True)
class SplitOptions:
    """Which part of the dataset is read."""

    split: str = flag('validation', 'split to read')
    num_samples: int | None = flag(None, 'size of a streamed split', low=1)


@dataclass(frozen=True)
class ModelOptions:
    """Which network, at which size."""

    model: str = flag('resnet50', 'name of the model, with or without a tag of its weights', '-m')
    pretrained: bool = flag(False, 'start from the published weights')
    num_classes: int | None = flag(None, "width of the classifier; by default the model's own", low=0)
    gp: str | None = flag(None, 'kind of global pooling, as in avg, max, avgmax')
    img_size: int | None = flag(None, 'height and width of the input in pixels', low=1)
    in_chans: int | None = flag(None, 'channels of the input', low=1)
    input_size: tuple[int, int, int] | None = flag(None, 'channels, height and width of the input', low=1)
    model_kwargs: dict[str, Any] = field(
        default_factory=dict[str, Any], metadata=about("further arguments of the model's constructor")
    )


@dataclass(frozen=True)
class LabelOptions:
    """What is told of an image."""

    task: Literal['classification', 'multilabel'] = flag('classification', 'one label for each image, or several')
    target_format: Literal['indices', 'multihot'] = flag(
        'indices', 'several labels come as indices, or as a number for each class (multihot)'
    )
    multilabel_threshold: float = flag(0.5, 'probability from which on a label counts as found', low=0, high=1)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.task == 'multilabel'


@dataclass(frozen=True)
class CheckpointOptions:
    """Which trained weights are looked at."""

    checkpoint: str = flag('', 'weights to load')
    use_ema: bool = flag(False, 'prefer the averaged weights of the checkpoint')


@dataclass(frozen=True)
class PreprocessOptions:
    """How an image becomes the model's input; what is not given follows the model's configuration."""

    use_train_size: bool = flag(False, "the size of training, even where the model's test size is larger")
    crop_pct: float | None = flag(None, 'share of the resized image that the evaluation crop keeps', low=0.01)
    crop_mode: str | None = flag(None, 'how the evaluation crop is cut: center, squash or border')
    crop_border_pixels: int | None = flag(None, 'pixels taken off each edge before resizing', low=0)
    mean: tuple[float, ...] | None = flag(None, 'mean of each channel, 0 to 1')
    std: tuple[float, ...] | None = flag(None, 'standard deviation of each channel', low=1e-6)
    interpolation: str = flag('', 'filter of the evaluation resize')


@dataclass(frozen=True)
class BatchOptions:
    """How samples are grouped and fetched."""

    batch_size: int = flag(128, 'samples in a batch, per process', '-b', low=1)
    validation_batch_size: int | None = flag(None, 'the same for evaluation, if it differs', '-vb', low=1)
    grad_accum_steps: int = flag(1, 'batches that make one optimizer step', low=1)
    workers: int = flag(4, 'processes that load samples; 0: load in the main process', '-j', low=0)
    pin_mem: bool = flag(False, 'pin host memory, for faster copies to a GPU')
    no_prefetcher: bool = flag(False, 'normalise in the workers instead of on the device')
    worker_type: Literal['process', 'thread'] = flag('process', 'what loads an evaluation: process or thread')
    fast_resize: bool = flag(False, 'resize sooner with torch; pixels are up to 2 of 255 off those of PIL')
    reduced_decode: bool = flag(False, 'decode large JPEGs smaller where half of that is enough; how far off is logged')


@dataclass(frozen=True)
class DeviceOptions:
    """Where and in which precision the numbers are computed."""

    device: str = flag('cuda', 'torch device; the CPU is taken where there is no accelerator')
    amp: bool = flag(False, 'mixed precision')
    amp_dtype: Literal['float16', 'bfloat16'] = flag('float16', 'lower precision of --amp: float16 or bfloat16')
    model_dtype: str | None = flag(None, 'precision of the whole model, instead of --amp')
    channels_last: bool = flag(False, 'keep images and weights in channels-last order')
    torchcompile: str | None = flag(None, 'compile with this backend, inductor if none is named', const='inductor')
    torchcompile_mode: str | None = flag(None, 'mode of torch.compile')
    torchscript: bool = flag(False, 'script the model')
    fuser: str = flag('', 'fuser of scripted models: te, old or nvfuser')
    fast_norm: bool = flag(False, 'norm layers compute in the lower precision')


@dataclass(frozen=True)
class PatchOptions:
    """Batches of patches instead of square images (NaFlex), for models that take images of any proportions."""

    naflex_loader: bool = flag(False, 'load sequences of patches; images keep their proportions')
    naflex_max_seq_len: int = flag(576, 'patches of an image in an evaluation, at most', low=1)
    naflex_train_seq_lens: tuple[int, ...] = flag(
        (128, 256, 576, 784, 1024), 'sequence lengths that the batches of a training draw from', low=1
    )
    naflex_patch_sizes: tuple[int, ...] | None = flag(None, 'patch sizes that they draw from', low=1)
    naflex_patch_size_probs: tuple[float, ...] | None = flag(None, 'how likely each of these is', low=0)
    naflex_loss_scale: Literal['none', 'sqrt', 'linear'] = flag(
        'linear', 'how the weight of a batch grows with its samples over --batch-size'
    )
    naflex_patchify_channels_first: bool = flag(False, 'order the numbers of a patch by channel instead of by pixel')


@dataclass(frozen=True)
class PastOptions:
    """What older scripts took, and is done differently now."""

    num_gpu: int = flag(1, 'devices to compute on', low=1, ignored='a process computes on one device, see --device')
    aot_autograd: bool = flag(False, 'compile the model, as functorch did', ignored='--torchcompile does this now')


@dataclass(frozen=True)
class OptimOptions:
    """How gradients become updates."""

    opt: str = flag('sgd', 'optimizer')
    opt_eps: float | None = flag(None, "the optimizer's epsilon")
    opt_betas: tuple[float, ...] | None = flag(None, "the optimizer's betas")
    momentum: float = flag(0.9, 'momentum', low=0)
    weight_decay: float = flag(2e-5, 'weight decay', low=0)
    clip_grad: float | None = flag(None, 'limit on the gradients', low=0)
    clip_mode: Literal['norm', 'value', 'agc'] = flag('norm', 'what is limited: norm, value, or agc')
    layer_decay: float | None = flag(None, 'factor on the learning rate from each layer to the one below', low=0)
    layer_decay_min_scale: float = flag(0, 'smallest scale layer decay may reach')
    layer_decay_no_opt_scale: float | None = flag(None, 'layers whose scale is below this are not trained')
    opt_kwargs: dict[str, Any] = field(
        default_factory=dict[str, Any], metadata=about("further arguments of the optimizer's constructor")
    )


@dataclass(frozen=True)
class SmoothingOptions:
    """How certain the training targets are."""

    smoothing: float = flag(0.1, 'label smoothing', low=0, high=1)


@dataclass(frozen=True)
class RegularizeOptions:
    """What is left out of the network at random."""

    drop: float = flag(0.0, 'dropout before the classifier', low=0, high=1)
    drop_path: float | None = flag(
        None, 'chance that the last residual branch is skipped (stochastic depth)', low=0, high=1
    )
    drop_block: float | None = flag(None, 'chance of DropBlock', low=0, high=1)


@dataclass(frozen=True)
class ValidateOptions:
    """What validate.py takes."""

    data: DataOptions = field(default=DataOptions())
    split: SplitOptions = field(default=SplitOptions())
    model: ModelOptions = field(default=ModelOptions(model='dpn92'))
    checkpoint: CheckpointOptions = field(default=CheckpointOptions())
    preprocess: PreprocessOptions = field(default=PreprocessOptions())
    batch: BatchOptions = field(
        default=BatchOptions(batch_size=256), metadata=without('validation_batch_size', 'grad_accum_steps')
    )
    device: DeviceOptions = field(default=DeviceOptions())
    labels: LabelOptions = field(default=LabelOptions())
    patches: PatchOptions = field(
        default=PatchOptions(),
        metadata=without(
            'naflex_train_seq_lens',
            'naflex_patch_sizes',
            'naflex_patch_size_probs',
            'naflex_loss_scale',
            'naflex_patchify_channels_first',
        ),
    )
    evaluate: EvaluateOptions = field(default=EvaluateOptions())
    details: DetailOptions = field(default=DetailOptions())
    past: PastOptions = field(default=PastOptions())


@dataclass(frozen=True)
class InferenceOptions:
    """What inference.py takes."""

    data: DataOptions = field(
        default=DataOptions(),
        metadata=without('dataset_download', 'dataset_trust_remote_code', 'input_img_mode', 'input_key', 'target_key'),
    )
    split: SplitOptions = field(default=SplitOptions(), metadata=without('num_samples'))
    model: ModelOptions = field(default=ModelOptions(), metadata=without('gp'))
    checkpoint: CheckpointOptions = field(default=CheckpointOptions(), metadata=without('use_ema'))
    preprocess: PreprocessOptions = field(default=PreprocessOptions(), metadata=without('crop_border_pixels'))
    batch: BatchOptions = field(
        default=BatchOptions(batch_size=256, workers=2),
        metadata=without('validation_batch_size', 'grad_accum_steps', 'pin_mem', 'no_prefetcher'),
    )
    device: DeviceOptions = field(default=DeviceOptions(), metadata=without('fast_norm'))
    predict: PredictOptions = field(default=PredictOptions())
    past: PastOptions = field(default=PastOptions())


@dataclass(frozen=True)
class BenchmarkOptions:
    """What benchmark.py takes."""

    bench: BenchOptions = field(default=BenchOptions())
    model: ModelOptions = field(default=ModelOptions(), metadata=without('pretrained', 'in_chans'))
    preprocess: PreprocessOptions = field(
        default=PreprocessOptions(),
        metadata=without('crop_pct', 'crop_mode', 'crop_border_pixels', 'mean', 'std', 'interpolation'),
    )
    batch: BatchOptions = field(
        default=BatchOptions(batch_size=256),
        metadata=without(
            'validation_batch_size',
            'grad_accum_steps',
            'workers',
            'pin_mem',
            'no_prefetcher',
            'worker_type',
            'fast_resize',
            'reduced_decode',
        ),
    )
    device: DeviceOptions = field(default=DeviceOptions(), metadata=without('model_dtype'))
    optim: OptimOptions = field(
        default=OptimOptions(weight_decay=1e-4),
        metadata=without('layer_decay', 'layer_decay_min_scale', 'layer_decay_no_opt_scale', 'opt_kwargs'),
    )
    smoothing: SmoothingOptions = field(default=SmoothingOptions())
    regularize: RegularizeOptions = field(default=RegularizeOptions())
    past: PastOptions = field(default=PastOptions(), metadata=without('num_gpu'))
