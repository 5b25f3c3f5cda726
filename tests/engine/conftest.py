"""What several tests of the engine start from."""

from pathlib import Path

import pytest
from processes import make_images


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs draw no curves, which takes longer than they do."""
    monkeypatch.setattr('timm.engine.report.can_draw', lambda: False)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """A folder of images to train on."""
    return make_images(tmp_path_factory.mktemp('images'))
