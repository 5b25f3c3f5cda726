"""From block strings to the stages of EfficientNet, the MobileNets and their kin.

A stage is a list of strings such as `ir_r2_k5_s2_e6_c40_se0.25`: a kind of block, then letters with values.

    kind  ds depthwise separable, dsa the same with a last activation and no skip, ir inverted residual, er edge
          residual, cn convolution, uir universal inverted residual, mqa multi-query and mha multi-head attention
    r     repeats of the block; only the first has the stride
    k     kernel size of the spatial convolution (`3.5.7`: one for each third of the channels)
    s     stride
    c     channels at the output
    e     expansion ratio
    se    width of squeeze-and-excitation over that of the input
    a, p  kernel sizes of the expanding and the projecting convolution; with uir, of the depthwise one at either end
    fc    channels that an er multiplies by its ratio, where they are not those of its input
    n     activation: re ReLU, r6 ReLU6, hs hard-swish, sw swish, mi Mish
    gs    channels in a group of the spatial convolution
    cc    experts of conditional convolutions
    d     1 folds 2x2 pixels into channels until the next stride; with attention, width of a head
    h, v  heads of attention, and stride of its keys and values
    skip, noskip  ask for a skip (cn), or do without
"""

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from timm.layers import CondConv2d, LayerType, get_act_layer, get_attn, get_condconv_initializer, make_divisible
from timm.layers._device import building_on
from timm.layers._names import unknown_name

from ._efficientnet_blocks import (
    CondConvResidual,
    ConvBnAct,
    DepthwiseSeparableConv,
    EdgeResidual,
    InvertedResidual,
    MobileAttention,
    UniversalInvertedResidual,
)
from ._manipulate import CheckpointedSequential

__all__ = [
    'BN_EPS_TF_DEFAULT',
    'BN_MOMENTUM_TF_DEFAULT',
    'BlockArgs',
    'EfficientNetBuilder',
    'decode_arch_def',
    'efficientnet_init_weights',
    'get_bn_args_tf',
    'resolve_act_layer',
    'resolve_bn_args',
    'round_channels',
]

BlockArgs = list[list[dict[str, Any]]]

# TensorFlow counts what a running mean keeps, torch what it takes in.
BN_MOMENTUM_TF_DEFAULT = 1 - 0.99
BN_EPS_TF_DEFAULT = 1e-3

_ACTIVATIONS = {'re': 'relu', 'r6': 'relu6', 'hs': 'hard_swish', 'sw': 'swish', 'mi': 'mish'}
_OPTIONS = ('r', 'k', 's', 'c', 'e', 'se', 'a', 'p', 'fc', 'gs', 'cc', 'd', 'h', 'v')
_KINDS: dict[str, type[nn.Module]] = {
    'ds': DepthwiseSeparableConv,
    'dsa': DepthwiseSeparableConv,
    'ir': InvertedResidual,
    'er': EdgeResidual,
    'cn': ConvBnAct,
    'uir': UniversalInvertedResidual,
    'mqa': MobileAttention,
    'mha': MobileAttention,
}


def get_bn_args_tf() -> dict[str, float]:
    """Momentum and epsilon of TensorFlow's batch norm."""
    return {'momentum': BN_MOMENTUM_TF_DEFAULT, 'eps': BN_EPS_TF_DEFAULT}


