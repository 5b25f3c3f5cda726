"""Optimizers by name: the table of what there is, and the functions that make one of them for a model."""

import difflib
import fnmatch
import functools
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, cast

from torch import nn
from torch.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop

from ._backends import BACKENDS, import_class
from ._fused import prefer_fused
from ._helpers import check_hyperparameters
from ._param_groups import bare_model, param_groups_layer_decay, param_groups_weight_decay
from ._rule import compile_rule
from ._types import OptimizerCallable, OptimType, ParamsT
from .adabelief import AdaBelief
from .adafactor import Adafactor
from .adafactor_bv import AdafactorBigVision
from .adahessian import Adahessian
from .adamp import AdamP
from .adamw import AdamWLegacy
from .adan import Adan
from .adopt import Adopt
from .kron import Kron
from .lamb import Lamb
from .laprop import LaProp
from .lars import Lars
from .lion import Lion
from .lookahead import Lookahead
from .madgrad import MADGRAD
from .mars import Mars
from .muon import Muon
from .nadam import NAdamLegacy
from .nadamw import NAdamW
from .nvnovograd import NvNovoGrad
from .radam import RAdamLegacy
from .rmsprop_tf import RMSpropTF
from .sgdp import SGDP
from .sgdw import SGDW

__all__ = [
    'OptimInfo',
    'OptimizerRegistry',
    'create_optimizer',
    'create_optimizer_v2',
    'default_registry',
    'get_optimizer_class',
    'get_optimizer_info',
    'list_optimizers',
    'optimizer_kwargs',
]

_logger = logging.getLogger(__name__)

LOOKAHEAD = 'lookahead_'
ParamGroupFn = Callable[[nn.Module], ParamsT]


@dataclass(frozen=True)
class OptimInfo:
    """One optimizer that can be made by name.

    Args:
        opt_class: The class, or its dotted path when its package is optional.
        has_eps: It takes `eps`.
        has_momentum: It takes `momentum`.
        has_betas: It takes `betas`, `num_betas` of them.
        second_order: Its gradients need a graph (create_graph=True).
        defaults: Arguments that differ from the class's own defaults under this name.
    """

    name: str
    opt_class: str | OptimType
    description: str = ''
    has_eps: bool = True
    has_momentum: bool = False
    has_betas: bool = False
    num_betas: int = 2
    second_order: bool = False
    defaults: dict[str, Any] | None = None


def _unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.0)
    return ValueError(f"There is no {what} '{name}'. The nearest are: {', '.join(near)}. See list_optimizers().")


