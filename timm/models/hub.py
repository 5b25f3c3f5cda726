"""Old path of names that `timm.models` has today."""

from ._hub import *  # noqa: F403
from ._moved import warn_moved

warn_moved(__name__, 'timm.models')