def resolve_bn_args(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Take `bn_momentum` and `bn_eps` off `kwargs`: the arguments of a batch norm that were given."""
    given = {'momentum': kwargs.pop('bn_momentum', None), 'eps': kwargs.pop('bn_eps', None)}
    return {name: value for name, value in given.items() if value is not None}


def resolve_act_layer(kwargs: dict[str, Any], default: LayerType = 'relu') -> Any:
    """Take `act_layer` off `kwargs`: the class it names, or that of `default` where it is missing."""
    return get_act_layer(kwargs.pop('act_layer', default))


def round_channels(
    channels: float,
    multiplier: float = 1.0,
    divisor: int = 8,
    channel_min: int | None = None,
    round_limit: float = 0.9,
) -> int:
    """`channels` times `multiplier`, as a multiple of `divisor` (see `make_divisible`); 0 or 1.0 may only round."""
    if not multiplier:
        return channels  # pyright: ignore[reportReturnType]
    return make_divisible(channels * multiplier, divisor, channel_min, round_limit=round_limit)


class _Options:
    """The letters of a block string with their values; what is asked for and missing is an error."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.kind, *parts = text.split('_')
        self.activation: str | None = None
        self.skip: bool | None = None
        self.values: dict[str, str] = {}
        if self.kind not in _KINDS:
            raise unknown_name('kind of block', self.kind, sorted(_KINDS))
        for part in parts:
            self._read(part)

    def _read(self, part: str) -> None:
        if part in ('skip', 'noskip'):
            self.skip = part == 'skip'
        elif part.startswith('n'):
            if part[1:] not in _ACTIVATIONS:
                raise unknown_name(f"activation in '{self.text}'", part[1:], sorted(_ACTIVATIONS))
            self.activation = _ACTIVATIONS[part[1:]]
        else:
            match = re.fullmatch(r'([a-z]+)(\d.*)', part)
            if match is None or match[1] not in _OPTIONS:
                raise unknown_name(f"option in '{self.text}'", part, _OPTIONS)
            self.values[match[1]] = match[2]

    def __getitem__(self, letter: str) -> str:
        if letter not in self.values:
            raise ValueError(f"'{self.text}' lacks '{letter}': blocks of kind '{self.kind}' need one.")
        return self.values[letter]

    def integer(self, letter: str, default: int = 0) -> int:
        """A whole number."""
        return int(self.values.get(letter, default))

    def number(self, letter: str, default: float = 0.0) -> float:
        """A number."""
        return float(self.values.get(letter, default))

    def kernel(self, letter: str, default: str = '1') -> int | list[int]:
        """A kernel size, or a list of several."""
        sizes = [int(size) for size in self.values.get(letter, default).split('.')]
        return sizes[0] if len(sizes) == 1 else sizes


def _decode_block(text: str) -> tuple[dict[str, Any], int]:
    """Arguments of a block, still with its kind as `block_type`, and how often it comes."""
    options = _Options(text)
    kind = options.kind
    args: dict[str, Any] = {
        'block_type': kind,
        'out_chs': int(options['c']),
        'stride': int(options['s']),
        'act_layer': get_act_layer(options.activation) if options.activation else None,
    }
    args.update(_DECODERS[kind](options))
    if 'gs' in options.values:
        args['group_size'] = options.integer('gs')
    return args, int(options['r'])


def _decode_ds(options: _Options) -> dict[str, Any]:
    options['k']
    return {
        'dw_kernel_size': options.kernel('k'),
        'pw_kernel_size': options.kernel('p'),
        'se_ratio': options.number('se'),
        'pw_act': options.kind == 'dsa',
        'noskip': options.kind == 'dsa' or options.skip is False,
        's2d': options.integer('d') > 0,
    }


def _decode_ir(options: _Options) -> dict[str, Any]:
    options['k']
    args = {
        'dw_kernel_size': options.kernel('k'),
        'exp_kernel_size': options.kernel('a'),
        'pw_kernel_size': options.kernel('p'),
        'exp_ratio': float(options['e']),
        'se_ratio': options.number('se'),
        'noskip': options.skip is False,
        's2d': options.integer('d') > 0,
    }
    return {**args, 'num_experts': options.integer('cc')} if options.integer('cc') else args


def _decode_er(options: _Options) -> dict[str, Any]:
    options['k']
    return {
        'exp_kernel_size': options.kernel('k'),
        'pw_kernel_size': options.kernel('p'),
        'exp_ratio': float(options['e']),
        'force_in_chs': options.integer('fc'),
        'se_ratio': options.number('se'),
        'noskip': options.skip is False,
    }


def _decode_cn(options: _Options) -> dict[str, Any]:
    return {'kernel_size': int(options['k']), 'skip': options.skip is True}


def _decode_uir(options: _Options) -> dict[str, Any]:
    options['k']
    return {
        'dw_kernel_size_start': options.kernel('a', '0'),
        'dw_kernel_size_mid': options.kernel('k'),
        'dw_kernel_size_end': options.kernel('p', '0'),
        'exp_ratio': float(options['e']),
        'se_ratio': options.number('se'),
        'noskip': options.skip is False,
    }


def _decode_attention(options: _Options) -> dict[str, Any]:
    options['k']
    return {
        'dw_kernel_size': options.kernel('k'),
        'num_heads': int(options['h']),
        'key_dim': int(options['d']),
        'value_dim': int(options['d']),
        'kv_stride': options.integer('v', 1),
        'noskip': options.skip is False,
    }


_DECODERS: dict[str, Callable[[_Options], dict[str, Any]]] = {
    'ds': _decode_ds,
    'dsa': _decode_ds,
    'ir': _decode_ir,
    'er': _decode_er,
    'cn': _decode_cn,
    'uir': _decode_uir,
    'mqa': _decode_attention,
    'mha': _decode_attention,
}


def _scaled_repeats(repeats: list[int], multiplier: float, depth_trunc: str) -> list[int]:
    """Repeats of a stage's strings for a depth that is scaled as a whole, shared out from the last to the first."""
    left = sum(repeats)
    scaled = max(1, round(left * multiplier)) if depth_trunc == 'round' else math.ceil(left * multiplier)
    shares: list[int] = []
    for repeat in reversed(repeats):
        share = max(1, round(repeat / left * scaled))
        shares.insert(0, share)
        left -= repeat
        scaled -= share
    return shares


def decode_arch_def(
    arch_def: Sequence[Sequence[str]],
    depth_multiplier: float | Sequence[float] = 1.0,
    depth_trunc: str = 'ceil',
    experts_multiplier: int = 1,
    fix_first_last: bool = False,
    group_size: int | None = None,
) -> BlockArgs:
    """Arguments of every block of every stage, from block strings (EfficientNet's compound scaling, section 3.3).

    Args:
        arch_def: A list of block strings for each stage.
        depth_multiplier: Of the number of blocks in a stage; for all stages or one each.
        depth_trunc: How a depth becomes a whole number: 'ceil' up, 'round' to the nearest.
        experts_multiplier: Of the experts that a string asks for.
        fix_first_last: Do not scale the depth of the first and the last stage.
        group_size: Group size of blocks whose string has none.

    Raises:
        ValueError: A string or `depth_trunc` is not understood.
    """
    if depth_trunc not in ('ceil', 'round'):
        raise ValueError(f"depth_trunc must be 'ceil' or 'round', got {depth_trunc!r}")
    if isinstance(depth_multiplier, (int, float)):
        multipliers: list[float] = [depth_multiplier] * len(arch_def)
    else:
        multipliers = list(depth_multiplier)
    if fix_first_last:
        multipliers[0] = multipliers[-1] = 1.0
    stages: BlockArgs = []
    for strings, multiplier in zip(arch_def, multipliers, strict=True):
        if isinstance(strings, str):
            raise ValueError(f"A stage is a list of block strings, got the string '{strings}': put it in a list.")
        decoded = [_decode_block(text) for text in strings]
        stage: list[dict[str, Any]] = []
        for (args, _), share in zip(
            decoded, _scaled_repeats([repeat for _, repeat in decoded], multiplier, depth_trunc), strict=True
        ):
            if group_size is not None:
                args.setdefault('group_size', group_size)
            if 'num_experts' in args:
                args['num_experts'] *= experts_multiplier
            stage.extend(dict(args) for _ in range(share))
        stages.append(stage)
    return stages


class _Stage(NamedTuple):
    """Blocks with stride, dilation and folding as they come out; stride of the map; does the stage reduce it."""

    blocks: list[dict[str, Any]]
    reduction: int
    reduces: bool


def _plan_stages(model_block_args: BlockArgs, output_stride: int) -> Iterator[_Stage]:
    """Follow resolution through the network, from a stem of stride 2.

    A stride that would go beyond `output_stride` dilates all later convolutions instead (arXiv:1705.09914). Where a
    block folds pixels into channels (`s2d` 1), the blocks up to the next stride work at that resolution and at four
    times their width (`s2d` 2), and that stride, which is done already, is left out (EfficientNet-X, 2102.05610).
    """
    reduction, dilation, folded = 2, 1, 0
    for stage in model_block_args:
        blocks: list[dict[str, Any]] = []
        reduces = False
        for i, args in enumerate(stage):
            if args['stride'] not in (1, 2):
                raise ValueError(f'stride of a block must be 1 or 2, got {args["stride"]}')
            stride = args['stride'] if i == 0 else 1
            if folded and stride > 1:
                folded, stride = 0, 1
                if 'exp_ratio' in args:  # of a fourth of the width at its entrance
                    args = {**args, 'exp_ratio': args['exp_ratio'] / 4}
            elif folded:
                folded = 2
            elif args.get('s2d'):
                assert stride == 1, 'a block that folds pixels has no other stride'
                folded = 1
                reduction *= 2
                reduces = True
            next_dilation = dilation
            if stride > 1:
                reduces = True
                if reduction * stride > output_stride:
                    next_dilation, stride = dilation * stride, 1
                else:
                    reduction *= stride
            blocks.append({**args, 'stride': stride, 'dilation': dilation, 's2d': folded})
            dilation = next_dilation
        yield _Stage(blocks, reduction, reduces)


@functools.lru_cache(maxsize=64)
def _takes_ratio(se_layer: Callable[..., nn.Module]) -> bool:
    return 'rd_ratio' in inspect.signature(se_layer).parameters


class EfficientNetBuilder:
    """Builds the stages that decoded block arguments describe; `widths` and `features` tell of their ends.

    Args:
        output_stride: Greatest stride of a map against the image.
        round_chs_fn: Scales and rounds the widths that the block arguments give.
        se_from_exp: Squeeze-and-excitation ratios refer to the width in the middle of a block, not to its input.
        se_layer: Channel attention: a name or class.
        drop_path_rate: Chance to skip the last block; it grows to that linearly from 0 at the first.
        layer_scale_init_value: Of the blocks that have a layer scale; None for none.
        feature_location: Where taps lie: 'bottleneck' or '' at the end of a stage, 'expansion' at the widest map of
            its last block.

    Raises:
        ValueError: `feature_location` is another word.
    """

    def __init__(
        self,
        output_stride: int = 32,
        pad_type: str = '',
        round_chs_fn: Callable[[float], int] = round_channels,
        se_from_exp: bool = False,
        act_layer: LayerType | None = None,
        norm_layer: LayerType | None = None,
        aa_layer: LayerType | None = None,
        se_layer: LayerType | None = None,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = None,
        feature_location: str = '',
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if feature_location not in ('bottleneck', 'expansion', ''):
            raise ValueError(f"feature_location must be 'bottleneck', 'expansion' or '', got {feature_location!r}")
        self.output_stride = output_stride
        self.round_chs_fn = round_chs_fn
        self.se_from_exp = se_from_exp
        self.se_layer = get_attn(se_layer)
        self.drop_path_rate = drop_path_rate
        self.layer_scale_init_value = layer_scale_init_value
        self.feature_location = feature_location
        self.device = device
        self.dtype = dtype
        shared = {'pad_type': pad_type, 'act_layer': act_layer, 'norm_layer': norm_layer, 'aa_layer': aa_layer}
        self.shared = {name: value for name, value in shared.items() if value is not None}
        self.in_chs = 0
        self.widths: list[int] = []
        self.features: list[dict[str, Any]] = []

    def __call__(self, in_chs: int, model_block_args: BlockArgs) -> list[nn.Sequential]:
        """The stages for an input of `in_chs` channels at half the image's resolution.

        Raises:
            ValueError: There are no stages, or a stride is neither 1 nor 2.
        """
        if not model_block_args:
            raise ValueError('model_block_args is empty: a network needs at least one stage.')
        self.in_chs = in_chs
        plan = list(_plan_stages(model_block_args, self.output_stride))
        self.widths = []
        self.features = []
        if plan[0].reduces:
            self.features.append({'module': 'bn1', 'num_chs': in_chs, 'stage': 0, 'reduction': 2})
        num_blocks = sum(len(stage.blocks) for stage in plan)
        index = 0
        stages: list[nn.Sequential] = []
        with building_on(self.device, self.dtype):
            for i, stage in enumerate(plan):
                blocks: list[Any] = []
                for args in stage.blocks:
                    blocks.append(self._make_block(args, self.drop_path_rate * index / num_blocks))
                    index += 1
                stages.append(CheckpointedSequential(*blocks))
                self.widths.append(self.in_chs)
                if i + 1 == len(plan) or plan[i + 1].reduces:
                    info = blocks[-1].feature_info(self.feature_location)
                    module = f'blocks.{i}.{len(blocks) - 1}.{info["module"]}' if info['module'] else f'blocks.{i}'
                    self.features.append({'stage': i + 1, 'reduction': stage.reduction, **info, 'module': module})
        return stages

    def _make_block(self, args: dict[str, Any], drop_path_rate: float) -> nn.Module:
        """One block; its output becomes the input of the next."""
        args = {**self.shared, **{name: value for name, value in args.items() if value is not None}}
        kind = args.pop('block_type')
        s2d = args.pop('s2d')
        args['in_chs'] = self.in_chs
        args['out_chs'] = self.round_chs_fn(args['out_chs']) * (4 if s2d else 1)
        args['drop_path_rate'] = drop_path_rate
        if args.get('force_in_chs'):
            args['force_in_chs'] = self.round_chs_fn(args['force_in_chs'])
        block = _KINDS[kind]
        if kind == 'ir' and args.get('num_experts'):
            block = CondConvResidual
        elif kind in ('ds', 'dsa', 'ir'):
            args['s2d'] = s2d
        elif kind in ('uir', 'mqa', 'mha'):
            args['layer_scale_init_value'] = self.layer_scale_init_value
            if kind != 'uir':
                args['use_multi_query'] = kind == 'mqa'
        se_ratio = args.pop('se_ratio', 0.0)
        if se_ratio and self.se_layer is not None:
            if not self.se_from_exp:
                se_ratio /= args.get('exp_ratio', 1.0) * (4 if s2d == 1 else 1)
            ratio = {'rd_ratio': se_ratio} if _takes_ratio(self.se_layer) else {}
            args['se_layer'] = functools.partial(self.se_layer, **ratio)
        self.in_chs = args['out_chs']
        return block(**args)


def _init_weight_goog(m: nn.Module, n: str = '', fix_group_fanout: bool = True) -> None:
    """First weights of a layer as in TensorFlow's MobileNets: variance scaled by the fan-out.

    Args:
        n: Name of the layer; one that ends in 'routing_fn' is scaled by the fan-in too.
        fix_group_fanout: Count the fan-out of one group of a grouped convolution rather than of all.
    """
    if isinstance(m, (nn.Conv2d, CondConv2d)):
        fan_out = m.kernel_size[0] * m.kernel_size[1] * m.out_channels
        if fix_group_fanout:
            fan_out //= m.groups
        init: Callable[[torch.Tensor], Any] = functools.partial(nn.init.normal_, mean=0.0, std=math.sqrt(2.0 / fan_out))
        if isinstance(m, CondConv2d):
            init = get_condconv_initializer(init, m.num_experts, m.weight_shape)
        init(m.weight)
        if m.bias is not None:
            nn.init.zeros_(m.bias)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.ones_(m.weight)
        nn.init.zeros_(m.bias)
    elif isinstance(m, nn.Linear):
        fan_in = m.in_features if n.endswith('routing_fn') else 0
        bound = 1.0 / math.sqrt(fan_in + m.out_features)
        nn.init.uniform_(m.weight, -bound, bound)
        nn.init.zeros_(m.bias)


def efficientnet_init_weights(model: nn.Module, init_fn: Callable[[nn.Module, str], object] | None = None) -> None:
    """First weights of every layer by `init_fn`, TensorFlow's scheme unless given; then layers that know better."""
    init_fn = init_fn or _init_weight_goog
    modules = list(model.named_modules())
    for name, module in modules:
        init_fn(module, name)
    for _, module in modules[1:]:
        own: Any = getattr(type(module), 'init_weights', None)
        if own is not None:
            own(module)
