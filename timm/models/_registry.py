"""The registry: which architectures exist, which weights each has, and which function builds it.

The catalog lies below; what other projects register lies above it and wins. Nothing here imports torch: a family's
module is imported when its entry point is asked for.
"""

import difflib
import fnmatch
import importlib
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

from timm import catalog

from ._pretrained import DefaultCfg, PretrainedCfg, complete, from_weights

__all__ = [
    'split_model_name_tag',
    'get_arch_name',
    'register_model',
    'register_model_deprecations',
    'generate_default_cfgs',
    'list_models',
    'list_pretrained',
    'list_modules',
    'is_model',
    'is_model_in_modules',
    'is_model_pretrained',
    'model_entrypoint',
    'get_deprecated_models',
    'get_pretrained_cfg',
    'get_pretrained_cfg_value',
    'get_arch_pretrained_cfgs',
]

EntryPoint = Callable[..., Any]
F = TypeVar('F', bound=EntryPoint)
Names = str | Iterable[str] | None


@dataclass(frozen=True)
class _Registered:
    """An entry point that another project registered, or one that stands for an old name."""

    fn: EntryPoint
    module: str
    cfgs: DefaultCfg | None = None
    replaced_by: str | None = None
    deprecated: bool = False


@dataclass
class _Index:
    """What the lists are made from: every listed name in natural order, and the sets that filter them."""

    arch_of: dict[bool, dict[str, str]] = field(default_factory=dict)  # with tags? -> listed name -> architecture
    module_of: dict[str, str] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    described: set[str] = field(default_factory=set)


