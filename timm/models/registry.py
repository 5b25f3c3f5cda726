"""Old path of names that `timm.models` has today."""

from ._moved import warn_moved
from ._registry import *  # noqa: F403

warn_moved(__name__, 'timm.models')
