"""Who may import whom: every import statement of the package against one table, imports inside functions included."""

import ast
import functools
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from timm import catalog

ROOT = Path(__file__).parents[2]
STANDARD = set(sys.stdlib_module_names)

# Room -> what its files may import at the top, besides the standard library and the room itself.
AT_TOP = {
    'version': set(),
    '_lazy': set(),
    'catalog': set(),
    'layers': {'torch'},
    'convert': {'torch', 'numpy', 'timm.layers'},  # numpy reads the .npz files of JAX
    'models': {'torch', 'safetensors', 'timm.version', 'timm.catalog', 'timm.layers', 'timm.convert'},
    'utils': {'timm._lazy', 'torch', 'timm.layers', 'timm.models'},
    'data': {
        'timm._lazy', 'torch', 'torchvision', 'numpy', 'PIL', 'timm.catalog', 'timm.utils',
        'timm.layers.helpers', 'timm.models._input',  # to_2tuple, and what a model takes: published here as well
    },
    'loss': {'torch'},
    'scheduler': {'torch'},
    'optim': {'torch', 'timm.models._manipulate'},
    'task': {'torch', 'timm.loss', 'timm.models', 'timm.utils'},
    'engine': {
        'torch', 'tqdm', 'yaml', 'timm', 'timm.version', 'timm.data', 'timm.layers', 'timm.loss', 'timm.models',
        'timm.optim', 'timm.scheduler', 'timm.task', 'timm.utils',
    },
    'cli': {'timm.engine', 'timm'},
    '': {'timm.version'},  # timm/__init__.py
}  # fmt: skip

# What may be imported inside a function: packages that one can do without until that function is called.
IN_FUNCTION = {
    'layers.batch_norm_act': {'torchvision'},  # the class that others know a frozen norm by
    'layers._fx': {'torchvision'},  # the published home of tracing; timm.models._features_fx takes it from there
    'models': {'huggingface_hub', 'numpy', 'safetensors', 'tqdm', 'yaml'},
    'models._features_fx': {'torchvision'},
    'utils': {'matplotlib', 'numpy', 'wandb'},
    'data': {
        'array_record',
        'datasets',
        'numpy',
        'tensorflow',
        'tensorflow_datasets',
        'torchvision',
        'webdataset',
        'yaml',
    },
    'engine': {'matplotlib', 'pandas', 'tensorboard', 'wandb', 'onnx', 'onnxruntime', 'fvcore'},
}


class Import(NamedTuple):
    """One imported module or name: `what` is dotted, as far as it is a module of ours or anything of others."""

    file: str
    line: int
    what: str
    at_top: bool


@functools.cache
def modules():
    """Dotted name -> file of every module of the package."""
    found = {}
    for path in sorted((ROOT / 'timm').rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def is_type_checking(node):
    return isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)


def statements(node, at_top=True):
    """Import statements below a node, and whether they run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, at_top
        elif not is_type_checking(child):
            yield from statements(child, at_top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))


@functools.cache
def imports(module):
    """Every import of a module; `from package import submodule` counts as one of the submodule."""
    path = modules()[module]
    package = module if path.name == '__init__.py' else module.rpartition('.')[0]
    found = []
    for node, at_top in statements(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            base = node.module or ''
            if node.level:
                above = package.rsplit('.', node.level - 1)[0]
                base = f'{above}.{base}' if base else above
            names = [f'{base}.{alias.name}' for alias in node.names]
            targets = {name if name in modules() else base for name in names}
        found += [Import(str(path.relative_to(ROOT)), node.lineno, target, at_top) for target in targets]
    return tuple(found)


def room_of(module):
    return module.split('.')[1] if '.' in module else ''


def covers(allowed, what):
    return any(what == entry or (what.startswith(f'{entry}.') and entry != 'timm') for entry in allowed)


def breaches(module):
    """Imports of a module that the tables do not allow."""
    room, short = room_of(module), module.removeprefix('timm.')
    for found in imports(module):
        top_level = found.what.partition('.')[0]
        allowed = AT_TOP[room] | ({f'timm.{room}'} if room else set())
        if not found.at_top:
            allowed = IN_FUNCTION.get(room, set()) | IN_FUNCTION.get(short, set())
        fine = covers(allowed, found.what) or (top_level in STANDARD and found.at_top)
        if not fine:
            where = 'at the top' if found.at_top else 'inside a function'
            yield f'{found.file}:{found.line} imports {found.what} {where}'


def test_every_room_has_its_row():
    assert {room_of(module) for module in modules()} <= AT_TOP.keys()


@pytest.mark.parametrize('room', AT_TOP)
def test_rooms_import_what_the_table_allows(room):
    found = [line for module in modules() if room_of(module) == room for line in breaches(module)]
    assert not found, '\n'.join(found)


def test_a_family_imports_only_its_declared_ancestors():
    families = {f'timm.models.{name}': catalog.family(name) for name in catalog.family_names()}
    wrong = [
        f'{found.file}:{found.line} imports {found.what}, which the catalog does not name as an ancestor'
        for module, record in families.items()
        for found in (imports(module) if module in modules() else ())
        if found.what in families
        and found.what != module
        and found.what.rpartition('.')[2] not in record.ancestors
    ]  # fmt: skip
    assert not wrong, '\n'.join(wrong)


def test_declared_ancestors_are_imported():
    for name in catalog.family_names():
        module = f'timm.models.{name}'
        if module in modules():
            missing = {f'timm.models.{a}' for a in catalog.family(name).ancestors} - {i.what for i in imports(module)}
            assert not missing, f'{module} names {missing} as ancestors and does not import them'


def test_no_machinery_imports_a_family():
    families = {f'timm.models.{name}' for name in catalog.family_names()}
    shared = [m for m in modules() if m.startswith(('timm.models._', 'timm.layers', 'timm.convert'))]
    wrong = [f'{i.file}:{i.line} imports {i.what}' for m in shared for i in imports(m) if i.what in families]
    assert not wrong, '\n'.join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    graph = defaultdict(set)
    for module in modules():
        graph[module] = {i.what for i in imports(module) if i.at_top and i.what in modules() and i.what != module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(' <- '.join(error.args[1]))