class Registry:
    """Names, weights and entry points of the catalog and of everything registered on top of it."""

    def __init__(self) -> None:
        self._registered: dict[str, _Registered] = {}
        self._index: _Index | None = None
        self._listings: dict[tuple[Any, ...], list[str]] = {}
        self._old_names: dict[str, tuple[str, str]] | None = None

    # what other projects add

    def add(self, name: str, entry: _Registered) -> None:
        """Make `entry` what `name` stands for, in place of whatever it stood for."""
        self._registered[name] = entry
        self._changed()

    def remove(self, name: str) -> None:
        """Let `name` stand for what it stood for before it was registered, or for nothing."""
        del self._registered[name]
        self._changed()

    def _changed(self) -> None:
        self._index = None
        self._listings.clear()

    # lookups by architecture

    def _renamed(self) -> Mapping[str, tuple[str, str]]:
        """Old name -> (family, today's name), from the catalog."""
        if self._old_names is None:
            self._old_names = {
                old: (module, new)
                for module, family in catalog.families().items()
                for old, new in family.renamed.items()
            }
        return self._old_names

    def module_of(self, arch: str) -> str | None:
        """Short name of the module an architecture or old name belongs to, None if there is no such name."""
        if arch in self._registered:
            return self._registered[arch].module
        try:
            return catalog.family_of(arch)
        except KeyError:
            return self._renamed()[arch][0] if arch in self._renamed() else None

    def entry_point(self, arch: str) -> EntryPoint:
        """The function that builds `arch`; KeyError if there is none."""
        if arch in self._registered:
            return self._registered[arch].fn
        module = self.module_of(arch)
        if module is None:
            raise KeyError(arch)
        return getattr(importlib.import_module(f'{__package__}.{module}'), arch)

    def tags(self, arch: str) -> dict[str, bool] | None:
        """Tag -> whether it has weights, default first; None if `arch` has no configurations."""
        if arch in self._registered:
            cfgs = self._registered[arch].cfgs
            return None if cfgs is None else {tag: cfgs.cfgs[tag].has_weights for tag in cfgs.tags}
        try:
            weights = catalog.variant(arch).weights
        except KeyError:
            return None
        return {tag: record.has_file for tag, record in weights.items()}

    def cfg(self, arch: str, tag: str) -> PretrainedCfg:
        """A copy of the configuration of a tag that exists."""
        if arch not in self._registered:
            return from_weights(catalog.variant(arch).weights[tag], arch, tag)
        cfgs = self._registered[arch].cfgs
        assert cfgs is not None
        return deepcopy(cfgs.cfgs[tag])

    def renamed_tag(self, arch: str, tag: str) -> str | None:
        """Today's name of a tag that used to be valid."""
        if arch in self._registered or self.module_of(arch) is None:
            return None
        new = catalog.family(catalog.family_of(arch)).renamed_tags.get(f'{arch}.{tag}')
        return new and split_model_name_tag(new)[1]

    # lists

    def modules(self) -> list[str]:
        """Short names of all modules with an entry point, sorted."""
        return sorted({*catalog.family_names(), *(entry.module for entry in self._registered.values())})

    def old_names(self) -> dict[str, tuple[str, str | None]]:
        """Old name -> (module, today's name or None)."""
        found: dict[str, tuple[str, str | None]] = {
            old: target for old, target in self._renamed().items() if old not in self._registered
        }
        found.update((old, (e.module, e.replaced_by)) for old, e in self._registered.items() if e.deprecated)
        return found

    def names(self) -> list[str]:
        """Every name that an entry point answers to, old ones included."""
        return [*catalog.names(), *self._renamed(), *self._registered]

    def index(self) -> _Index:
        """The index of listed names, rebuilt after a registration."""
        if self._index is not None:
            return self._index
        index = _Index()
        for module, family in catalog.families().items():
            index.module_of.update((v.name, module) for v in family.variants if v.listed)
        for name, entry in self._registered.items():
            index.module_of.pop(name, None)
            if not entry.deprecated:
                index.module_of[name] = entry.module
        tagged: dict[str, str] = {}
        for arch in index.module_of:
            tags = self.tags(arch)
            if tags is None:
                tagged[arch] = arch
                continue
            full_names = {_join(arch, tag): has_weights for tag, has_weights in tags.items()}
            tagged.update(dict.fromkeys(full_names, arch))
            index.described.update(full_names, (arch,))
            index.trained.update(name for name, has_weights in full_names.items() if has_weights)
            if next(iter(tags.values())):
                index.trained.add(arch)
        index.arch_of[True] = {name: tagged[name] for name in sorted(tagged, key=_natural_key)}
        index.arch_of[False] = {name: name for name in sorted(index.module_of, key=_natural_key)}
        self._index = index
        return index

    def listing(
        self,
        include: tuple[str, ...],
        exclude: tuple[str, ...],
        modules: tuple[str, ...],
        tags: bool,
        trained: bool,
        described: bool,
    ) -> list[str]:
        """Names that satisfy every condition, in natural order; remembered until something is registered."""
        key = include, exclude, modules, tags, trained, described
        found = self._listings.get(key)
        if found is None:
            index = self.index()
            names: Collection[str] = index.arch_of[tags]
            if modules:
                names = [n for n in names if index.module_of[index.arch_of[tags][n]] in modules]
            if include:
                names = list(filter(_matcher(include, tags), names))
            if exclude:
                excluded = _matcher(exclude, tags)
                names = [n for n in names if not excluded(n)]
            if trained:
                names = [n for n in names if n in index.trained]
            if described:
                names = [n for n in names if n in index.described]
            found = self._listings[key] = list(names)
        return found


_REGISTRY = Registry()


class _EntryPoints(MutableMapping[str, EntryPoint]):
    """Every name with its entry point, as outside code looks them up; to set one is to register it."""

    def __getitem__(self, name: str) -> EntryPoint:
        return _REGISTRY.entry_point(name)

    def __setitem__(self, name: str, fn: EntryPoint) -> None:
        _REGISTRY.add(name, _Registered(fn, module=fn.__module__.rpartition('.')[2]))

    def __delitem__(self, name: str) -> None:
        _REGISTRY.remove(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(_REGISTRY.names()))

    def __len__(self) -> int:
        return len(set(_REGISTRY.names()))