class OptimizerRegistry:
    """Names, in lower case, to optimizers; later entries replace earlier ones of the same name."""

    def __init__(self) -> None:
        self._infos: dict[str, OptimInfo] = {}
        self._foreach_defaults: set[str] = set()

    def register(self, info: OptimInfo) -> None:
        """Add `info` under its name."""
        name = info.name.lower()
        if name in self._infos:
            _logger.warning('Optimizer %s was registered before: the new entry replaces it.', name)
        self._infos[name] = info

    def register_alias(self, alias: str, target: str) -> None:
        """Let `alias` stand for `target`.

        Raises:
            KeyError: There is no `target`.
        """
        if target.lower() not in self._infos:
            raise KeyError(f"'{alias}' cannot stand for '{target}': there is no optimizer of that name.")
        self._infos[alias.lower()] = self._infos[target.lower()]

    def register_foreach_default(self, name: str) -> None:
        """Let `name` work on lists of tensors wherever the caller leaves `foreach` open."""
        self._foreach_defaults.add(name.lower())

    def list_optimizers(
        self,
        filter: str | list[str] = '',
        exclude_filters: str | list[str] | None = None,
        with_description: bool = False,
    ) -> list[str] | list[tuple[str, str]]:
        """Names in order that match any pattern of `filter` (all without one) and none of `exclude_filters`."""
        wanted, unwanted = ([f] if isinstance(f, str) else list(f or ()) for f in (filter, exclude_filters))
        names = sorted(
            name
            for name in self._infos
            if (filter in ('', []) or any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted))
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern in unwanted)
        )
        return [(name, self._infos[name].description) for name in names] if with_description else names

    def get_optimizer_info(self, name: str) -> OptimInfo:
        """The entry of `name`.

        Raises:
            ValueError: There is none.
        """
        info = self._infos.get(name.lower())
        if info is None:
            raise _unknown('optimizer', name, self._infos)
        return info

    def get_optimizer_class(
        self, name_or_info: str | OptimInfo, bind_defaults: bool = True
    ) -> OptimType | OptimizerCallable:
        """The class behind a name, by default with the name's own arguments bound.

        Raises:
            ValueError: There is no such name.
            ImportError: The optional package that holds the class is not installed.
        """
        info = name_or_info if isinstance(name_or_info, OptimInfo) else self.get_optimizer_info(name_or_info)
        opt_class = import_class(info.name, info.opt_class) if isinstance(info.opt_class, str) else info.opt_class
        if bind_defaults and info.defaults:
            return functools.partial(opt_class, **info.defaults)
        return opt_class

    def create_optimizer(
        self,
        model_or_params: nn.Module | ParamsT,
        opt: str,
        lr: float | None = None,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        foreach: bool | None = None,
        weight_decay_exclude_1d: bool = True,
        fallback_list: Collection[str] = (),
        fallback_no_weight_decay: bool = False,
        layer_decay: float | None = None,
        layer_decay_min_scale: float = 0.0,
        layer_decay_no_opt_scale: float | None = None,
        param_group_fn: ParamGroupFn | None = None,
        **kwargs: Any,
    ) -> Optimizer:
        """Make an optimizer; the arguments are those of `create_optimizer_v2`."""
        name = opt.lower()
        lookahead = name not in self._infos and name.startswith(LOOKAHEAD)
        name = name[len(LOOKAHEAD) :] if lookahead else name
        info = self.get_optimizer_info(name)
        compiled = kwargs.pop('compiled', False)
        # Before the groups are made: those may freeze parameters.
        arguments = self._arguments(info, lr, momentum, foreach, kwargs)
        check_hyperparameters(weight_decay=weight_decay, layer_decay=layer_decay)

        params = model_or_params
        if isinstance(params, nn.Module) and param_group_fn is not None:
            params = param_group_fn(params)
        elif isinstance(params, nn.Module):
            model = bare_model(params)
            no_weight_decay: Callable[[], Collection[str]] = getattr(model, 'no_weight_decay', tuple)
            groups: dict[str, Any] = dict(
                model=model,
                weight_decay=weight_decay,
                weight_decay_exclude_1d=weight_decay_exclude_1d,
                no_weight_decay_list=no_weight_decay(),
                fallback_list=fallback_list,
                fallback_no_weight_decay=fallback_no_weight_decay,
            )
            if layer_decay is None:
                params = param_groups_weight_decay(**groups)
            else:
                scales: dict[str, Any] = dict(min_scale=layer_decay_min_scale, no_opt_scale=layer_decay_no_opt_scale)
                params = param_groups_layer_decay(**groups, layer_decay=layer_decay, **scales)
            weight_decay = 0.0  # the groups carry it
        make = cast('OptimizerCallable', self.get_optimizer_class(info))
        optimizer = prefer_fused(make(params, weight_decay=weight_decay, **arguments))
        if compiled:
            compile_rule(optimizer)
        return Lookahead(optimizer) if lookahead else optimizer

    def _arguments(
        self, info: OptimInfo, lr: float | None, momentum: float, foreach: bool | None, given: dict[str, Any]
    ) -> dict[str, Any]:
        """What of the general arguments this optimizer takes, after checking their ranges."""
        arguments = dict(given)
        if lr is not None:
            arguments['lr'] = lr
        if info.has_momentum:
            arguments['momentum'] = momentum
        if not info.has_eps or arguments.get('eps') is None:
            arguments.pop('eps', None)
        betas = arguments.pop('betas', None)
        if betas is not None and info.has_betas:
            if len(betas) < info.num_betas:
                raise ValueError(f'betas={tuple(betas)} is too short: {info.name} takes {info.num_betas} of them.')
            arguments['betas'] = tuple(betas)[: info.num_betas]
        if foreach is None and info.name.lower() in self._foreach_defaults:
            foreach = True
        if foreach is not None:
            arguments['foreach'] = foreach
        check_hyperparameters(**{name: arguments.get(name) for name in ('betas', 'lr', 'momentum')})
        if isinstance(arguments.get('eps'), (int, float)):
            check_hyperparameters(eps=arguments['eps'])
        return arguments


# Traits of the rows below.
_MOMENTUM: dict[str, Any] = dict(has_eps=False, has_momentum=True)
_BETAS: dict[str, Any] = dict(has_betas=True)
_THREE_BETAS: dict[str, Any] = dict(has_betas=True, num_betas=3)
_SIGN: dict[str, Any] = dict(has_eps=False, has_betas=True)

