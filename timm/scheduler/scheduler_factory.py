"""Schedules by name: the table of what there is, and the functions that make one from arguments or options."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from .cosine_lr import CosineLRScheduler
from .multistep_lr import MultiStepLRScheduler
from .plateau_lr import PlateauLRScheduler
from .poly_lr import PolyLRScheduler
from .scheduler import Scheduler
from .step_lr import StepLRScheduler
from .tanh_lr import TanhLRScheduler
from .wsd_lr import WSDLRScheduler

__all__ = ['create_scheduler', 'create_scheduler_v2', 'scheduler_kwargs']

DECAY_EPOCHS = 90  # for step, when none are given
WSD_DECAY_SHARE = 0.2  # of the epochs after the warm-up, when no decay epochs are given


@dataclass(frozen=True)
class Plan:
    """The arguments of `create_scheduler_v2`, and the times that follow from them in the schedule's own unit."""

    num_epochs: int
    decay_epochs: float | None
    decay_milestones: Sequence[int]
    cooldown_epochs: int
    patience_epochs: int
    decay_rate: float
    min_lr: float
    warmup_lr: float
    warmup_epochs: int
    warmup_prefix: bool
    noise: float | Sequence[float] | None
    noise_pct: float
    noise_std: float
    noise_seed: int
    cycle_mul: float
    cycle_decay: float
    cycle_limit: int
    k_decay: float
    decay_fn: str | Callable[[float], float] | None
    stable_timescale: float | None
    plateau_mode: str
    step_on_epochs: bool
    updates_per_epoch: int

    def __post_init__(self) -> None:
        if not self.step_on_epochs and not self.updates_per_epoch > 0:
            raise ValueError(
                f'updates_per_epoch={self.updates_per_epoch} does not go with step_on_epochs=False: '
                'give the number of optimizer updates in an epoch.'
            )

    @property
    def unit(self) -> int:
        """Length of an epoch in the schedule's unit."""
        return 1 if self.step_on_epochs else self.updates_per_epoch

    @property
    def t_initial(self) -> int:
        """Length of the schedule, or of its first cycle."""
        return self.num_epochs * self.unit

    @property
    def decay_t(self) -> float:
        """Time between drops."""
        return (DECAY_EPOCHS if self.decay_epochs is None else self.decay_epochs) * self.unit

    def final_decay_t(self, length: int) -> int:
        """Time of the final decay, of a stretch so long; fewer epochs than one are a share of it."""
        if self.decay_epochs is None:
            return max(1, round(length * WSD_DECAY_SHARE))
        return round(self.decay_epochs * (length if 0 < self.decay_epochs < 1 else self.unit))

    def noise_args(self) -> dict[str, Any]:
        """When and how strong the noise is; `noise` counts in shares of all epochs."""
        span = self.noise
        if isinstance(span, (list, tuple)):
            times = [share * self.t_initial for share in span]
            span = times[0] if len(times) == 1 else times
        elif span is not None:
            span = span * self.t_initial  # pyright: ignore[reportOperatorIssue]
        return dict(noise_range_t=span, noise_pct=self.noise_pct, noise_std=self.noise_std, noise_seed=self.noise_seed)

    def warmup_args(self) -> dict[str, Any]:
        """The warm-up in front, and the unit of time."""
        return dict(
            warmup_t=self.warmup_epochs * self.unit,
            warmup_lr_init=self.warmup_lr,
            warmup_prefix=self.warmup_prefix,
            t_in_epochs=self.step_on_epochs,
        )

    def cycle_args(self) -> dict[str, Any]:
        """The cycles and where they end."""
        return dict(
            t_initial=self.t_initial,
            lr_min=self.min_lr,
            cycle_mul=self.cycle_mul,
            cycle_decay=self.cycle_decay,
            cycle_limit=self.cycle_limit,
        )

    def epochs(self, length: int | None = None) -> int:
        """Epochs to train: the cool-down after `length`, or without one the given epochs after the warm-up."""
        if length is None:
            return self.num_epochs + (self.warmup_epochs if self.warmup_prefix else 0)
        return length // self.unit + self.cooldown_epochs


Made = tuple[Scheduler, int]


def _cosine(optimizer: Optimizer, plan: Plan) -> Made:
    scheduler = CosineLRScheduler(
        optimizer, **plan.cycle_args(), **plan.warmup_args(), **plan.noise_args(), k_decay=plan.k_decay
    )
    return scheduler, plan.epochs(scheduler.get_cycle_length())