_model_entrypoints = _EntryPoints()


def _join(arch: str, tag: str) -> str:
    return f'{arch}.{tag}' if tag else arch


def _natural_key(name: str) -> list[str | int]:
    """Sort key under which resnet18 comes before resnet101."""
    parts = re.split(r'(\d+)', name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _as_tuple(names: Names) -> tuple[str, ...]:
    if not names:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)


def _matcher(patterns: tuple[str, ...], tags: bool) -> Callable[[str], Any]:
    """Whether a name matches one of the wildcards; with tags on, a pattern without a dot is for every tag."""
    if tags:
        patterns += tuple(f'{p}.*' for p in patterns if '.' not in p)
    return re.compile('|'.join(map(fnmatch.translate, patterns))).match


def split_model_name_tag(model_name: str, no_tag: str = '') -> tuple[str, str]:
    """Architecture and tag of 'arch.tag', split at the first dot; `no_tag` where there is no dot."""
    arch, dot, tag = model_name.partition('.')
    return arch, tag if dot else no_tag


def get_arch_name(model_name: str) -> str:
    """The part of a name before its tag."""
    return split_model_name_tag(model_name)[0]


def generate_default_cfgs(cfgs: Mapping[str, dict[str, Any] | PretrainedCfg]) -> dict[str, DefaultCfg]:
    """Group configurations by architecture.

    The default tag is the first that has weights, unless one is written 'arch.tag*' or is an untagged 'arch' with
    weights: these go before it.

    Args:
        cfgs: 'arch.tag' -> PretrainedCfg or its fields.
    """
    grouped: dict[str, DefaultCfg] = {}
    preferred: set[str] = set()
    for name, fields in cfgs.items():
        arch, tag = split_model_name_tag(name)
        cfg = PretrainedCfg(**fields) if isinstance(fields, dict) else fields
        entry = grouped.setdefault(arch, DefaultCfg())
        prefer = cfg.has_weights if not tag else tag.endswith('*') and arch not in preferred
        if prefer:
            preferred.add(arch)
        tag = tag.strip('*')
        if prefer or (cfg.has_weights and not entry.is_pretrained):
            entry.tags.appendleft(tag)
        else:
            entry.tags.append(tag)
        entry.is_pretrained = entry.is_pretrained or cfg.has_weights
        entry.cfgs[tag] = cfg
    return grouped


def _completed(cfgs: DefaultCfg | PretrainedCfg | dict[str, Any], arch: str) -> DefaultCfg:
    """A copy of what a module's `default_cfgs` holds for `arch`, in today's form and with the names filled in."""
    if isinstance(cfgs, dict):
        cfgs = PretrainedCfg(**cfgs)
    if isinstance(cfgs, PretrainedCfg):
        cfgs = generate_default_cfgs({arch: cfgs})[arch]
    cfgs = deepcopy(cfgs)
    for tag, cfg in cfgs.cfgs.items():
        complete(cfg, arch, tag)
    return cfgs


def _publish(module: Any, name: str) -> None:
    """Add `name` to the `__all__` of a module."""
    if not hasattr(module, '__all__'):
        module.__all__ = []
    if name not in module.__all__:
        module.__all__.append(name)


def register_model(fn: F) -> F:
    """Decorator: `fn` is the entry point of the architecture of its own name.

    Configurations are taken from the `default_cfgs` of its module. A name that exists already is replaced, with a
    warning.
    """
    name = fn.__name__
    module = sys.modules[fn.__module__]
    _publish(module, name)
    if is_model(name):
        warnings.warn(
            f'Overwriting {name} in registry with {fn.__module__}.{name}: '
            f"'{_REGISTRY.module_of(name)}' has registered that name. Rename one of the two if this is not wanted.",
            stacklevel=2,
        )
    cfgs = getattr(module, 'default_cfgs', {}).get(name)
    _REGISTRY.add(
        name,
        _Registered(fn, module=fn.__module__.rpartition('.')[2], cfgs=None if cfgs is None else _completed(cfgs, name)),
    )
    return fn