OPTIMIZERS = (
    # plain gradient descent
    OptimInfo('sgd', SGD, 'torch: gradient descent with Nesterov momentum', **_MOMENTUM, defaults={'nesterov': True}),
    OptimInfo('momentum', SGD, 'torch: gradient descent with momentum', **_MOMENTUM, defaults={'nesterov': False}),
    OptimInfo('nesterov', SGD, 'torch: another name of sgd', **_MOMENTUM, defaults={'nesterov': True}),
    OptimInfo('sgdw', SGDW, 'sgd, decoupled decay', **_MOMENTUM, defaults={'nesterov': True}),
    OptimInfo('nesterovw', SGDW, 'another name of sgdw', **_MOMENTUM, defaults={'nesterov': True}),
    OptimInfo(
        'sgdp',
        SGDP,
        'sgd that leaves the norm of scale-invariant weights alone',
        has_momentum=True,
        defaults={'nesterov': True},
    ),
    # Adam and kin
    OptimInfo('adam', Adam, 'torch: adaptive moments', **_BETAS),
    OptimInfo('adamw', AdamW, 'torch: adam, decoupled decay', **_BETAS),
    OptimInfo('nadam', NAdam, 'torch: adam with Nesterov momentum', **_BETAS),
    OptimInfo('nadamw', NAdamW, 'adam with Nesterov momentum, decoupled decay', **_BETAS),
    OptimInfo('radam', RAdam, 'torch: adam with a rectified start', **_BETAS),
    OptimInfo('radamw', RAdam, 'radam, decoupled decay', **_BETAS, defaults={'decoupled_weight_decay': True}),
    OptimInfo('adamwlegacy', AdamWLegacy, 'adamw with more options than torch has', **_BETAS),
    OptimInfo('nadamlegacy', NAdamLegacy, 'nadam with the momentum schedule of Keras', **_BETAS),
    OptimInfo('radamlegacy', RAdamLegacy, 'radam with its eps outside the bias correction, in float32', **_BETAS),
    OptimInfo('adabelief', AdaBelief, 'adam by the spread of gradients', **_BETAS, defaults={'rectify': False}),
    OptimInfo('radabelief', AdaBelief, 'adabelief with a rectified start', **_BETAS, defaults={'rectify': True}),
    OptimInfo('laprop', LaProp, 'momentum of normalised gradients', **_BETAS),
    OptimInfo('adopt', Adopt, 'adam that normalises by the gradients before', **_BETAS),
    OptimInfo('adoptw', Adopt, 'adopt, decoupled decay', **_BETAS, defaults={'decoupled': True}),
    OptimInfo('adan', Adan, 'Nesterov momentum by gradient differences', **_THREE_BETAS, defaults={'no_prox': False}),
    OptimInfo('adanw', Adan, 'adan, decay as in adamw', **_THREE_BETAS, defaults={'no_prox': True}),
    OptimInfo(
        'adamp',
        AdamP,
        'adam that leaves the norm of scale-invariant weights alone',
        **_BETAS,
        defaults={'wd_ratio': 0.01, 'nesterov': True},
    ),
    OptimInfo('mars', Mars, 'adamw or lion on gradients with less noise', **_BETAS),
    OptimInfo('adamax', Adamax, 'torch: adam with the largest past gradient as second moment', **_BETAS),
    # one rate per weight, no momentum
    OptimInfo('adadelta', Adadelta, 'torch: steps scaled by the size of past steps'),
    OptimInfo('adagrad', Adagrad, 'torch: steps scaled by the sum of past gradients', defaults={'eps': 1e-8}),
    OptimInfo('rmsprop', RMSprop, 'torch: steps by recent gradient size', has_momentum=True, defaults={'alpha': 0.9}),
    OptimInfo('rmsproptf', RMSpropTF, 'rmsprop as in TensorFlow', has_momentum=True, defaults={'alpha': 0.9}),
    OptimInfo(
        'rmsproptfw',
        RMSpropTF,
        'rmsproptf, decoupled decay',
        has_momentum=True,
        defaults={'alpha': 0.9, 'decoupled_decay': True},
    ),
    OptimInfo('madgrad', MADGRAD, 'steps by the sums of all gradients and their squares', has_momentum=True),
    OptimInfo('madgradw', MADGRAD, 'madgrad, decoupled decay', has_momentum=True, defaults={'decoupled_decay': True}),
    # second moments of a matrix as a row and a column
    OptimInfo('adafactor', Adafactor, 'factored second moments, relative steps without lr', **_BETAS),
    OptimInfo('adafactorbv', AdafactorBigVision, 'factored second moments and bfloat16 momentum', has_momentum=True),
    # one rate per layer
    OptimInfo('lamb', Lamb, 'adam scaled to the size of each layer', **_BETAS),
    OptimInfo('lambc', Lamb, 'lamb, trust ratio at most 1', **_BETAS, defaults={'trust_clip': True}),
    OptimInfo('lambw', Lamb, 'lamb, decoupled decay', **_BETAS, defaults={'decoupled_decay': True}),
    OptimInfo(
        'lambcw',
        Lamb,
        'lamb, trust ratio at most 1, decoupled decay',
        **_BETAS,
        defaults={'trust_clip': True, 'decoupled_decay': True},
    ),
    OptimInfo('lars', Lars, 'sgd scaled to the size of each layer', has_momentum=True),
    OptimInfo('larc', Lars, 'lars, no rate above the given one', has_momentum=True, defaults={'trust_clip': True}),
    OptimInfo('nlars', Lars, 'lars with Nesterov momentum', has_momentum=True, defaults={'nesterov': True}),
    OptimInfo(
        'nlarc',
        Lars,
        'larc with Nesterov momentum',
        has_momentum=True,
        defaults={'nesterov': True, 'trust_clip': True},
    ),
    OptimInfo('novograd', NvNovoGrad, 'momentum of gradients normalised by layer', **_BETAS),
    OptimInfo('novogradw', NvNovoGrad, 'novograd, decoupled decay', **_BETAS, defaults={'decoupled_decay': True}),
    # signs
    OptimInfo('lion', Lion, 'sign of a momentum', **_SIGN),
    # second derivatives
    OptimInfo('adahessian', Adahessian, "adam by the Hessian's diagonal", **_BETAS, second_order=True),
    # directions of equal size
    OptimInfo('muon', Muon, 'orthogonalised momentum for matrices, adamw for others', has_momentum=True, **_BETAS),
    OptimInfo('nmuon', Muon, 'muon and nadamw', has_momentum=True, **_BETAS, defaults={'nesterov': True}),
    OptimInfo('adamuon', Muon, 'muon by second moments', has_momentum=True, **_BETAS, defaults={'algo': 'adamuon'}),
    OptimInfo(
        'nadamuon',
        Muon,
        'adamuon and nadamw, both with Nesterov momentum',
        has_momentum=True,
        **_BETAS,
        defaults={'algo': 'adamuon', 'nesterov': True},
    ),
    OptimInfo('kron', Kron, 'PSGD: gradients whitened dimension by dimension', **_MOMENTUM),
    OptimInfo('kronw', Kron, 'kron, decoupled decay', **_MOMENTUM, defaults={'decoupled_decay': True}),
    # decay corrected for the schedule: lr^2 / max lr
    OptimInfo(
        'sgdc', SGDW, 'sgdw, corrected decay', **_MOMENTUM, defaults={'nesterov': True, 'corrected_weight_decay': True}
    ),
    OptimInfo('adamc', AdamWLegacy, 'adamw, corrected decay', **_BETAS, defaults={'corrected_weight_decay': True}),
    OptimInfo('nadamc', NAdamW, 'nadamw, corrected decay', **_BETAS, defaults={'corrected_weight_decay': True}),
    OptimInfo(
        'lambcd',
        Lamb,
        'lamb, decoupled and corrected decay',
        **_BETAS,
        defaults={'decoupled_decay': True, 'corrected_weight_decay': True},
    ),
    OptimInfo('lapropc', LaProp, 'laprop, corrected decay', **_BETAS, defaults={'corrected_weight_decay': True}),
    OptimInfo(
        'adoptc',
        Adopt,
        'adopt, decoupled and corrected decay',
        **_BETAS,
        defaults={'decoupled': True, 'corrected_weight_decay': True},
    ),
    OptimInfo(
        'rmsproptfc',
        RMSpropTF,
        'rmsproptf, decoupled and corrected decay',
        has_momentum=True,
        defaults={'alpha': 0.9, 'decoupled_decay': True, 'corrected_weight_decay': True},
    ),
    OptimInfo(
        'novogradc',
        NvNovoGrad,
        'novograd, decoupled and corrected decay',
        **_BETAS,
        defaults={'decoupled_decay': True, 'corrected_weight_decay': True},
    ),
    OptimInfo(
        'adafactorbvc',
        AdafactorBigVision,
        'adafactorbv, corrected decay',
        has_momentum=True,
        defaults={'corrected_weight_decay': True},
    ),
    OptimInfo(
        'kronc',
        Kron,
        'kronw, corrected decay',
        **_MOMENTUM,
        defaults={'decoupled_decay': True, 'corrected_weight_decay': True},
    ),
    OptimInfo('lionc', Lion, 'lion, corrected decay', **_SIGN, defaults={'corrected_weight_decay': True}),
    # cautious: without the parts of an update that the gradient contradicts
    OptimInfo('csgdw', SGDW, 'cautious sgdw', **_MOMENTUM, defaults={'nesterov': True, 'caution': True}),
    OptimInfo(
        'csgdc',
        SGDW,
        'cautious sgdc',
        **_MOMENTUM,
        defaults={'nesterov': True, 'caution': True, 'corrected_weight_decay': True},
    ),
    OptimInfo('cadamw', AdamWLegacy, 'cautious adamw', **_BETAS, defaults={'caution': True}),
    OptimInfo(
        'cadamc', AdamWLegacy, 'cautious adamc', **_BETAS, defaults={'caution': True, 'corrected_weight_decay': True}
    ),
    OptimInfo('cnadamw', NAdamW, 'cautious nadamw', **_BETAS, defaults={'caution': True}),
    OptimInfo(
        'cnadamc', NAdamW, 'cautious nadamc', **_BETAS, defaults={'caution': True, 'corrected_weight_decay': True}
    ),
    OptimInfo('claprop', LaProp, 'cautious laprop', **_BETAS, defaults={'caution': True}),
    OptimInfo('cadopt', Adopt, 'cautious adopt', **_BETAS, defaults={'caution': True}),
    OptimInfo('cadoptw', Adopt, 'cautious adoptw', **_BETAS, defaults={'decoupled': True, 'caution': True}),
    OptimInfo(
        'cadoptc',
        Adopt,
        'cautious adoptc',
        **_BETAS,
        defaults={'decoupled': True, 'caution': True, 'corrected_weight_decay': True},
    ),
    OptimInfo('cadan', Adan, 'cautious adan', **_THREE_BETAS, defaults={'caution': True, 'no_prox': False}),
    OptimInfo('cadanw', Adan, 'cautious adanw', **_THREE_BETAS, defaults={'caution': True, 'no_prox': True}),
    OptimInfo('csgdp', SGDP, 'cautious sgdp', has_momentum=True, defaults={'nesterov': True, 'caution': True}),
    OptimInfo(
        'cadamp',
        AdamP,
        'cautious adamp',
        **_BETAS,
        defaults={'wd_ratio': 0.01, 'nesterov': True, 'caution': True},
    ),
    OptimInfo('cmars', Mars, 'cautious mars', **_BETAS, defaults={'caution': True}),
    OptimInfo(
        'crmsproptf', RMSpropTF, 'cautious rmsproptf', has_momentum=True, defaults={'alpha': 0.9, 'caution': True}
    ),
    OptimInfo(
        'cadafactor', Adafactor, 'cautious adafactor', **_BETAS, defaults={'caution': True, 'betas': (0.9, 0.999)}
    ),
    OptimInfo(
        'cadafactorbv', AdafactorBigVision, 'cautious adafactorbv', has_momentum=True, defaults={'caution': True}
    ),
    OptimInfo(
        'cadafactorbvc',
        AdafactorBigVision,
        'cautious adafactorbvc',
        has_momentum=True,
        defaults={'caution': True, 'corrected_weight_decay': True},
    ),
    OptimInfo('clamb', Lamb, 'cautious lamb', **_BETAS, defaults={'caution': True}),
    OptimInfo('clambw', Lamb, 'cautious lambw', **_BETAS, defaults={'caution': True, 'decoupled_decay': True}),
    OptimInfo('clion', Lion, 'cautious lion', **_SIGN, defaults={'caution': True}),
    OptimInfo('clionc', Lion, 'cautious lionc', **_SIGN, defaults={'caution': True, 'corrected_weight_decay': True}),
)

