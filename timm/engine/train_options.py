# pyright: strict
"""What train.py can be told: the records that only training takes, and TrainOptions, which holds all of them."""

from dataclasses import dataclass, field
from typing import Literal

from .flags import flag, without
from .options import (
    BatchOptions,
    DataOptions,
    DeviceOptions,
    ModelOptions,
    OptimOptions,
    PreprocessOptions,
    RegularizeOptions,
    SmoothingOptions,
)

__all__ = [
    'AugmentOptions',
    'EmaOptions',
    'LossOptions',
    'MixOptions',
    'ParallelOptions',
    'RunOptions',
    'ScheduleOptions',
    'StartOptions',
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
    initial_checkpoint: str = flag('', 'weights to load into the finished model; every tensor has to fit')
    resume: str = flag('', "checkpoint to go on from; 'auto': the newest sound one in the output folder")
    no_resume_opt: bool = flag(False, 'resume the weights, but neither optimizer nor loss scale')
    start_epoch: int | None = flag(None, 'number of the first epoch, whatever a checkpoint says', low=0)
    head_init_scale: float | None = flag(None, "factor on the classifier's initial weights")
    head_init_bias: float | None = flag(None, "value of the classifier's initial bias")


@dataclass(frozen=True)
class ParallelOptions:
    """How several processes work together; they are started by torchrun or SLURM."""

    local_rank: int = flag(0, 'rank on this machine, set by older launchers', '--local_rank')
    no_ddp_bb: bool = flag(False, 'do not broadcast buffers at every forward pass')
    sync_bn: bool = flag(False, 'batch norm over all processes')
    dist_bn: Literal['reduce', 'broadcast', ''] = flag(
        'reduce', 'batch-norm statistics after each epoch: reduce, broadcast, or empty for neither'
    )


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
    epochs: int = flag(300, 'epochs of the schedule', low=1)
    warmup_epochs: int = flag(5, 'epochs of warm-up', low=0)
    warmup_prefix: bool = flag(False, 'warm-up comes before the schedule instead of taking its first epochs')
    cooldown_epochs: int = flag(0, 'epochs at the lowest rate after the schedule', low=0)
    decay_milestones: tuple[int, ...] = flag((90, 180, 270), 'epochs at which multistep decays')
    decay_epochs: float = flag(90, 'epochs between the decays of step')
    patience_epochs: int = flag(10, 'epochs without progress after which plateau decays', low=0)
    decay_rate: float = flag(0.1, 'factor of each decay', '--dr')


@dataclass(frozen=True)
class AugmentOptions:
    """How training images are changed."""

    no_aug: bool = flag(False, 'no augmentation at all')
    train_crop_mode: str | None = flag(None, 'training crop: rrc, rkrc or rkrr')
    scale: tuple[float, float] = flag((0.08, 1.0), 'range of the area of a random crop')
    ratio: tuple[float, float] = flag((0.75, 1.33), 'range of its width over its height')
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
class LossOptions:
    """What is minimised."""

    bce_loss: bool = flag(False, 'binary cross entropy per class')
    bce_sum: bool = flag(False, 'sum it over the classes instead of taking the mean')
    bce_target_thresh: float | None = flag(None, 'targets above this count as 1, others as 0')
    bce_pos_weight: float | None = flag(None, 'weight of positive targets')


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
    eval_metric: str = flag('top1', 'figure that ranks the checkpoints')
    grad_checkpointing: bool = flag(False, 'compute activations twice instead of keeping them')


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
    optim: OptimOptions = field(default=OptimOptions())
    schedule: ScheduleOptions = field(default=ScheduleOptions())
    augment: AugmentOptions = field(default=AugmentOptions())
    mix: MixOptions = field(default=MixOptions())
    smoothing: SmoothingOptions = field(default=SmoothingOptions())
    loss: LossOptions = field(default=LossOptions())
    regularize: RegularizeOptions = field(default=RegularizeOptions())
    ema: EmaOptions = field(default=EmaOptions())
    run: RunOptions = field(default=RunOptions())