def deprecated_entry_point(old: str, new: str | None, module: str) -> EntryPoint:
    """The function of an old name: it warns and builds what `new` stands for, found in the same module.

    Args:
        old: Its own name.
        new: Today's 'arch' or 'arch.tag'; None or '' for a network that is gone.
        module: Full name of the module it belongs to.
    """
    arch, tag = split_model_name_tag(new or '')

    def entry_point(pretrained: bool = False, **kwargs: Any) -> Any:
        assert new, f'Model {old} has been removed with no replacement.'
        warnings.warn(f'Mapping deprecated model name {old} to current {new}.', stacklevel=2)
        cfg = kwargs.pop('pretrained_cfg', None) or tag or None
        return getattr(sys.modules[module], arch)(pretrained=pretrained, pretrained_cfg=cfg, **kwargs)

    entry_point.__name__ = entry_point.__qualname__ = old
    entry_point.__module__ = module
    entry_point.__doc__ = f'Old name of {new}.' if new else 'A network that has been removed.'
    return entry_point


def register_model_deprecations(module_name: str, deprecation_map: Mapping[str, str | None]) -> None:
    """Keep old model names alive: each gets a function in the module that warns and builds today's model.

    Args:
        module_name: Full name of the module that has the functions of today's names.
        deprecation_map: Old name -> 'arch.tag' or 'arch'; None or '' for a network that is gone.

    Raises:
        AttributeError: The module has no function of one of today's names.
    """
    module = sys.modules[module_name]
    for old, new in deprecation_map.items():
        if new:
            getattr(module, get_arch_name(new))
        fn = deprecated_entry_point(old, new, module_name)
        setattr(module, old, fn)
        _publish(module, old)
        _REGISTRY.add(old, _Registered(fn, module=module_name.rpartition('.')[2], replaced_by=new, deprecated=True))


def list_models(
    filter: Names = '',
    module: Names = '',
    pretrained: bool = False,
    exclude_filters: Names = '',
    name_matches_cfg: bool = False,
    include_tags: bool | None = None,
) -> list[str]:
    """Names of architectures, in natural order. Old names are not listed.

    Args:
        filter: Wildcards (`*`, `?`, `[...]`) for the whole name; a name that matches one of them is listed.
        module: Short names of modules to list from, say 'resnet'.
        pretrained: Only what has weights; of an architecture its default tag counts.
        exclude_filters: Wildcards for what is left out.
        name_matches_cfg: Only what has a configuration.
        include_tags: List 'arch.tag' for every tag; None does so if `pretrained`. A wildcard without a dot then
            stands for all tags of what it matches.
    """
    tags = pretrained if include_tags is None else include_tags
    found = _REGISTRY.listing(
        _as_tuple(filter),
        _as_tuple(exclude_filters),
        _as_tuple(module),
        tags=bool(tags),
        trained=bool(pretrained),
        described=bool(name_matches_cfg),
    )
    return found.copy()


def list_pretrained(filter: Names = '', exclude_filters: Names = '') -> list[str]:
    """Every 'arch.tag' with weights, in natural order; wildcards as in `list_models`."""
    return list_models(filter, pretrained=True, exclude_filters=exclude_filters, include_tags=True)


def list_modules() -> list[str]:
    """Short names of all modules that have an entry point, sorted."""
    return _REGISTRY.modules()


def get_deprecated_models(module: str = '') -> dict[str, str | None]:
    """Old name -> the name it stands for today, of all modules or of one."""
    return {old: new for old, (home, new) in _REGISTRY.old_names().items() if not module or home == module}


def is_model(model_name: str) -> bool:
    """Whether there is an entry point of that name. The tag is not looked at, and old names count."""
    return _REGISTRY.module_of(get_arch_name(model_name)) is not None


