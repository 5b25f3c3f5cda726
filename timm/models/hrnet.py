"""HRNet: branches of several resolutions side by side, which exchange what they see after every few blocks.

Papers:
    Deep High-Resolution Representation Learning for Visual Recognition, Wang et al., 2019, arXiv:1908.07919 (branches:
        figure 2; exchange: section 3.2; classification head: appendix B)

Departures: none. Names follow the published weights: `transition<n>` makes the branches of stage n + 1.
Shapes: B images, C channels, H and W pixels; lists hold one tensor a branch, each half the size of the one before.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from timm.layers import create_classifier
from timm.layers._device import Module

from ._entrypoints import entrypoints
from ._features import FeatureInfo, feature_take_indices
from ._model import ParamGroups
from ._staged import PooledHead
from .resnet import BasicBlock, Bottleneck

__all__ = ['HighResolutionNet', 'HighResolutionNetFeatures']

block_types_dict: dict[str, type[BasicBlock] | type[Bottleneck]] = {'BASIC': BasicBlock, 'BOTTLENECK': Bottleneck}

# Planes of the blocks that widen each branch for the head (appendix B).
_HEAD_PLANES = [32, 64, 128, 256]


def _conv_norm(
    in_chs: int, out_chs: int, kernel_size: int, stride: int = 1, act: bool | None = True, bias: bool = False
) -> nn.Sequential:
    """Convolution, norm, and a ReLU: in place (True), on a copy (False) or none (None)."""
    conv = nn.Conv2d(in_chs, out_chs, kernel_size, stride=stride, padding=kernel_size // 2, bias=bias)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(out_chs)]
    if act is not None:
        layers.append(nn.ReLU(inplace=act))
    return nn.Sequential(*layers)


def _make_blocks(
    block_type: type[BasicBlock] | type[Bottleneck], in_chs: int, planes: int, depth: int
) -> nn.Sequential:
    """Residual blocks at one resolution: (B, in_chs, H, W) -> (B, planes * expansion, H, W)."""
    out_chs = planes * block_type.expansion
    downsample = _conv_norm(in_chs, out_chs, 1, act=None) if in_chs != out_chs else None
    first = block_type(in_chs, planes, 1, downsample)
    return nn.Sequential(first, *(block_type(out_chs, planes) for _ in range(depth - 1)))


class HighResolutionModule(Module):
    """Residual blocks in each branch, then an exchange between all of them (section 3.2, figure 3).

    Shape: list of (B, C_i, H / 2^i, W / 2^i) -> the same

    Args:
        num_in_chs: Channels of each branch; updated to what the module gives.
        num_channels: Planes of the blocks of each branch.
        fuse_method: 'SUM', the only one.
        multi_scale_output: Give all branches; otherwise the first alone.

    Raises:
        ValueError: The lists have not one entry a branch.
    """

    def __init__(
        self,
        num_branches: int,
        block_types: type[BasicBlock] | type[Bottleneck],
        num_blocks: Sequence[int],
        num_in_chs: Sequence[int],
        num_channels: Sequence[int],
        fuse_method: str,
        multi_scale_output: bool = True,
    ) -> None:
        super().__init__()
        for name, values in (('num_blocks', num_blocks), ('num_channels', num_channels), ('num_in_chs', num_in_chs)):
            if len(values) != num_branches:
                raise ValueError(f'{name} needs one entry for each of the {num_branches} branches, got {values}')
        self.num_branches = num_branches
        self.fuse_method = fuse_method
        self.multi_scale_output = multi_scale_output
        self.branches = nn.ModuleList(
            _make_blocks(block_types, num_in_chs[i], num_channels[i], num_blocks[i]) for i in range(num_branches)
        )
        self.num_in_chs = [planes * block_types.expansion for planes in num_channels]
        self.fuse_layers = self._make_fuse_layers()
        self.fuse_act = nn.ReLU(False)

    def _make_fuse_layers(self) -> Any:
        """For each output, how each branch reaches its resolution."""
        if self.num_branches == 1:
            return nn.Identity()
        num_outputs = self.num_branches if self.multi_scale_output else 1
        return nn.ModuleList(
            nn.ModuleList(self._make_path(source, target) for source in range(self.num_branches))
            for target in range(num_outputs)
        )

    def _make_path(self, source: int, target: int) -> nn.Module:
        """1x1 convolution and upsampling, or 3x3 convolutions of stride 2, one a step."""
        chs = self.num_in_chs
        if source == target:
            return nn.Identity()
        if source > target:
            up = nn.Upsample(scale_factor=2 ** (source - target), mode='nearest')
            return nn.Sequential(*_conv_norm(chs[source], chs[target], 1, act=None), up)
        steps = [_conv_norm(chs[source], chs[source], 3, stride=2, act=False) for _ in range(target - source - 1)]
        return nn.Sequential(*steps, _conv_norm(chs[source], chs[target], 3, stride=2, act=None))

    def get_num_in_chs(self) -> list[int]:
        """Channels of each branch that comes out."""
        return self.num_in_chs

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """Blocks, then for each output the sum over all branches."""
        branches: list[Tensor] = []
        for i, blocks in enumerate(self.branches):
            branches.append(blocks(x[i]))
        if self.num_branches == 1:
            return branches
        fused: list[Tensor] = []
        for paths in self.fuse_layers:
            total = branches[0]
            for i, path in enumerate(paths):
                total = path(branches[i]) if i == 0 else total + path(branches[i])
            fused.append(self.fuse_act(total))
        return fused


class SequentialList(nn.Sequential):
    """nn.Sequential whose items map lists of tensors to lists of tensors."""

    def forward(self, x: list[Tensor]) -> list[Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One item after the other."""
        for module in self:
            x = module(x)
        return x


