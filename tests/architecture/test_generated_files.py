"""Files that are made from the catalog hold what the catalog says."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'generate.py'


def test_generated_files_are_up_to_date():
    spec = importlib.util.spec_from_file_location('generate', SCRIPT)
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.stale() == [], 'run scripts/generate.py'