default_registry = OptimizerRegistry()
for _info in (*OPTIMIZERS, *(OptimInfo(**row) for row in BACKENDS)):
    default_registry.register(_info)


def list_optimizers(
    filter: str | list[str] = '', exclude_filters: str | list[str] | None = None, with_description: bool = False
) -> list[str] | list[tuple[str, str]]:
    """Names of all optimizers in order, or of those that match.

    Args:
        filter: A pattern as in a shell, or several of which any may match.
        exclude_filters: Patterns of names to leave out.
        with_description: Return (name, description) pairs.
    """
    return default_registry.list_optimizers(filter, exclude_filters, with_description)


def get_optimizer_info(name: str) -> OptimInfo:
    """What is known of the optimizer called `name`.

    Raises:
        ValueError: There is none; the nearest names are listed.
    """
    return default_registry.get_optimizer_info(name)


def get_optimizer_class(name: str, bind_defaults: bool = True) -> OptimType | OptimizerCallable:
    """The class behind `name`, by default with the arguments bound that make it what the name says.

    Raises:
        ValueError: There is no optimizer of that name; the nearest ones are listed.
    """
    return default_registry.get_optimizer_class(name, bind_defaults)


def create_optimizer_v2(
    model_or_params: nn.Module | ParamsT,
    opt: str = 'sgd',
    lr: float | None = None,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    foreach: bool | None = None,
    filter_bias_and_bn: bool = True,
    fallback_list: Collection[str] = (),
    fallback_no_weight_decay: bool = False,
    layer_decay: float | None = None,
    layer_decay_min_scale: float = 0.0,
    layer_decay_no_opt_scale: float | None = None,
    param_group_fn: ParamGroupFn | None = None,
    **kwargs: Any,
) -> Optimizer:
    """Make an optimizer by name, for a model with the parameter groups that suit it.

    A model's parameters go to `param_group_fn`, else into groups by layer when `layer_decay` is given, else into
    groups with and without weight decay; names in its `no_weight_decay()` do not decay. Parameters or groups that
    are given instead are left as they are. Where torch has a fused CPU kernel, it is taken unless `fused` or
    `foreach` say otherwise.

    Args:
        opt: A name from `list_optimizers()` in any case, with `lookahead_` in front to wrap it in Lookahead.
        lr: None leaves the optimizer's own default.
        momentum: For those that take one.
        filter_bias_and_bn: Vectors, scalars and biases do not decay.
        fallback_list: Patterns of names that an optimizer with two rules updates by its second one.
        fallback_no_weight_decay: The model's `no_weight_decay()` names belong to these too.
        layer_decay: Learning rate of each layer over that of the layer above.
        layer_decay_min_scale: Smallest scale of a layer.
        layer_decay_no_opt_scale: Layers with a smaller scale are frozen.
        kwargs: More arguments of the optimizer; `eps` and `betas` are dropped where they are None or it has none.
            `compiled=True` compiles the update rule (`compile_rule`), where the optimizer is not torch's own.

    Raises:
        ValueError: The name is unknown, or a hyper-parameter out of its range.
    """
    return default_registry.create_optimizer(
        model_or_params,
        opt=opt,
        lr=lr,
        weight_decay=weight_decay,
        momentum=momentum,
        foreach=foreach,
        weight_decay_exclude_1d=filter_bias_and_bn,
        fallback_list=fallback_list,
        fallback_no_weight_decay=fallback_no_weight_decay,
        layer_decay=layer_decay,
        layer_decay_min_scale=layer_decay_min_scale,
        layer_decay_no_opt_scale=layer_decay_no_opt_scale,
        param_group_fn=param_group_fn,
        **kwargs,
    )


