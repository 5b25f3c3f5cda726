"""StagedModel: features of networks that are a path of steps, with taps where the resolution changes."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn

from timm.layers import create_classifier

from ._features import feature_take_indices
from ._model import ImageModel, named_steps

__all__ = ['PooledHead', 'StagedModel']


class StagedModel(ImageModel):
    """A network whose `forward_features` runs the modules of `path` one after the other.

    The taps are the modules that `feature_info` names. A network whose features are no such path (several
    resolutions at a time, say) overrides `forward_intermediates` and `prune_intermediate_layers`.

    Attributes:
        path: Names of the steps from image to features; 'stages.*' stands for the children of `stages`.
        final_norm: Name of the norm at the end of the path, if it has one.
        tail: Names of the steps after the deepest tap that belong to the head rather than to the features.
        layout: What the steps hand on: 'NCHW' or 'NHWC'.
    """

    path: ClassVar[tuple[str, ...]]
    final_norm: ClassVar[str | None] = None
    tail: ClassVar[tuple[str, ...]] = ()
    layout: ClassVar[Literal['NCHW', 'NHWC']] = 'NCHW'

    def taps(self) -> list[str]:
        """Names of the steps whose outputs `forward_intermediates` can give, from shallow to deep."""
        return [info['module'] for info in self.feature_info]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Features at several depths: (B, in_chans, H, W) -> (final features, list of (B, C_i, H_i, W_i)).

        Args:
            indices: Taps to take: all (None), the last n (int), or these, negative ones counted from the end. The
                list comes in network order.
            norm: Give the deepest tap as the final norm leaves it, where the network has one that fits.
            stop_early: Do not run what comes after the deepest tap that is taken.
            output_fmt: 'NCHW', or the layout that the network itself uses.
            intermediates_only: Return the list alone.
        """
        return self._walk(x, self.taps(), indices, norm, stop_early, output_fmt, intermediates_only)

    def _walk(
        self,
        x: Tensor,
        taps: list[str],
        indices: int | list[int] | None,
        norm: bool,
        stop_early: bool,
        output_fmt: str,
        intermediates_only: bool,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """`forward_intermediates` with the taps named by the caller."""
        assert output_fmt in ('NCHW', self.layout), f"output_fmt must be 'NCHW' or '{self.layout}', got '{output_fmt}'"
        take, deepest = feature_take_indices(len(taps), indices)
        wanted = {taps[i] for i in take}
        permute = self.layout == 'NHWC' and output_fmt == 'NCHW'
        intermediates: list[Tensor] = []
        for name, step in named_steps(self, self.path):
            x = step(x)
            if name in wanted:
                feature = x
                if norm and self.final_norm is not None and name == self.taps()[-1]:
                    feature = self.get_submodule(self.final_norm)(x)
                intermediates.append(feature.permute(0, 3, 1, 2).contiguous() if permute else feature)
            if name == taps[deepest] and (stop_early or intermediates_only):
                break
        return intermediates if intermediates_only else (x, intermediates)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove what lies beyond the deepest of the taps asked for; returns their indices, counted from the front.

        Args:
            indices: Taps that must survive, as in `forward_intermediates`.
            prune_norm: Remove the final norm also where nothing else is cut.
            prune_head: Remove pooling and classifier also where nothing else is cut.
        """
        return self._cut(self.taps(), indices, prune_norm, prune_head)

    def _cut(self, taps: list[str], indices: int | list[int], prune_norm: bool, prune_head: bool) -> list[int]:
        """`prune_intermediate_layers` with the taps named by the caller."""
        take, deepest = feature_take_indices(len(taps), indices)
        steps = list(named_steps(self, self.path))
        names = [name for name, _ in steps]
        is_cut = deepest < len(taps) - 1
        for name in names[names.index(taps[deepest]) + 1 :]:
            if name == self.final_norm:
                removed = is_cut or prune_norm
            else:
                removed = name not in self.tail or is_cut or prune_norm or prune_head
            if removed:
                self._remove(name)
        if is_cut or prune_head:
            self._drop_head(self._tap_width(taps[deepest]))
        if is_cut or (prune_head and self.tail):
            self.num_features = self.head_hidden_size = self._tap_width(taps[deepest])
        return take

    def _drop_head(self, width: int) -> None:
        """Remove pooling, classifier and what else a head has; a new classifier will see `width` channels."""
        head: Any = getattr(self, 'head', None)
        if hasattr(head, 'reset'):
            head.reset(0, '', reset_other=True, in_features=width)
        self.reset_classifier(0, '')

    def _remove(self, step: str) -> None:
        """Take a step out of the path: out of its sequence, or put an identity in its place."""
        parent, _, child = step.rpartition('.')
        container = self.get_submodule(parent)
        if isinstance(container, nn.Sequential):
            del container._modules[child]
        else:
            setattr(container, child, nn.Identity())

    def _tap_width(self, tap: str) -> int:
        """Channels at a tap."""
        return next(info['num_chs'] for info in self.feature_info if info['module'] == tap)


class PooledHead(StagedModel):
    """A staged network whose head is `global_pool`, dropout and a classifier side by side at the top level.

    Attributes:
        drop_rate: Chance that a pooled feature is dropped in training.
    """

    classifier_name: ClassVar[str] = 'fc'  # pyright: ignore[reportIncompatibleVariableOverride]
    drop_rate: float

    if TYPE_CHECKING:
        global_pool: Any

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace pooling and classifier; see `ImageModel.reset_classifier`."""
        self.num_classes = num_classes
        pool_type = self.global_pool.pool_type if global_pool is None else global_pool
        with self.building_beside():
            pool, classifier = create_classifier(self.num_features, num_classes, pool_type=pool_type)
        self.global_pool = pool.train(self.training)
        setattr(self, self.classifier_name, classifier.train(self.training))
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
