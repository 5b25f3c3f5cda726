# pyright: strict
"""Option records as flags, and to and from YAML: one declaration of each option, three ways to give it."""

import dataclasses
import logging
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from .exits import UsageError, nearest

__all__ = [
    'Flag',
    'about',
    'build_options',
    'flag',
    'flags_of',
    'flatten',
    'in_vain',
    'read_yaml',
    'to_yaml',
    'without',
]

_logger = logging.getLogger(__name__)

Options = TypeVar('Options')

_MISSPELT = 0.8  # share of letters in place from which on a key is meant to be an option

_KINDS: dict[type, str] = {
    bool: 'true or false',
    int: 'an integer',
    float: 'a number',
    dict: 'a mapping',
    str: 'text',
}


def about(
    doc: str,
    *names: str,
    const: str | None = None,
    positional: bool = False,
    low: float | None = None,
    high: float | None = None,
    ignored: str = '',
) -> dict[str, Any]:
    """Metadata of a field that is a flag.

    Further spellings are `names`; `const` is what the bare flag means; `low` and `high` bound each value; `ignored`
    says why a flag that older scripts took has no effect.
    """
    bounds = {'low': low, 'high': high}
    return {'doc': doc, 'names': names, 'const': const, 'positional': positional, **bounds, 'ignored': ignored}


def flag(default: Any, doc: str, *names: str, **more: Any) -> Any:
    """A field that is a flag, with the metadata of `about`."""
    return dataclasses.field(default=default, metadata=about(doc, *names, **more))


def without(*names: str) -> dict[str, Any]:
    """Metadata of a script's field that holds a record: the options of that record which the script does not offer."""
    return {'without': names}