class HighResolutionNet(PooledHead):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Args:
        cfg: `stem_width`, and for `stage1` to `stage4`: num_modules, num_branches, block_type, num_blocks,
            num_channels, fuse_method.
        head: 'classification'; 'incre' only widens the branches; '' does neither. The last two give features.
        kwargs: `head_conv_bias`: whether the head's convolutions have a bias.

    Raises:
        AssertionError: `output_stride` is not 32.
    """

    classifier_name: ClassVar[str] = 'classifier'
    groups = ParamGroups(
        stem=r'^conv[12]|bn[12]',
        blocks=[(r'^layer(\d+)\.(\d+)', None), (r'^stage(\d+)\.(\d+)', None), (r'^transition(\d+)', (99999,))],
        coarse=r'^(?:layer|stage|transition)(\d+)',
    )

    def __init__(
        self,
        cfg: Mapping[str, Any],
        in_chans: int = 3,
        num_classes: int = 1000,
        output_stride: int = 32,
        global_pool: str = 'avg',
        drop_rate: float = 0.0,
        head: str = 'classification',
        **kwargs: Any,
    ) -> None:
        super().__init__()
        assert output_stride == 32, f'output_stride must be 32, got {output_stride}'
        head_conv_bias = kwargs.pop('head_conv_bias', True)
        if kwargs:
            raise TypeError(f'HighResolutionNet got unexpected keyword arguments {sorted(kwargs)}')
        self.head = head
        self.drop_rate = drop_rate
        width = cfg['stem_width']
        self.conv1 = nn.Conv2d(in_chans, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, 64, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.act2 = nn.ReLU(inplace=True)

        stage1 = cfg['stage1']
        block_type = block_types_dict[stage1['block_type']]
        self.layer1 = _make_blocks(block_type, 64, stage1['num_channels'][0], stage1['num_blocks'][0])
        chs = [stage1['num_channels'][0] * block_type.expansion]
        self.transition1, self.stage2, chs = self._make_stage(cfg['stage2'], chs)
        self.transition2, self.stage3, chs = self._make_stage(cfg['stage3'], chs)
        self.transition3, self.stage4, chs = self._make_stage(cfg['stage4'], chs)

        self._make_head(chs, head, head_conv_bias)
        if head == 'classification':
            self.global_pool, self.classifier = create_classifier(2048, num_classes, pool_type=global_pool)
            self.head_drop = nn.Dropout(drop_rate)
        else:
            self.global_pool, self.classifier, self.head_drop = nn.Identity(), nn.Identity(), nn.Identity()
        self.describe(num_classes, in_chans, 2048)
        if head == 'classification':
            self.head_hidden_size = 2048 * self.global_pool.feat_mult()
        widths = [planes * Bottleneck.expansion for planes in _HEAD_PLANES] if self.head_channels else chs
        self.feature_info = [
            {'num_chs': width, 'reduction': 2, 'module': 'stem'},
            *({'num_chs': c, 'reduction': 4 * 2**i, 'module': f'stage{i + 1}'} for i, c in enumerate(widths)),
        ]
        self.init_weights()

    def _make_stage(self, stage: Mapping[str, Any], chs: list[int]) -> tuple[Any, Any, list[int]]:
        """(transition to the stage's branches, its modules, channels of its branches)."""
        block_type = block_types_dict[stage['block_type']]
        widths = [planes * block_type.expansion for planes in stage['num_channels']]
        transitions: list[nn.Module] = []
        for i, width in enumerate(widths):
            if i >= len(chs):
                # A new branch comes from the lowest resolution there was, one convolution a step.
                steps = i + 1 - len(chs)
                outs = [chs[-1]] * (steps - 1) + [width]
                transitions.append(nn.Sequential(*(_conv_norm(chs[-1], out, 3, stride=2) for out in outs)))
            elif width != chs[i]:
                transitions.append(_conv_norm(chs[i], width, 3))
            else:
                transitions.append(nn.Identity())
        modules = [
            HighResolutionModule(
                stage['num_branches'],
                block_type,
                stage['num_blocks'],
                widths,
                stage['num_channels'],
                stage['fuse_method'],
            )
            for _ in range(stage['num_modules'])
        ]
        self.num_branches = stage['num_branches']
        return nn.ModuleList(transitions), SequentialList(*modules), widths

    def _make_head(self, chs: list[int], head: str, conv_bias: bool) -> None:
        """Widen each branch, add them up from high to low resolution, project to 2048 channels (appendix B)."""
        self.incre_modules = self.downsamp_modules = self.final_layer = None
        self.head_channels = _HEAD_PLANES if head else None
        if not head:
            return
        self.incre_modules = nn.ModuleList(
            _make_blocks(Bottleneck, width, planes, 1) for width, planes in zip(chs, _HEAD_PLANES, strict=True)
        )
        if head == 'classification':
            widths = [planes * Bottleneck.expansion for planes in _HEAD_PLANES]
            self.downsamp_modules = nn.ModuleList(
                _conv_norm(widths[i], widths[i + 1], 3, stride=2, bias=conv_bias) for i in range(3)
            )
            self.final_layer = _conv_norm(widths[3], 2048, 1, bias=conv_bias)

    def init_weights(self) -> None:
        """He initialisation of convolutions (arXiv:1502.01852, equation 14)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def _stem(self, x: Tensor) -> Tensor:
        """To a quarter of the image: (B, in_chans, H, W) -> (B, 64, H/4, W/4)."""
        x = self.act1(self.bn1(self.conv1(x)))
        return self.act2(self.bn2(self.conv2(x)))

    def stages(self, x: Tensor) -> list[Tensor]:
        """All branches: (B, 64, H, W) -> list of (B, C_i, H / 2^i, W / 2^i)."""
        x = self.layer1(x)
        branches: list[Tensor] = []
        for transition in self.transition1:
            branches.append(transition(x))  # noqa: PERF401 (TorchScript unrolls the loop alone)
        branches = self.stage2(branches)
        wider: list[Tensor] = []
        for i, transition in enumerate(self.transition2):
            wider.append(transition(branches[i] if i < len(branches) else branches[-1]))
        branches = self.stage3(wider)
        wider = []
        for i, transition in enumerate(self.transition3):
            wider.append(transition(branches[i] if i < len(branches) else branches[-1]))
        return self.stage4(wider)

    def _trunk(self, x: Tensor) -> Any:
        """What there is without the head of a classifier: the branches, or the first map of a stem."""
        x = self.act1(self.bn1(self.conv1(x)))
        return x if self._is_stem() else self.stages(self.act2(self.bn2(self.conv2(x))))

    def _is_stem(self) -> bool:
        """Whether nothing else was left by pruning."""
        return isinstance(self.layer1, nn.Identity)

    def forward_features(self, x: Tensor) -> Tensor:
        """Un-pooled features: (B, in_chans, H, W) -> (B, 2048, H/32, W/32).

        Without the head of a classifier these are the branches, and of a network pruned to its stem what that gives.
        """
        if self.incre_modules is None or self.downsamp_modules is None or self.final_layer is None:
            return self._trunk(x)
        branches = self.stages(self._stem(x))
        widened: list[Tensor] = []
        for i, widen in enumerate(self.incre_modules):
            widened.append(widen(branches[i]))
        x = widened[0]
        for i, down in enumerate(self.downsamp_modules):
            x = widened[i + 1] + down(x)
        return self.final_layer(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool, drop and classify; with `pre_logits` stop before the classifier."""
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.classifier(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = False,
    ) -> Any:
        """The half-size map of the stem and the widened branches: list of (B, C_i, H / 2^(i + 1), W / 2^(i + 1)).

        All branches are computed together, so `stop_early` saves only what comes after them; the first item of the
        result is then the list of branches. `norm` changes nothing: there is no final norm. See
        `StagedModel.forward_intermediates` for the arguments.
        """
        del norm
        assert output_fmt == 'NCHW', f"output_fmt must be 'NCHW', got '{output_fmt}'"
        take, deepest = feature_take_indices(len(self.feature_info), indices)
        x = self.act1(self.bn1(self.conv1(x)))
        intermediates = [x] if 0 in take else []
        if deepest == 0 and (stop_early or intermediates_only or self._is_stem()):
            return intermediates if intermediates_only else (x, intermediates)
        branches = self.stages(self.act2(self.bn2(self.conv2(x))))
        widened: dict[int, Tensor] = {}
        for i, branch in enumerate(branches):
            if self.incre_modules is not None and i < len(self.incre_modules):
                widened[i] = self.incre_modules[i](branch)
            elif self.incre_modules is None:
                widened[i] = branch
        intermediates += [widened[i - 1] for i in sorted(set(take)) if i > 0]
        if intermediates_only:
            return intermediates
        if stop_early or self.downsamp_modules is None:
            return branches, intermediates
        x = widened[0]
        for i, down in enumerate(self.downsamp_modules):
            x = widened[i + 1] + down(x)
        assert self.final_layer is not None
        return self.final_layer(x), intermediates

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove the parts of the head beyond the deepest tap; the branches need each other and stay."""
        del prune_norm
        take, deepest = feature_take_indices(len(self.feature_info), indices)
        if deepest == 0:
            transitions = ('transition1', 'transition2', 'transition3')
            for name in ('conv2', 'bn2', 'act2', 'layer1', 'stage2', 'stage3', 'stage4', *transitions):
                setattr(self, name, nn.Identity())
            self.num_features = self.head_hidden_size = self.feature_info[0]['num_chs']
        if self.incre_modules is not None:
            self.incre_modules = self.incre_modules[:deepest]
        if prune_head or deepest < len(self.feature_info) - 1:
            self.downsamp_modules = self.final_layer = None
            self.num_classes = 0
            self.global_pool, self.head_drop, self.classifier = nn.Identity(), nn.Identity(), nn.Identity()
        return take

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Not supported.

        Raises:
            AssertionError: It is asked for.
        """
        assert not enable, 'gradient checkpointing not supported'


class HighResolutionNetFeatures(HighResolutionNet):
    """HRNet as a feature pyramid: (B, in_chans, H, W) -> list of the taps taken.

    Args:
        feature_location: 'incre' for branches as the head widens them, '' for the branches themselves.
        out_indices: Taps to return: 0 the stem, 1 to 4 the branches.

    The other arguments are those of `HighResolutionNet`.

    Raises:
        ValueError: `feature_location` is unknown.
    """

    def __init__(
        self,
        cfg: Mapping[str, Any],
        in_chans: int = 3,
        num_classes: int = 1000,
        output_stride: int = 32,
        global_pool: str = 'avg',
        drop_rate: float = 0.0,
        feature_location: str = 'incre',
        out_indices: tuple[int, ...] = (0, 1, 2, 3, 4),
        **kwargs: Any,
    ) -> None:
        if feature_location not in ('incre', ''):
            raise ValueError(f"feature_location must be 'incre' or '', got {feature_location!r}")
        super().__init__(
            cfg,
            in_chans=in_chans,
            num_classes=num_classes,
            output_stride=output_stride,
            global_pool=global_pool,
            drop_rate=drop_rate,
            head=feature_location,
            **kwargs,
        )
        self.feature_info: Any = FeatureInfo(self.feature_info, out_indices)
        self._out_idx = {i % len(self.feature_info) for i in self.feature_info.out_indices}

    def forward_features(self, x: Tensor) -> Any:
        """Taps taken, in network order."""
        features: list[Tensor] = []
        x = self.act1(self.bn1(self.conv1(x)))
        if 0 in self._out_idx:
            features.append(x)
        branches = self.stages(self.act2(self.bn2(self.conv2(x))))
        if self.incre_modules is not None:
            branches = [widen(branch) for widen, branch in zip(self.incre_modules, branches, strict=True)]
        return features + [branch for i, branch in enumerate(branches, 1) if i in self._out_idx]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Taps taken, in network order."""
        return self.forward_features(x)


__getattr__ = entrypoints(__name__)