def is_model_in_modules(model_name: str, module_names: Names) -> bool:
    """Whether the entry point of a name belongs to one of these modules, given by short name."""
    return _REGISTRY.module_of(get_arch_name(model_name)) in _as_tuple(module_names)


def is_model_pretrained(model_name: str) -> bool:
    """Whether exactly this 'arch.tag' has weights; of a plain 'arch', whether its default tag has."""
    return model_name in _REGISTRY.index().trained


def model_entrypoint(model_name: str, module_filter: str | None = None) -> EntryPoint:
    """The function that builds an architecture.

    Raises:
        KeyError: There is no such architecture.
        RuntimeError: It does not belong to `module_filter`.
    """
    arch = get_arch_name(model_name)
    if module_filter and not is_model_in_modules(arch, module_filter):
        raise RuntimeError(f'Model ({model_name}) not found in module {module_filter}.')
    return _REGISTRY.entry_point(arch)


def unknown_model_error(model_name: str) -> RuntimeError:
    """The error for a name that nothing answers to; it says the nearest three that exist."""
    near = difflib.get_close_matches(get_arch_name(model_name), _REGISTRY.names(), n=3)
    hint = f' Did you mean {", ".join(near)}?' if near else ' timm.list_models() names all there are.'
    return RuntimeError(f'Unknown model ({model_name}).{hint}')


def get_pretrained_cfg(model_name: str, allow_unregistered: bool = True) -> PretrainedCfg | None:
    """A copy of the configuration of 'arch.tag', or of an architecture's default tag.

    Args:
        model_name: Old names have none of their own.
        allow_unregistered: Answer None where an architecture has no configuration.

    Raises:
        RuntimeError: The architecture has no such tag; or no configuration, and that is not allowed.
    """
    arch, tag = split_model_name_tag(model_name)
    tags = _REGISTRY.tags(arch)
    if tags is None:
        if allow_unregistered:
            return None
        raise RuntimeError(f'Model architecture ({arch}) has no pretrained cfg registered.')
    if model_name == arch:
        return _REGISTRY.cfg(arch, next(iter(tags)))
    if tag and tag in tags:
        return _REGISTRY.cfg(arch, tag)
    today = _REGISTRY.renamed_tag(arch, tag)
    if today is None:
        known = ', '.join(t for t in tags if t) or 'none'
        raise RuntimeError(f'Invalid pretrained tag ({tag}) for {arch}. Its tags: {known}.')
    warnings.warn(f'Mapping deprecated pretrained tag {arch}.{tag} to current {arch}.{today}.', stacklevel=2)
    return _REGISTRY.cfg(arch, today)


def get_pretrained_cfg_value(model_name: str, cfg_key: str) -> Any:
    """One field of a configuration, None if there is no such field; RuntimeError if there is no configuration."""
    return getattr(get_pretrained_cfg(model_name, allow_unregistered=False), cfg_key, None)


def get_arch_pretrained_cfgs(model_name: str) -> dict[str, PretrainedCfg]:
    """All configurations of an architecture by full name, the default first; empty if there is no such one."""
    arch = get_arch_name(model_name)
    return {_join(arch, tag): _REGISTRY.cfg(arch, tag) for tag in _REGISTRY.tags(arch) or {}}


def _clear_model_entries(model_name: str) -> None:
    """Forget what was registered under a name; outside code that registers for a while cleans up so."""
    with suppress(KeyError):
        _REGISTRY.remove(model_name)


def __getattr__(name: str) -> dict[str, set[str]]:
    """What outside code looks up: the names of each module, and the old names of each."""
    if name == '_module_to_models':
        module_of = _REGISTRY.index().module_of
    elif name == '_module_to_deprecated_models':
        module_of = {old: module for old, (module, _) in _REGISTRY.old_names().items()}
    else:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}', name=name, obj=sys.modules[__name__])
    found: dict[str, set[str]] = {}
    for model, module in module_of.items():
        found.setdefault(module, set()).add(model)
    return found
