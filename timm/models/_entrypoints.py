"""From catalog records to what a family module offers: entry points, `default_cfgs`, `_cfg` and `_create_<family>`.

A family file ends in `__getattr__ = entrypoints(__name__)`. What the file defines itself is left alone, so a family
whose creation departs from the rule writes its own `_create_<family>`.
"""

import dataclasses
import sys
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from torch import nn

import timm.layers
from timm import catalog
from timm.catalog import Family, Ref, Variant, Weights

from ._builder import build_model_with_cfg, pretrained_cfg_for_features
from ._pretrained import DefaultCfg, from_weights
from ._registry import deprecated_entry_point

__all__ = ['entrypoints', 'resolve']

_ROOMS: Mapping[str, ModuleType] = {'layers': timm.layers, 'nn': nn}
_WRAPPERS = ('list', 'dict', 'getter', 'hook', 'fx')
_HEAD_ARGUMENTS = ('num_classes', 'num_features', 'head_conv', 'head_bias', 'head_norm', 'global_pool')
_SOURCES = ('url', 'hf_hub_id', 'hf_hub_filename')
_CFG_FIELDS = (
    'num_classes',
    'input_size',
    'pool_size',
    'crop_pct',
    'interpolation',
    'mean',
    'std',
    'first_conv',
    'classifier',
)