@dataclasses.dataclass(frozen=True)
class Flag:
    """One option of one script.

    Attributes:
        name: Name of the field, of the parsed attribute and of the key in YAML.
        part: Field of the script's record that holds the record with this option.
        base: Type of one value: bool, int, float, str or dict.
        count: Values it takes: 1, a fixed number, or None for one or more.
        optional: Whether it may be None.
        choices: The only values it may have, if they are few.
        low: The smallest value.
        high: The largest value.
        ignored: Why it has no effect; '' for all that have one.
    """

    name: str
    part: str
    default: Any
    base: type
    count: int | None
    optional: bool
    choices: tuple[str, ...] | None
    doc: str
    names: tuple[str, ...]
    const: str | None
    positional: bool
    low: float | None
    high: float | None
    ignored: str

    @property
    def spellings(self) -> tuple[str, ...]:
        """What is typed on the command line, '-x' before '--long'."""
        if self.positional:
            return (self.name,)
        dashed = '--' + self.name.replace('_', '-')
        return tuple(sorted({dashed, *self.names}, key=lambda name: (name.startswith('--'), name != dashed, name)))

    def read(self, value: Any) -> Any:
        """`value` as this option's type, from YAML or code; raises ValueError where it is none of its values."""
        if value is None and self.optional:
            return None
        if self.count == 1:
            return self._read_one(value)
        if not isinstance(value, (list, tuple)):
            raise ValueError('a list')
        values: list[Any] = [self._read_one(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
        if (not values and self.default != ()) or (self.count and len(values) != self.count):
            raise ValueError(f'a list of {self.count or "one or more"} values')
        return tuple(values)

    def _read_one(self, value: Any) -> Any:
        if self.base in (int, float) and isinstance(value, str):  # YAML reads 1e-5 as text
            try:
                value = self.base(value)
            except ValueError:
                raise ValueError(_KINDS[self.base]) from None
        kinds = (int, float) if self.base is float else self.base
        if isinstance(value, bool) != (self.base is bool) or not isinstance(value, kinds):
            raise ValueError(_KINDS[self.base])
        if self.choices and value not in self.choices:
            raise ValueError(f'one of {", ".join(self.choices)}')
        if self.low is not None and not value >= self.low:
            raise ValueError(f'{self.low} or more')
        if self.high is not None and not value <= self.high:
            raise ValueError(f'{self.high} or less')
        return value  # pyright: ignore[reportUnknownVariableType]


def _value_type(hint: Any) -> tuple[type, int | None, bool, tuple[str, ...] | None]:
    """Base type, count, optional and choices of an annotation."""
    united = get_origin(hint) in (UnionType, Union)
    inner = next(arg for arg in get_args(hint) if arg is not NoneType) if united else hint
    optional = united and NoneType in get_args(hint)
    if get_origin(inner) is Literal:
        return str, 1, optional, get_args(inner)
    if get_origin(inner) is tuple:
        args = get_args(inner)
        return args[0], None if args[-1] is Ellipsis else len(args), optional, None
    return get_origin(inner) or inner, 1, optional, None


def flags_of(script: type) -> dict[str, Flag]:
    """Every option of a script's record by name, in the order of declaration."""
    found: dict[str, Flag] = {}
    for holder in dataclasses.fields(script):
        record: Any = holder.default
        hints = get_type_hints(record.__class__)
        for option in dataclasses.fields(record):  # pyright: ignore[reportArgumentType]
            if option.name in holder.metadata.get('without', ()):
                continue
            base, count, optional, choices = _value_type(hints[option.name])
            found[option.name] = Flag(
                option.name,
                holder.name,
                getattr(record, option.name),
                base,
                count,
                optional,
                choices,
                **option.metadata,
            )
    return found


def read_yaml(path: str | Path, script: type) -> dict[str, Any]:
    """The options in a YAML file, checked against the script's.

    Files of other versions may hold keys that are no options: each is named in a warning, and left out, unless it
    looks like an option misspelt.

    Raises:
        UsageError: No such file, no mapping, a misspelt key, or a value of the wrong type.
    """
    try:
        values: Any = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise UsageError(f'cannot read the options in {path}: {error.strerror}') from error
    except yaml.YAMLError as error:
        raise UsageError(f'{path} is no YAML: {" ".join(str(error).split())}') from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f'{path} holds no "option: value" lines')
    options = flags_of(script)
    known: dict[Any, Any] = {}
    for key, value in values.items():  # pyright: ignore[reportUnknownVariableType]
        name = str(key).replace('-', '_')  # pyright: ignore[reportUnknownArgumentType]
        if name in options or get_close_matches(name, options, cutoff=_MISSPELT):
            known[key] = value
        else:
            _logger.warning('%s sets %r, which is no option: left out', path, str(key))  # pyright: ignore[reportUnknownArgumentType]
    return _check(known, script, str(path))


def _check(values: Mapping[Any, Any], script: type, source: str) -> dict[str, Any]:
    """`values` by option name in the options' types; UsageError names the first that is none."""
    options = flags_of(script)
    checked: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace('-', '_')
        if name not in options:
            raise UsageError(f'{source} sets {str(key)!r}, which is no option{nearest(name, options)}')
        try:
            checked[name] = options[name].read(value)
        except ValueError as error:
            raise UsageError(f'{source} sets {key} to {value!r}, which is not {error}') from error
    return checked


def build_options(script: type[Options], values: Mapping[str, Any], source: str = 'the caller') -> Options:
    """A script's record from option names and values; what is not named keeps the script's default.

    Raises:
        UsageError: An unknown name or a value of the wrong type.
    """
    options, checked = flags_of(script), _check(values, script, source)
    parts: dict[str, Any] = {}
    for holder in dataclasses.fields(script):  # pyright: ignore[reportArgumentType]
        changes = {name: value for name, value in checked.items() if options[name].part == holder.name}
        parts[holder.name] = dataclasses.replace(cast('Any', holder.default), **changes)
    return script(**parts)


def in_vain(options: Any) -> list[str]:
    """A line for each option that is set and has no effect, which says why."""
    told = flatten(options)
    flags = [option for option in flags_of(options.__class__).values() if option.ignored]
    return [f'{o.spellings[-1]} has no effect: {o.ignored}' for o in flags if told[o.name] != o.default]


def flatten(options: Any) -> dict[str, Any]:
    """All options of a script's record as one sorted mapping of plain values; tuples become lists."""
    values: dict[str, Any] = {}
    for name, option in flags_of(options.__class__).items():
        value = getattr(getattr(options, option.part), name)
        values[name] = list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType]
    return dict(sorted(values.items()))


def to_yaml(options: Any) -> str:
    """The options as sorted block YAML, which `--config` reads back."""
    return yaml.safe_dump(flatten(options), default_flow_style=False)
