"""HRNet: its configurations, variants and published weights. The network is timm/models/hrnet.py."""

from typing import Any

from ._schema import Family, Variant, Weights

WEIGHTS = Weights(
    hf_hub_id='timm/',
    interpolation='bilinear',
    pool_size=(7, 7),
    first_conv='conv1',
    classifier='classifier',
    license='mit',
)
GLUON = WEIGHTS.but(interpolation='bicubic', license='apache-2.0')
SSLD = WEIGHTS.but(test_input_size=(3, 288, 288), crop_pct=0.95, test_crop_pct=1.0)


def config(
    width: int,
    modules: tuple[int, int, int] = (1, 4, 3),
    blocks: int = 4,
    stage1: tuple[int, int] = (4, 64),
) -> dict[str, Any]:
    """Stages of HRNet-W`width` (table 1): stage n has n branches, of `width` channels times 1, 2, 4 and 8.

    Args:
        width: Channels of the branch of highest resolution.
        modules: Multi-resolution modules of stages 2, 3 and 4.
        blocks: Residual blocks of a branch in a module.
        stage1: Blocks and channels of the only branch of stage 1.
    """
    stages = {'stage1': _stage(1, 1, stage1[0], stage1[1], block_type='BOTTLENECK')}
    for number, num_modules in enumerate(modules, start=2):
        stages[f'stage{number}'] = _stage(num_modules, number, blocks, width)
    return {'stem_width': 64, **stages}


def _stage(num_modules: int, num_branches: int, blocks: int, width: int, block_type: str = 'BASIC') -> dict[str, Any]:
    return dict(
        num_modules=num_modules,
        num_branches=num_branches,
        block_type=block_type,
        num_blocks=(blocks,) * num_branches,
        num_channels=tuple(width * 2**branch for branch in range(num_branches)),
        fuse_method='SUM',
    )


# fmt: off
FAMILY = Family(
    network='HighResolutionNet',
    papers=(
        'Deep High-Resolution Representation Learning for Visual Recognition, Wang et al., 2019, arXiv:1908.07919',
        'High-Resolution Representations for Labeling Pixels and Regions, Sun et al., 2019, arXiv:1904.04514',
        'Beyond Self-Supervision: A Simple Yet Effective Network Distillation Alternative to Improve Backbones, Cui et al., 2021, arXiv:2103.05959 (SSLD)',
    ),
    base=WEIGHTS,
    feature_class='HighResolutionNetFeatures',
    ancestors=('resnet',),
    variants=(
        Variant('hrnet_w18_small', dict(cfg=config(16, modules=(1, 1, 1), blocks=2, stage1=(1, 32))), {
            'gluon_in1k': GLUON,
            'ms_in1k': WEIGHTS,
        }),
        Variant('hrnet_w18_small_v2', dict(cfg=config(18, modules=(1, 3, 2), blocks=2, stage1=(2, 64))), {
            'gluon_in1k': GLUON,
            'ms_in1k': WEIGHTS,
        }),
        Variant('hrnet_w18', dict(cfg=config(18)), {
            'ms_aug_in1k': WEIGHTS.but(crop_pct=0.95),
            'ms_in1k': WEIGHTS,
        }),
        Variant('hrnet_w30', dict(cfg=config(30)), {'ms_in1k': WEIGHTS}),
        Variant('hrnet_w32', dict(cfg=config(32)), {'ms_in1k': WEIGHTS}),
        Variant('hrnet_w40', dict(cfg=config(40)), {'ms_in1k': WEIGHTS}),
        Variant('hrnet_w44', dict(cfg=config(44)), {'ms_in1k': WEIGHTS}),
        Variant('hrnet_w48', dict(cfg=config(48)), {'ms_in1k': WEIGHTS}),
        Variant('hrnet_w64', dict(cfg=config(64)), {'ms_in1k': WEIGHTS}),
        Variant('hrnet_w18_ssld', dict(cfg=config(18), head_conv_bias=False), {'paddle_in1k': SSLD}),
        Variant('hrnet_w48_ssld', dict(cfg=config(48), head_conv_bias=False), {'paddle_in1k': SSLD}),
    ),
)
