"""Old path of names that `timm.models` has today."""

from ._builder import *  # noqa: F403
from ._helpers import *  # noqa: F403
from ._manipulate import *  # noqa: F403
from ._moved import warn_moved
from ._prune import *  # noqa: F403

warn_moved(__name__, 'timm.models')