# Option of a script -> argument of create_optimizer_v2; what is absent or None is not passed on.
OPTIONS = {
    'opt_eps': 'eps',
    'opt_betas': 'betas',
    'layer_decay': 'layer_decay',
    'layer_decay_min_scale': 'layer_decay_min_scale',
    'layer_decay_no_opt_scale': 'layer_decay_no_opt_scale',
    'opt_foreach': 'foreach',
}


def optimizer_kwargs(cfg: Any) -> dict[str, Any]:
    """Arguments for `create_optimizer_v2` from parsed options; those in `cfg.opt_args` are added as they are."""
    kwargs = {name: getattr(cfg, name) for name in ('opt', 'lr', 'weight_decay', 'momentum')}
    for option, argument in OPTIONS.items():
        value = getattr(cfg, option, None)
        if value is not None:
            kwargs[argument] = value
    kwargs.update(getattr(cfg, 'opt_args', None) or {})
    return kwargs


def create_optimizer(args: Any, model: nn.Module | ParamsT, filter_bias_and_bn: bool = True) -> Optimizer:
    """Make an optimizer from parsed options; `create_optimizer_v2` takes plain arguments."""
    return create_optimizer_v2(model, **optimizer_kwargs(args), filter_bias_and_bn=filter_bias_and_bn)
