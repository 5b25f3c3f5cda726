"""Learning rate schedules that are functions of the epoch or update, and the functions that make one by name."""

from .cosine_lr import CosineLRScheduler as CosineLRScheduler
from .multistep_lr import MultiStepLRScheduler as MultiStepLRScheduler
from .plateau_lr import PlateauLRScheduler as PlateauLRScheduler
from .poly_lr import PolyLRScheduler as PolyLRScheduler
from .scheduler_factory import create_scheduler as create_scheduler
from .scheduler_factory import create_scheduler_v2 as create_scheduler_v2
from .scheduler_factory import scheduler_kwargs as scheduler_kwargs
from .step_lr import StepLRScheduler as StepLRScheduler
from .tanh_lr import TanhLRScheduler as TanhLRScheduler
from .wsd_lr import WSDLRScheduler as WSDLRScheduler