def resolve(value: Any, module: ModuleType) -> Any:
    """Plain data with each Ref in it replaced by the class or function it names; containers are copied.

    Args:
        value: A record's value: plain data, a Ref, or containers of both.
        module: The family module, where names without a room are looked up.
    """
    if isinstance(value, Ref):
        room, _, name = value.name.rpartition('.')
        target = getattr(_ROOMS[room] if room else module, name)
        return partial(target, **resolve(value.kwargs, module)) if value.kwargs else target
    if isinstance(value, Mapping):
        return {key: resolve(item, module) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(resolve(item, module) for item in value)
    return value


class _Supplier:
    """Makes what a family module offers, each thing when it is first asked for."""

    def __init__(self, module: ModuleType, family: Family) -> None:
        name = module.__name__.rpartition('.')[2]
        self.module = module
        self.family = family
        self.variants = {variant.name: variant for variant in family.variants}
        self.creators = dict(family.creators) or {f'_create_{name}': family.network}

    def __call__(self, name: str) -> Any:
        """The module's `__getattr__`: make `name` and keep it in the module, so that it has one identity."""
        if name in self.variants:
            made: Any = self.entry_point(self.variants[name])
        elif name in self.family.renamed:
            made = deprecated_entry_point(name, self.family.renamed[name], self.module.__name__)
        elif name in self.creators:
            made = self.creator(name, self.creators[name])
        elif name == 'default_cfgs':
            made = {variant.name: _default_cfg(variant) for variant in self.family.variants}
        elif name == '_cfg':
            made = self.cfg_function()
        else:
            message = f"module '{self.module.__name__}' has no attribute '{name}'"
            raise AttributeError(message, name=name, obj=self.module)
        setattr(self.module, name, made)
        return made

    def names(self) -> list[str]:
        """What the module's `dir()` shows."""
        offered = {*self.variants, *self.family.renamed, *self.creators, 'default_cfgs', '_cfg'}
        return sorted(offered | vars(self.module).keys())

    def entry_point(self, variant: Variant) -> Callable[..., nn.Module]:
        """The function that builds `variant`: its arguments, overridden by the caller's, to the family's creator."""
        network = variant.network or self.family.network
        creator = next((name for name, cls in self.creators.items() if cls == network), next(iter(self.creators)))
        module = self.module

        def entry_point(pretrained: bool = False, **kwargs: Any) -> nn.Module:
            create = getattr(module, creator)
            return create(variant.name, pretrained=pretrained, **{**resolve(variant.args, module), **kwargs})

        tags = ', '.join(filter(None, variant.weights)) or 'none'
        return self.dress(entry_point, variant.name, f'Build {network} `{variant.name}`; tags of its weights: {tags}.')

    def creator(self, name: str, network: str) -> Callable[..., nn.Module]:
        """The function that builds any network of the family from constructor arguments, loading and wrapping it."""

        def create(variant: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
            return self.create(network, variant, pretrained, kwargs)

        return self.dress(create, name, f'Build a {network} from constructor arguments, under the name `variant`.')

    def create(self, network: str, variant: str, pretrained: bool, kwargs: dict[str, Any]) -> nn.Module:
        """Build a network: the catalog's class and settings where it knows `variant`, else the family's."""
        family, module = self.family, self.module
        record = self.variants.get(variant)
        options: dict[str, Any] = {'pretrained_strict': family.strict}
        if family.convert is not None:
            options['pretrained_filter_fn'] = resolve(family.convert, module)
        build = family.build
        if record is not None:
            network = record.network or network
            options.update(resolve(record.options, module))
            build = record.build or build
        if build is not None:
            kwargs = getattr(module, build)(**kwargs)
        swap_class = kwargs.get('features_only') and not {'feature_cls', 'feature_cfg'} & kwargs.keys()
        if swap_class and family.feature_class not in _WRAPPERS:
            return self.create_features(variant, pretrained, {**options, **kwargs})
        feature_cfg = {**self.feature_cfg(), **options.get('feature_cfg', {}), **kwargs.get('feature_cfg', {})}
        arguments = {**options, **kwargs, 'feature_cfg': feature_cfg}
        return build_model_with_cfg(getattr(module, network), variant, pretrained, **arguments)

    def feature_cfg(self) -> dict[str, Any]:
        """The family's settings of `features_only=True`."""
        family = self.family
        cfg = {'out_indices': family.feature_indices, **family.feature_options}
        if family.feature_class in _WRAPPERS and family.feature_class != 'list':
            cfg['feature_cls'] = family.feature_class
        return cfg

    def create_features(self, variant: str, pretrained: bool, kwargs: dict[str, Any]) -> nn.Module:
        """Build the family's own features class, which has no classifier, in the network's place."""
        del kwargs['features_only']
        kwargs.setdefault('out_indices', self.family.feature_indices)
        kwargs.setdefault('kwargs_filter', _HEAD_ARGUMENTS)
        kwargs['pretrained_strict'] = False  # the file's classifier has no place
        model = build_model_with_cfg(getattr(self.module, self.family.feature_class), variant, pretrained, **kwargs)
        model.pretrained_cfg = model.default_cfg = pretrained_cfg_for_features(model.pretrained_cfg)
        return model

    def cfg_function(self) -> Callable[..., dict[str, Any]]:
        """The function that other projects describe their own weights with."""
        base = _as_fields(self.family.base)

        def _cfg(url: str = '', **kwargs: Any) -> dict[str, Any]:
            return {'url': url, **base, **kwargs}

        return self.dress(_cfg, '_cfg', 'Fields of a PretrainedCfg: what weights of this family share, and `kwargs`.')

    def dress(self, fn: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
        """Make `fn` a function of the module: picklable, and named as it is asked for."""
        fn.__name__ = fn.__qualname__ = name
        fn.__module__ = self.module.__name__
        fn.__doc__ = doc
        return fn


def _as_fields(weights: Weights) -> dict[str, Any]:
    """The fields every description of weights has, and all others that differ from their defaults."""
    plain = Weights()
    fields = {f.name: getattr(weights, f.name) for f in dataclasses.fields(weights) if f.name not in _SOURCES}
    return {name: value for name, value in fields.items() if name in _CFG_FIELDS or value != getattr(plain, name)}


def _default_cfg(variant: Variant) -> DefaultCfg:
    """All weight sets of a variant in the form that outside code knows."""
    return DefaultCfg(
        tags=deque(variant.weights),
        cfgs={tag: from_weights(weights, variant.name, tag) for tag, weights in variant.weights.items()},
        is_pretrained=any(weights.has_file for weights in variant.weights.values()),
    )


def entrypoints(module_name: str) -> Callable[[str], Any]:
    """What a family module binds to `__getattr__`: the supply of everything the catalog says about it.

    The names of the entry points, old ones included, are added to the module's `__all__`.
    """
    module = sys.modules[module_name]
    supplier = _Supplier(module, catalog.family(module_name.rpartition('.')[2]))
    offered = [*supplier.variants, *supplier.family.renamed]
    namespace = vars(module)
    namespace['__all__'] = [*namespace.get('__all__', ()), *offered]
    namespace['__dir__'] = supplier.names
    return supplier
