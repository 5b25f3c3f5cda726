"""What the documents show runs, and what they point at exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from timm import catalog

ROOT = Path(__file__).parents[2]
PAGES = sorted(str(p.relative_to(ROOT)) for place in ('*.md', 'docs/*.md', 'results/*.md') for p in ROOT.glob(place))
BLOCK = re.compile(r'^```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)

# Adds the folder of the extracted files to the two packages, as if they lay beside the others, and runs the last.
RUN = """
import runpy, sys
import timm.catalog, timm.models
timm.catalog.__path__.append(sys.argv[1] + '/timm/catalog')
timm.models.__path__.append(sys.argv[1] + '/timm/models')
runpy.run_path(sys.argv[1] + '/try.py', run_name='__main__')
"""


def blocks(page):
    return BLOCK.findall((ROOT / page).read_text(encoding='utf-8'))


def python(*arguments):
    done = subprocess.run(
        [sys.executable, '-W', 'error', *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_the_walk_through_of_a_new_family_works(tmp_path):
    files = {block.partition('\n')[0].removeprefix('# '): block for block in blocks('docs/adding-a-model.md')}
    assert list(files) == ['timm/catalog/stairnet.py', 'timm/models/stairnet.py', 'try.py']
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding='utf-8')
    python('-c', RUN, str(tmp_path))


def test_the_examples_of_the_readme_work():
    python('-c', '\n'.join(blocks('README.md')))


def test_the_readme_names_every_family_that_is_in():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    row = next(line for line in text.splitlines() if line.startswith('| `convnext`'))
    assert set(re.findall(r'`(\w+)`', row)) == set(catalog.family_names())


@pytest.mark.parametrize('page', PAGES)
def test_links_between_documents_lead_somewhere(page):
    path = ROOT / page
    targets = re.findall(r'\]\((?!https?:)([^)#]+)', path.read_text(encoding='utf-8'))
    assert [target for target in targets if not (path.parent / target).exists()] == []