def _tanh(optimizer: Optimizer, plan: Plan) -> Made:
    scheduler = TanhLRScheduler(optimizer, **plan.cycle_args(), **plan.warmup_args(), **plan.noise_args())
    return scheduler, plan.epochs(scheduler.get_cycle_length())


def _poly(optimizer: Optimizer, plan: Plan) -> Made:
    scheduler = PolyLRScheduler(
        optimizer,
        power=plan.decay_rate,  # by contract the decay rate is the exponent here
        **plan.cycle_args(),
        **plan.warmup_args(),
        **plan.noise_args(),
        k_decay=plan.k_decay,
    )
    return scheduler, plan.epochs(scheduler.get_cycle_length())


def _step(optimizer: Optimizer, plan: Plan) -> Made:
    scheduler = StepLRScheduler(optimizer, plan.decay_t, plan.decay_rate, **plan.warmup_args(), **plan.noise_args())
    return scheduler, plan.epochs()


def _constant(optimizer: Optimizer, plan: Plan) -> Made:
    scheduler = StepLRScheduler(optimizer, 1, 1.0, **plan.warmup_args(), **plan.noise_args())
    return scheduler, plan.epochs()


def _multistep(optimizer: Optimizer, plan: Plan) -> Made:
    milestones = [epoch * plan.unit for epoch in plan.decay_milestones]
    scheduler = MultiStepLRScheduler(optimizer, milestones, plan.decay_rate, **plan.warmup_args(), **plan.noise_args())
    return scheduler, plan.epochs()


def _plateau(optimizer: Optimizer, plan: Plan) -> Made:
    if not plan.step_on_epochs:
        raise ValueError("sched='plateau' follows a metric that comes once an epoch: leave step_on_epochs=True.")
    scheduler = PlateauLRScheduler(
        optimizer,
        decay_rate=plan.decay_rate,
        patience_t=plan.patience_epochs,
        warmup_t=plan.warmup_epochs,
        warmup_lr_init=plan.warmup_lr,
        lr_min=plan.min_lr,
        mode=plan.plateau_mode,
        **plan.noise_args(),
    )
    return scheduler, plan.epochs()


def _stable_then_decay(optimizer: Optimizer, plan: Plan, stable_fn: str, decay_fn: str) -> Made:
    warmup_args = plan.warmup_args()
    length = plan.t_initial - (0 if warmup_args.pop('warmup_prefix') else warmup_args['warmup_t'])
    decay_t = plan.final_decay_t(length)
    if not 0 < decay_t <= length:
        raise ValueError(
            f'decay_epochs={plan.decay_epochs} does not fit: {plan.num_epochs} epochs with '
            f'warmup_epochs={plan.warmup_epochs} leave {length // plan.unit} for the stable stretch and the decay.'
        )
    scheduler = WSDLRScheduler(
        optimizer,
        length,
        decay_t,
        lr_min=plan.min_lr,
        stable_fn=stable_fn,
        stable_timescale=None if plan.stable_timescale is None else plan.stable_timescale * plan.unit,
        decay_fn=decay_fn if plan.decay_fn is None else plan.decay_fn,
        **warmup_args,
        **plan.noise_args(),
    )
    return scheduler, plan.epochs(scheduler.get_cycle_length())


def _wsd(optimizer: Optimizer, plan: Plan) -> Made:
    return _stable_then_decay(optimizer, plan, 'constant', '1-sqrt')


def _rsqrt(optimizer: Optimizer, plan: Plan) -> Made:
    return _stable_then_decay(optimizer, plan, 'rsqrt', 'linear')


SCHEDULERS: dict[str, Callable[[Optimizer, Plan], Made]] = {
    'cosine': _cosine,
    'tanh': _tanh,
    'step': _step,
    'multistep': _multistep,
    'plateau': _plateau,
    'poly': _poly,
    'wsd': _wsd,
    'rsqrt': _rsqrt,
    'constant': _constant,
}


