"""Optimizers, and the functions that make one by name with parameter groups that suit a model."""

from torch.optim import SGD as SGD
from torch.optim import Adadelta as Adadelta
from torch.optim import Adagrad as Adagrad
from torch.optim import Adam as Adam
from torch.optim import Adamax as Adamax
from torch.optim import AdamW as AdamW
from torch.optim import NAdam as NAdam
from torch.optim import RAdam as RAdam
from torch.optim import RMSprop as RMSprop

from ._optim_factory import OptimInfo as OptimInfo
from ._optim_factory import OptimizerRegistry as OptimizerRegistry
from ._optim_factory import create_optimizer as create_optimizer
from ._optim_factory import create_optimizer_v2 as create_optimizer_v2
from ._optim_factory import get_optimizer_class as get_optimizer_class
from ._optim_factory import get_optimizer_info as get_optimizer_info
from ._optim_factory import list_optimizers as list_optimizers
from ._optim_factory import optimizer_kwargs as optimizer_kwargs
from ._param_groups import auto_group_layers as auto_group_layers
from ._param_groups import param_groups_layer_decay as param_groups_layer_decay
from ._param_groups import param_groups_weight_decay as param_groups_weight_decay
from .lamb import Lamb as Lamb
from .lion import Lion as Lion
from .lookahead import Lookahead as Lookahead
from .nadamw import NAdamW as NAdamW
from .sgdw import SGDW as SGDW
