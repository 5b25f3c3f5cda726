# pyright: strict
"""What train.py can be told: the records that only training takes, and TrainOptions, which holds all of them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from .flags import about, flag, without
from .loss_options import ClassWeightOptions, DistillOptions, LossOptions
from .options import (
    BatchOptions,
    DataOptions,
    DeviceOptions,
    LabelOptions,
    ModelOptions,
    OptimOptions,
    PatchOptions,
    PreprocessOptions,
    RegularizeOptions,
    SmoothingOptions,
)
from .safety_options import SafetyOptions

__all__ = [
    'AugmentOptions',
    'BatchNormOptions',
    'EmaOptions',
    'MixOptions',
    'ParallelOptions',
    'PastTrainOptions',
    'RunOptions',
    'ScheduleOptions',
    'SizeOptions',
    'StartOptions',
    'TrackOptions',
    'TrainOptions',
    'TrainSplitOptions',
]


@dataclass(frozen=True)
class TrainSplitOptions:
    """Which parts of the dataset are for training and for evaluation."""

    train_split: str = flag('train', 'split to train on')
    val_split: str = flag('validation', 'split to evaluate on; empty: no evaluation')
    train_num_samples: int | None = flag(None, 'size of a streamed training split', low=1)
    val_num_samples: int | None = flag(None, 'size of a streamed evaluation split', low=1)


@dataclass(frozen=True)
class StartOptions:
    """Which weights and which epoch a training starts from."""

    pretrained_path: str | None = flag(None, 'file that stands for the published weights; a head that differs is left')
    pretrained_cfg_overlay: dict[str, Any] = field(
        default_factory=dict[str, Any], metadata=about('changes to the configuration of the published weights')
    )
    initial_checkpoint: str = flag('', 'weights to load into the finished model; every tensor has to fit')
    resume: str = flag('', "checkpoint to go on from; 'auto': the newest sound one in the output folder")
    no_resume_opt: bool = flag(False, 'resume the weights, but neither optimizer nor loss scale')
    start_epoch: int | None = flag(None, 'number of the first epoch, whatever a checkpoint says', low=0)
    head_init_scale: float | None = flag(None, "factor on the classifier's initial weights")
    head_init_bias: float | None = flag(None, "value of the classifier's initial bias")


@dataclass(frozen=True)
class ParallelOptions:
    """How processes and devices work together; processes are started by torchrun or SLURM."""

    device_modules: tuple[str, ...] | None = flag(None, 'Python modules to import first, for devices that need them')
    synchronize_step: bool = flag(
        False, 'wait for the device after every update', ignored='every update waits, since it looks at its loss'
    )
    local_rank: int = flag(0, 'rank on this machine, set by older launchers', '--local_rank')
    no_ddp_bb: bool = flag(False, 'do not broadcast buffers at every forward pass')
    sync_bn: bool = flag(False, 'batch norm over all processes')
    dist_bn: Literal['reduce', 'broadcast', ''] = flag(
        'reduce', 'batch-norm statistics after each epoch: reduce, broadcast, or empty for neither'
    )


@dataclass(frozen=True)
class BatchNormOptions:
    """How batch norms count."""

    bn_momentum: float | None = flag(None, 'momentum of the running statistics', low=0, high=1)
    bn_eps: float | None = flag(None, 'what is added to the variance', low=0)
    split_bn: bool = flag(False, 'statistics of its own for each augmentation split')


@dataclass(frozen=True)
class ScheduleOptions:
    """How the learning rate moves."""

    sched: str = flag('cosine', 'schedule')
    sched_on_updates: bool = flag(False, 'move the rate at every update instead of every epoch')
    lr: float | None = flag(None, 'learning rate; goes before --lr-base', low=0)
    lr_base: float = flag(0.1, 'learning rate at --lr-base-size samples an update', low=0)
    lr_base_size: int = flag(256, 'samples an update that --lr-base is meant for', low=1)
    lr_base_scale: Literal['', 'linear', 'sqrt'] = flag(
        '', 'how it grows with the batch: linear or sqrt; empty: sqrt for adaptive optimizers'
    )
    lr_noise: tuple[float, ...] | None = flag(None, 'shares of the run between which noise is added')
    lr_noise_pct: float = flag(0.67, 'largest noise, as a share of the rate')
    lr_noise_std: float = flag(1.0, 'standard deviation of the noise')
    lr_cycle_mul: float = flag(1.0, 'length of each cycle over that of the one before')
    lr_cycle_decay: float = flag(0.5, 'peak of each cycle over that of the one before')
    lr_cycle_limit: int = flag(1, 'number of cycles', low=1)
    lr_k_decay: float = flag(1.0, 'exponent of k-decay, for cosine and poly')
    warmup_lr: float = flag(1e-5, 'rate that warm-up starts from', low=0)
    min_lr: float = flag(0, 'lowest rate', low=0)
    lr_decay_fn: str | None = flag(None, 'wsd, rsqrt: form of the last decay: 1-sqrt, linear or cosine')
    lr_stable_timescale: float | None = flag(None, 'rsqrt: epochs in which the rate falls to 0.7', low=1e-6)
    epochs: int = flag(300, 'epochs of the schedule', low=1)
    stop_epoch: int | None = flag(None, 'epoch after which training ends, though the schedule goes on', low=1)
    epoch_repeats: float = flag(0.0, 'passes over a streamed dataset in one epoch; 0: one', low=0)
    warmup_epochs: int = flag(5, 'epochs of warm-up', low=0)
    warmup_prefix: bool = flag(False, 'warm-up comes before the schedule instead of taking its first epochs')
    cooldown_epochs: int = flag(0, 'epochs at the lowest rate after the schedule', low=0)
    decay_milestones: tuple[int, ...] = flag((90, 180, 270), 'epochs at which multistep decays')
    decay_epochs: float = flag(90, 'epochs between the decays of step')
    patience_epochs: int = flag(10, 'epochs without progress after which plateau decays', low=0)
    decay_rate: float = flag(0.1, 'factor of each decay', '--dr', low=0)


@dataclass(frozen=True)
class AugmentOptions:
    """How training images are changed."""

    no_aug: bool = flag(False, 'no augmentation at all')
    aug_repeats: float = flag(0, 'times that each image is seen in a row; 0: once', low=0)
    aug_splits: int = flag(0, 'views of each image in a batch, the first one plain; 0 or at least 2', low=0)
    resplit: bool = flag(False, 'erase nothing in the first view')
    train_crop_mode: str | None = flag(None, 'training crop: rrc, rkrc or rkrr')
    scale: tuple[float, float] = flag((0.08, 1.0), 'range of the area of a random crop', low=1e-6)
    ratio: tuple[float, float] = flag((0.75, 1.33), 'range of its width over its height', low=1e-6)
    hflip: float = flag(0.5, 'chance of a horizontal flip', low=0, high=1)
    vflip: float = flag(0.0, 'chance of a vertical flip', low=0, high=1)
    color_jitter: float = flag(0.4, 'strength of colour jitter')
    color_jitter_prob: float | None = flag(None, 'chance of colour jitter', low=0, high=1)
    grayscale_prob: float | None = flag(None, 'chance of a grey image', low=0, high=1)
    gaussian_blur_prob: float | None = flag(None, 'chance of a blurred image', low=0, high=1)
    aa: str | None = flag(None, 'automatic augmentation, as in rand-m9-mstd0.5, v0 or augmix-m5-w4-d2')
    reprob: float = flag(0.0, 'chance of random erasing', low=0, high=1)
    remode: str = flag('pixel', 'what erased regions hold: const, rand or pixel')
    recount: int = flag(1, 'erased regions', low=1)
    train_interpolation: str = flag('random', 'filter of the training resize')


@dataclass(frozen=True)
class MixOptions:
    """How training samples are mixed with each other."""

    mixup: float = flag(0.0, 'alpha of mixup; 0: off', low=0)
    cutmix: float = flag(0.0, 'alpha of cutmix; 0: off', low=0)
    cutmix_minmax: tuple[float, ...] | None = flag(None, 'range of the side of a cutmix region, instead of alpha')
    mixup_prob: float = flag(1.0, 'chance that a batch is mixed', low=0, high=1)
    mixup_switch_prob: float = flag(0.5, 'chance of cutmix where both are on', low=0, high=1)
    mixup_mode: Literal['batch', 'pair', 'elem'] = flag('batch', 'one mix per batch, pair or elem')
    mixup_off_epoch: int = flag(0, 'epoch from which mixing is off; 0: never', low=0)


@dataclass(frozen=True)
class SizeOptions:
    """Images of several sizes, one for each batch, and epochs of a given length."""

    train_img_sizes: tuple[int, ...] | None = flag(None, 'image sizes that the batches of a training draw from', low=1)
    train_batch_sizes: tuple[int, ...] | None = flag(None, 'batch size of each; --batch-size by default', low=1)
    train_size_probs: tuple[float, ...] | None = flag(None, 'how likely each is', low=0)
    train_size_schedule: Literal['constant', 'progressive'] = flag(
        'constant', 'the same chances in all epochs, or from the first size to the last'
    )
    train_size_schedule_spread: float = flag(0.65, 'progressive: deviation, in sizes, from where it is', low=0)
    train_size_random_mix: float = flag(0.1, 'progressive: share of equal chances mixed in', low=0, high=1)
    train_batches_per_epoch: int | None = flag(None, 'batches in an epoch', '--train-steps-per-epoch', low=1)
    variable_batch_loss_scale: Literal['none', 'sqrt', 'linear'] = flag(
        'none', 'how the weight of a batch grows with its samples over --batch-size'
    )


@dataclass(frozen=True)
class EmaOptions:
    """The average of the weights over the run."""

    model_ema: bool = flag(False, 'keep an exponential average of the weights and evaluate it')
    model_ema_force_cpu: bool = flag(False, 'keep it on the CPU; it is not evaluated then')
    model_ema_decay: float = flag(0.9998, 'its decay per update', low=0, high=1)
    model_ema_warmup: bool = flag(False, 'let the decay grow towards that value')


@dataclass(frozen=True)
class RunOptions:
    """How a training reports and keeps what it did."""

    seed: int = flag(42, 'every random choice follows from this and its position')
    log_interval: int = flag(50, 'updates between lines of the log', low=1)
    val_interval: int = flag(1, 'epochs between evaluations and checkpoints', low=1)
    recovery_interval: int = flag(0, 'updates between checkpoints within an epoch; 0: none', low=0)
    checkpoint_hist: int = flag(10, 'checkpoints that are kept', low=1)
    output: str = flag('', 'folder of all runs; by default ./output/train')
    experiment: str = flag('', 'folder of this run inside it; by default date, model and size')
    save_epochs: tuple[int, ...] | None = flag(None, 'numbers of epochs done at which a checkpoint is kept', low=1)
    save_images: bool = flag(False, 'write the images of a batch at every line of the log')
    tta: int = flag(0, 'views of each image whose outputs are averaged in an evaluation: 2, 5 or 10', low=0)
    worker_seeding: Literal['all', 'part'] = flag(
        'all', 'generators that a worker seeds; what images draw follows from their place in the epoch anyway'
    )
    use_multi_epochs_loader: bool = flag(
        False, 'keep workers from epoch to epoch', ignored='the workers of a dataset with an index are kept'
    )
    eval_metric: str = flag('top1', 'figure that ranks the checkpoints')
    grad_checkpointing: bool = flag(False, 'compute activations twice instead of keeping them')


@dataclass(frozen=True)
class PastTrainOptions:
    """What older scripts took under another name."""

    drop_connect: float | None = flag(None, 'older name of --drop-path', low=0, high=1)


@dataclass(frozen=True)
class TrackOptions:
    """Where else the figures of a run go."""

    log_wandb: bool = flag(False, 'to Weights & Biases')
    wandb_project: str | None = flag(None, 'its project')
    wandb_tags: tuple[str, ...] = flag((), 'tags of the run there')
    wandb_resume_id: str = flag('', 'identifier of a run there that goes on')
    log_tensorboard: bool = flag(False, 'to TensorBoard, in the folder of the run')


@dataclass(frozen=True)
class TrainOptions:
    """What train.py takes."""

    data: DataOptions = field(default=DataOptions())
    split: TrainSplitOptions = field(default=TrainSplitOptions())
    model: ModelOptions = field(default=ModelOptions())
    start: StartOptions = field(default=StartOptions())
    preprocess: PreprocessOptions = field(
        default=PreprocessOptions(), metadata=without('use_train_size', 'crop_mode', 'crop_border_pixels')
    )
    batch: BatchOptions = field(default=BatchOptions())
    device: DeviceOptions = field(default=DeviceOptions())
    parallel: ParallelOptions = field(default=ParallelOptions())
    norm: BatchNormOptions = field(default=BatchNormOptions())
    optim: OptimOptions = field(default=OptimOptions())
    schedule: ScheduleOptions = field(default=ScheduleOptions())
    augment: AugmentOptions = field(default=AugmentOptions())
    mix: MixOptions = field(default=MixOptions())
    sizes: SizeOptions = field(default=SizeOptions())
    patches: PatchOptions = field(default=PatchOptions())
    smoothing: SmoothingOptions = field(default=SmoothingOptions())
    labels: LabelOptions = field(default=LabelOptions())
    loss: LossOptions = field(default=LossOptions())
    weights: ClassWeightOptions = field(default=ClassWeightOptions())
    distill: DistillOptions = field(default=DistillOptions())
    regularize: RegularizeOptions = field(default=RegularizeOptions())
    past: PastTrainOptions = field(default=PastTrainOptions())
    ema: EmaOptions = field(default=EmaOptions())
    run: RunOptions = field(default=RunOptions())
    safety: SafetyOptions = field(default=SafetyOptions())
    track: TrackOptions = field(default=TrackOptions())