def create_scheduler_v2(
    optimizer: Optimizer,
    sched: str = 'cosine',
    num_epochs: int = 300,
    decay_epochs: float | None = None,
    decay_milestones: Sequence[int] = (90, 180, 270),
    cooldown_epochs: int = 0,
    patience_epochs: int = 10,
    decay_rate: float = 0.1,
    min_lr: float = 0.0,
    warmup_lr: float = 1e-5,
    warmup_epochs: int = 0,
    warmup_prefix: bool = False,
    noise: float | Sequence[float] | None = None,
    noise_pct: float = 0.67,
    noise_std: float = 1.0,
    noise_seed: int = 42,
    cycle_mul: float = 1.0,
    cycle_decay: float = 0.1,
    cycle_limit: int = 1,
    k_decay: float = 1.0,
    decay_fn: str | Callable[[float], float] | None = None,
    stable_timescale: float | None = None,
    plateau_mode: str = 'max',
    step_on_epochs: bool = True,
    updates_per_epoch: int = 0,
) -> tuple[Scheduler | None, int]:
    """Make a schedule by name; returns it and the number of epochs to train, cycles and cool-down included.

    Args:
        sched: 'cosine', 'tanh', 'poly' (with cycles), 'step', 'multistep', 'constant', 'plateau', 'wsd' (warm-up,
            stable, decay), 'rsqrt' (reciprocal square root, then decay), or 'none' for no schedule.
        decay_epochs: Epochs between drops (step; None is 90), or of the final decay (wsd, rsqrt): below 1 it is a share
            of the epochs after the warm-up, None a fifth of them.
        decay_milestones: Epochs of the drops (multistep).
        cooldown_epochs: Epochs at the lowest rate after the schedule has ended (cosine, tanh, poly, wsd, rsqrt).
        patience_epochs: Epochs without a better metric before a drop (plateau).
        decay_rate: Factor of a drop; for poly the exponent.
        warmup_prefix: The warm-up comes before the epochs instead of being the first of them.
        noise: Share of the epochs after which, or two between which, the rate is noisy.
        decay_fn: Shape of the final decay (wsd, rsqrt), see `WSDLRScheduler`.
        stable_timescale: Epochs after which a reciprocal square root has fallen to 0.7; None is the warm-up.
        step_on_epochs: Change the rate once an epoch, not after every update.
        updates_per_epoch: Needed without `step_on_epochs`.

    Raises:
        ValueError: The name is unknown, or the arguments contradict each other.
    """
    given = dict(locals())  # all arguments, and nothing else yet
    del given['optimizer'], given['sched']
    plan = Plan(**given)
    if sched == 'none':
        return None, num_epochs
    make = SCHEDULERS.get(sched)
    if make is None:
        near = difflib.get_close_matches(str(sched), SCHEDULERS, n=3, cutoff=0.0)
        raise ValueError(f"sched='{sched}' is not known. The nearest are {', '.join(near)}; 'none' is for no schedule.")
    return make(optimizer, plan)


# Argument of create_scheduler_v2 -> option of the scripts, and its value where that is missing.
OPTIONS: dict[str, tuple[str, Any]] = {
    'sched': ('sched', 'cosine'),
    'num_epochs': ('epochs', 100),
    'decay_epochs': ('decay_epochs', 30),
    'decay_milestones': ('decay_milestones', [30, 60]),
    'warmup_epochs': ('warmup_epochs', 5),
    'cooldown_epochs': ('cooldown_epochs', 0),
    'patience_epochs': ('patience_epochs', 10),
    'decay_rate': ('decay_rate', 0.1),
    'min_lr': ('min_lr', 0.0),
    'warmup_lr': ('warmup_lr', 1e-5),
    'warmup_prefix': ('warmup_prefix', False),
    'noise': ('lr_noise', None),
    'noise_pct': ('lr_noise_pct', 0.67),
    'noise_std': ('lr_noise_std', 1.0),
    'noise_seed': ('seed', 42),
    'cycle_mul': ('lr_cycle_mul', 1.0),
    'cycle_decay': ('lr_cycle_decay', 0.1),
    'cycle_limit': ('lr_cycle_limit', 1),
    'k_decay': ('lr_k_decay', 1.0),
    'decay_fn': ('lr_decay_fn', None),
    'stable_timescale': ('lr_stable_timescale', None),
}


def scheduler_kwargs(cfg: Any, decreasing_metric: bool | None = None) -> dict[str, Any]:
    """Arguments for `create_scheduler_v2` from parsed options.

    Args:
        decreasing_metric: A smaller metric is better (plateau); None takes that of a `cfg.eval_metric` called loss.
    """
    if decreasing_metric is None:
        decreasing_metric = 'loss' in getattr(cfg, 'eval_metric', 'top1')
    kwargs = {argument: getattr(cfg, option, missing) for argument, (option, missing) in OPTIONS.items()}
    kwargs['plateau_mode'] = 'min' if decreasing_metric else 'max'
    kwargs['step_on_epochs'] = not getattr(cfg, 'sched_on_updates', False)
    return kwargs


def create_scheduler(args: Any, optimizer: Optimizer, updates_per_epoch: int = 0) -> tuple[Scheduler | None, int]:
    """Make a schedule from parsed options; `create_scheduler_v2` takes plain arguments."""
    return create_scheduler_v2(optimizer, **scheduler_kwargs(args), updates_per_epoch=updates_per_epoch)
