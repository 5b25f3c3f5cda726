"""Every public class, function and method says what it is; torch says it for the methods that torch calls."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Documented where torch, logging and pickling declare them.
DECLARED_ELSEWHERE = {'backward', 'extra_repr', 'format', 'forward', 'setup_context', 'write'}


def undocumented(node, prefix=''):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)) and not child.name.startswith('_'):
            is_overload = any(ast.unparse(d).endswith(('overload', '.setter')) for d in child.decorator_list)
            if not (ast.get_docstring(child) or is_overload or child.name in DECLARED_ELSEWHERE):
                yield f'{prefix}{child.name}', child.lineno
            if isinstance(child, ast.ClassDef):
                yield from undocumented(child, f'{prefix}{child.name}.')


def test_everything_public_is_documented():
    missing = []
    for path in sorted((ROOT / 'timm').rglob('*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        where = path.relative_to(ROOT)
        missing += [] if ast.get_docstring(tree) else [f'{where}: the module itself']
        missing += [f'{where}:{line}: {name}' for name, line in undocumented(tree)]
    assert not missing, '\n'.join(missing)
