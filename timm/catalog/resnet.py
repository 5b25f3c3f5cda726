"""ResNet, ResNeXt, wide, squeeze-and-excitation and kindred residual networks: variants and published weights.

The network is timm/models/resnet.py. In names: `c`, `d`, `s`, `t` stand for stems of three convolutions (`d`, `t` with
averaging shortcuts too), `eca` and `se` for channel attention, `aa` and `blur` for filters before downsampling.
"""

from ._constants import IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD
from ._schema import Family, Ref, Variant, Weights

RW = 'https://github.com/rwightman/pytorch-image-models/releases/download'
HF = 'https://github.com/huggingface/pytorch-image-models/releases/download'
VISION = 'https://download.pytorch.org/models'
META = 'https://dl.fbaipublicfiles.com/semiweaksupervision/model_files'
GLUON_URL = 'https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1'
TIMM_ORIGIN = 'https://github.com/huggingface/pytorch-image-models'

BASE = Weights(
    hf_hub_id='timm/',
    interpolation='bilinear',
    pool_size=(7, 7),
    first_conv='conv1',
    classifier='fc',
    license='apache-2.0',
)
WEIGHTS = BASE.but(interpolation='bicubic')
TIMM = WEIGHTS.but(test_input_size=(3, 288, 288), test_crop_pct=0.95, origin_url=TIMM_ORIGIN)
TIMM_DEEP = TIMM.but(first_conv='conv1.0')
RA2_256 = TIMM_DEEP.but(
    input_size=(3, 256, 256),
    test_input_size=(3, 320, 320),
    crop_pct=0.95,
    test_crop_pct=1.0,
    pool_size=(8, 8),
)
RSB = TIMM.but(crop_pct=0.95, test_crop_pct=1.0, paper_ids='arXiv:2110.00476')
RSB_DEEP = RSB.but(first_conv='conv1.0')
RSB_A3 = RSB.but(input_size=(3, 160, 160), test_input_size=(3, 224, 224), test_crop_pct=0.95, pool_size=(5, 5))
RSB_R4 = RSB.but(crop_pct=0.9, mean=IMAGENET_INCEPTION_MEAN, std=IMAGENET_INCEPTION_STD)
IN12K = TIMM_DEEP.but(crop_pct=0.95, test_crop_pct=1.0)
MIIL = TIMM_DEEP.but(origin_url=None)
C3_176 = TIMM_DEEP.but(input_size=(3, 176, 176), test_input_size=(3, 224, 224), pool_size=(6, 6))
TV = BASE.but(license='bsd-3-clause', origin_url='https://github.com/pytorch/vision')
TV2 = TV.but(input_size=(3, 176, 176), test_input_size=(3, 224, 224), test_crop_pct=0.965, pool_size=(6, 6))
GLUON = WEIGHTS.but(origin_url='https://cv.gluon.ai/model_zoo/classification.html')
GLUON_DEEP = GLUON.but(first_conv='conv1.0')
SEMI = BASE.but(
    license='cc-by-nc-4.0',
    origin_url='https://github.com/facebookresearch/semi-supervised-ImageNet1K-models',
)
WSL = BASE.but(license='cc-by-nc-4.0', origin_url='https://github.com/facebookresearch/WSL-Images')
DEEP = WEIGHTS.but(first_conv='conv1.0')
UNTRAINED = TIMM.but(hf_hub_id=None)
UNTRAINED_DEEP = UNTRAINED.but(first_conv='conv1.0')

BASIC = Ref('BasicBlock')
BOTTLENECK = Ref('Bottleneck')

RS_NET = dict(
    stem_width=32,
    stem_type='deep',
    replace_stem_pool=True,
    avg_down=True,
    block_args=dict(attn_layer=Ref('layers.SEModule', rd_ratio=0.25)),
)
D = dict(stem_width=32, stem_type='deep', avg_down=True)
T = dict(stem_width=32, stem_type='deep_tiered', avg_down=True)
C = dict(stem_width=32, stem_type='deep')
S = dict(stem_width=64, stem_type='deep')
X32_4 = dict(cardinality=32, base_width=4)
X32_8 = dict(cardinality=32, base_width=8)
X64_4 = dict(cardinality=64, base_width=4)
ECA = dict(block_args=dict(attn_layer='eca'))
SE = dict(block_args=dict(attn_layer='se'))
BLUR = dict(aa_layer=Ref('layers.BlurPool2d'))
AA = dict(aa_layer=Ref('nn.AvgPool2d'))

# fmt: off
FAMILY = Family(
    network='ResNet',
    papers=(
        'Deep Residual Learning for Image Recognition, He et al., 2015, arXiv:1512.03385',
        'Wide Residual Networks, Zagoruyko and Komodakis, 2016, arXiv:1605.07146',
        'Aggregated Residual Transformations for Deep Neural Networks, Xie et al., 2016, arXiv:1611.05431 (ResNeXt)',
        'Squeeze-and-Excitation Networks, Hu et al., 2017, arXiv:1709.01507',
        'Exploring the Limits of Weakly Supervised Pretraining, Mahajan et al., 2018, arXiv:1805.00932 (fb_wsl weights)',
        'Bag of Tricks for Image Classification with Convolutional Neural Networks, He et al., 2018, arXiv:1812.01187 (c, d, s; gluon weights)',
        'Making Convolutional Networks Shift-Invariant Again, Zhang, 2019, arXiv:1904.11486 (blur)',
        'Billion-scale semi-supervised learning for image classification, Yalniz et al., 2019, arXiv:1905.00546 (fb_ssl, fb_swsl weights)',
        'ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks, Wang et al., 2019, arXiv:1910.03151',
        'Knapsack Pruning with Inner Distillation, Aflalo et al., 2020, arXiv:2002.08258 (ecaresnetlight, pruned)',
        'Revisiting ResNets: Improved Training and Scaling Strategies, Bello et al., 2021, arXiv:2103.07579 (resnetrs)',
        'ResNet strikes back: An improved training procedure in timm, Wightman et al., 2021, arXiv:2110.00476 (a1, a1h, a2, a3, ah, b, c, d weights)',
        'Bamboo: Building Mega-Scale Vision Dataset Continually with Human-Machine Synergy, Zhang et al., 2022, arXiv:2203.07845',
    ),
    base=BASE,
    exports=('BasicBlock', 'Bottleneck'),
    variants=(
        Variant('resnet10t', dict(block=BASIC, layers=(1, 1, 1, 1), **T), {
            'c3_in1k': C3_176.but(url=f'{RW}/v0.1-rsb-weights/resnet10t_176_c3-f3215ab1.pth'),
        }),
        Variant('resnet14t', dict(block=BOTTLENECK, layers=(1, 1, 1, 1), **T), {
            'c3_in1k': C3_176.but(url=f'{RW}/v0.1-rsb-weights/resnet14t_176_c3-c4ed2c37.pth'),
        }),
        Variant('resnet18', dict(block=BASIC, layers=(2, 2, 2, 2)), {
            'a1_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet18_a1_0-d63eafa0.pth'),
            'a2_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet18_a2_0-b61bd467.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/resnet18_a3_0-40c531c8.pth'),
            'tv_in1k': TV.but(url=f'{VISION}/resnet18-f37072fd.pth'),
            'fb_ssl_yfcc100m_ft_in1k': SEMI.but(url=f'{META}/semi_supervised_resnet18-d92f0530.pth'),
            'fb_swsl_ig1b_ft_in1k': SEMI.but(url=f'{META}/semi_weakly_supervised_resnet18-118f1556.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_resnet18_v1b-0757602b.pth'),
        }),
        Variant('resnet18d', dict(block=BASIC, layers=(2, 2, 2, 2), **D), {
            'ra2_in1k': TIMM_DEEP.but(url=f'{RW}/v0.1-weights/resnet18d_ra2-48a79e06.pth'),
            'ra4_e3600_r224_in1k': RSB_R4.but(first_conv='conv1.0'),
        }),
        Variant('resnet26', dict(block=BOTTLENECK, layers=(2, 2, 2, 2)), {
            'bt_in1k': TIMM.but(url=f'{RW}/v0.1-weights/resnet26-9aa10e23.pth'),
        }),
        Variant('resnet26d', dict(block=BOTTLENECK, layers=(2, 2, 2, 2), **D), {
            'bt_in1k': TIMM_DEEP.but(url=f'{RW}/v0.1-weights/resnet26d-69e92c46.pth'),
        }),
        Variant('resnet26t', dict(block=BOTTLENECK, layers=(2, 2, 2, 2), **T), {
            'ra2_in1k': RA2_256.but(url=f'{RW}/v0.1-attn-weights/resnet26t_256_ra2-6f6fa748.pth', crop_pct=0.94),
        }),
        Variant('resnet34', dict(block=BASIC, layers=(3, 4, 6, 3)), {
            'a1_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet34_a1_0-46f8f793.pth'),
            'a2_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet34_a2_0-82d47d71.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/resnet34_a3_0-a20cabb6.pth'),
            'bt_in1k': TIMM.but(url=f'{RW}/v0.1-weights/resnet34-43635321.pth'),
            'ra4_e3600_r224_in1k': RSB_R4,
            'tv_in1k': TV.but(url=f'{VISION}/resnet34-b627a593.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_resnet34_v1b-c6d82d59.pth'),
        }),
        Variant('resnet34d', dict(block=BASIC, layers=(3, 4, 6, 3), **D), {
            'ra2_in1k': TIMM_DEEP.but(url=f'{RW}/v0.1-weights/resnet34d_ra2-f8dcfcaf.pth'),
        }),
        Variant('resnet50', dict(block=BOTTLENECK, layers=(3, 4, 6, 3)), {
            'a1_in1k': RSB.but(url=f'{RW}/v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth'),
            'a1h_in1k': RSB.but(
                url=f'{HF}/v0.1-rsb-weights/resnet50_a1h2_176-001a1197.pth', input_size=(3, 176, 176),
                test_input_size=(3, 224, 224), crop_pct=0.9, pool_size=(6, 6),
            ),
            'a2_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet50_a2_0-a2746f79.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/resnet50_a3_0-59cae1ef.pth'),
            'b1k_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet50_b1k-532a802a.pth'),
            'b2k_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet50_b2k-1ba180c1.pth'),
            'c1_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet50_c1-5ba5e060.pth'),
            'c2_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet50_c2-d01e05b2.pth'),
            'd_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet50_d-f39db8af.pth'),
            'ram_in1k': TIMM.but(url=f'{HF}/v0.1-weights/resnet50_ram-a26f946b.pth'),
            'am_in1k': WEIGHTS.but(url=f'{HF}/v0.1-weights/resnet50_am-6c502b37.pth'),
            'ra_in1k': TIMM.but(url=f'{HF}/v0.1-weights/resnet50_ra-85ebb6e5.pth'),
            'bt_in1k': TIMM.but(url=f'{HF}/v0.1-weights/rw_resnet50-86acaeed.pth'),
            'tv_in1k': TV.but(url=f'{VISION}/resnet50-0676ba61.pth'),
            'tv2_in1k': TV2.but(url=f'{VISION}/resnet50-11ad3fa6.pth'),
            'bamboo': WEIGHTS.but(
                crop_pct=1.0, num_classes=0, license=None, origin_url='https://github.com/ZhangYuanhan-AI/Bamboo',
                paper_ids='arXiv:2203.07845',
            ),
            'fb_ssl_yfcc100m_ft_in1k': SEMI.but(url=f'{META}/semi_supervised_resnet50-08389792.pth'),
            'fb_swsl_ig1b_ft_in1k': SEMI.but(url=f'{META}/semi_weakly_supervised_resnet50-16a12f1b.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_resnet50_v1b-0ebe02e2.pth'),
        }),
        Variant('resnet50c', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **C), {
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet50_v1c-48092f55.pth'),
        }),
        Variant('resnet50d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **D), {
            'ra2_in1k': TIMM_DEEP.but(url=f'{RW}/v0.1-weights/resnet50d_ra2-464e36ba.pth'),
            'ra4_e3600_r224_in1k': RSB_DEEP.but(mean=IMAGENET_INCEPTION_MEAN, std=IMAGENET_INCEPTION_STD),
            'a1_in1k': RSB_DEEP.but(url=f'{HF}/v0.1-rsb-weights/resnet50d_a1_0-e20cff14.pth'),
            'a2_in1k': RSB_DEEP.but(url=f'{HF}/v0.1-rsb-weights/resnet50d_a2_0-a3adc64d.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/resnet50d_a3_0-403fdfad.pth', first_conv='conv1.0'),
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet50_v1d-818a1b1b.pth'),
        }),
        Variant('resnet50s', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **S), {
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet50_v1s-1762acc0.pth'),
        }),
        Variant('resnet50t', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **T), {'untrained': UNTRAINED_DEEP}),
        Variant('resnet101', dict(block=BOTTLENECK, layers=(3, 4, 23, 3)), {
            'a1h_in1k': RSB.but(url=f'{RW}/v0.1-rsb-weights/resnet101_a1h-36d3f2aa.pth'),
            'a1_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet101_a1_0-cdcb52a9.pth'),
            'a2_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet101_a2_0-6edb36c7.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/resnet101_a3_0-1db14157.pth'),
            'tv_in1k': TV.but(url=f'{VISION}/resnet101-63fe2227.pth'),
            'tv2_in1k': TV2.but(url=f'{VISION}/resnet101-cd907fc2.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_resnet101_v1b-3b017079.pth'),
        }),
        Variant('resnet101c', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **C), {
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet101_v1c-1f26822a.pth'),
        }),
        Variant('resnet101d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **D), {
            'ra2_in1k': RA2_256.but(url=f'{RW}/v0.1-weights/resnet101d_ra2-2803ffab.pth'),
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet101_v1d-0f9c8644.pth'),
        }),
        Variant('resnet101s', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **S), {
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet101_v1s-60fe0cc1.pth'),
        }),
        Variant('resnet152', dict(block=BOTTLENECK, layers=(3, 8, 36, 3)), {
            'a1h_in1k': RSB.but(url=f'{RW}/v0.1-rsb-weights/resnet152_a1h-dc400468.pth'),
            'a1_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet152_a1_0-2eee8a7a.pth'),
            'a2_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnet152_a2_0-b4c6978f.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/resnet152_a3_0-134d4688.pth'),
            'tv_in1k': TV.but(url=f'{VISION}/resnet152-394f9c45.pth'),
            'tv2_in1k': TV2.but(url=f'{VISION}/resnet152-f82ba261.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_resnet152_v1b-c1edb0dd.pth'),
        }),
        Variant('resnet152c', dict(block=BOTTLENECK, layers=(3, 8, 36, 3), **C), {
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet152_v1c-a3bb0b98.pth'),
        }),
        Variant('resnet152d', dict(block=BOTTLENECK, layers=(3, 8, 36, 3), **D), {
            'ra2_in1k': RA2_256.but(url=f'{RW}/v0.1-weights/resnet152d_ra2-5cac0439.pth'),
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet152_v1d-bd354e12.pth'),
        }),
        Variant('resnet152s', dict(block=BOTTLENECK, layers=(3, 8, 36, 3), **S), {
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_resnet152_v1s-dcc41b81.pth'),
        }),
        Variant('resnet200', dict(block=BOTTLENECK, layers=(3, 24, 36, 3)), {'untrained': UNTRAINED}),
        Variant('resnet200d', dict(block=BOTTLENECK, layers=(3, 24, 36, 3), **D), {
            'ra2_in1k': RA2_256.but(url=f'{RW}/v0.1-weights/resnet200d_ra2-bdba9bf9.pth'),
        }),
        Variant('wide_resnet50_2', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), base_width=128), {
            'racm_in1k': TIMM.but(url=f'{RW}/v0.1-weights/wide_resnet50_racm-8234f177.pth'),
            'tv_in1k': TV.but(url=f'{VISION}/wide_resnet50_2-95faca4d.pth'),
            'tv2_in1k': TV2.but(url=f'{VISION}/wide_resnet50_2-9ba9bcbe.pth'),
        }),
        Variant('wide_resnet101_2', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), base_width=128), {
            'tv_in1k': TV.but(url=f'{VISION}/wide_resnet101_2-32ee1156.pth'),
            'tv2_in1k': TV2.but(url=f'{VISION}/wide_resnet101_2-d733dc28.pth'),
        }),
        Variant('resnet50_gn', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), norm_layer='groupnorm'), {
            'a1h_in1k': TIMM.but(url=f'{RW}/v0.1-rsb-weights/resnet50_gn_a1h2-8fe6c4d0.pth', crop_pct=0.94),
        }),
        # ResNeXt
        Variant('resnext50_32x4d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **X32_4), {
            'a1h_in1k': RSB.but(url=f'{RW}/v0.1-rsb-weights/resnext50_32x4d_a1h-0146ab0a.pth'),
            'a1_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnext50_32x4d_a1_0-b5a91a1d.pth'),
            'a2_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/resnext50_32x4d_a2_0-efc76add.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/resnext50_32x4d_a3_0-3e450271.pth'),
            'ra_in1k': TIMM.but(url=f'{HF}/v0.1-weights/resnext50_32x4d_ra-d733960d.pth'),
            'tv_in1k': TV.but(url=f'{VISION}/resnext50_32x4d-7cdf4587.pth'),
            'tv2_in1k': TV2.but(url=f'{VISION}/resnext50_32x4d-1a0047aa.pth'),
            'fb_ssl_yfcc100m_ft_in1k': SEMI.but(url=f'{META}/semi_supervised_resnext50_32x4-ddb3e555.pth'),
            'fb_swsl_ig1b_ft_in1k': SEMI.but(url=f'{META}/semi_weakly_supervised_resnext50_32x4-72679e44.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_resnext50_32x4d-e6a097c1.pth'),
        }),
        Variant('resnext50d_32x4d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **D, **X32_4), {
            'bt_in1k': TIMM_DEEP.but(url=f'{RW}/v0.1-weights/resnext50d_32x4d-103e99f8.pth'),
        }),
        Variant('resnext101_32x4d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **X32_4), {
            'fb_ssl_yfcc100m_ft_in1k': SEMI.but(url=f'{META}/semi_supervised_resnext101_32x4-dc43570a.pth'),
            'untrained': UNTRAINED,
            'fb_swsl_ig1b_ft_in1k': SEMI.but(url=f'{META}/semi_weakly_supervised_resnext101_32x4-3f87e46b.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_resnext101_32x4d-b253c8c4.pth'),
        }),
        Variant('resnext101_32x8d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **X32_8), {
            'tv_in1k': TV.but(url=f'{VISION}/resnext101_32x8d-8ba56ff5.pth'),
            'tv2_in1k': TV2.but(url=f'{VISION}/resnext101_32x8d-110c445d.pth'),
            'fb_wsl_ig1b_ft_in1k': WSL.but(url=f'{VISION}/ig_resnext101_32x8-c38310e5.pth'),
            'fb_ssl_yfcc100m_ft_in1k': SEMI.but(url=f'{META}/semi_supervised_resnext101_32x8-2cfe2f8b.pth'),
            'fb_swsl_ig1b_ft_in1k': SEMI.but(url=f'{META}/semi_weakly_supervised_resnext101_32x8-b4712904.pth'),
        }),
        Variant('resnext101_32x16d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), cardinality=32, base_width=16), {
            'fb_wsl_ig1b_ft_in1k': WSL.but(url=f'{VISION}/ig_resnext101_32x16-c6f796b0.pth'),
            'fb_ssl_yfcc100m_ft_in1k': SEMI.but(url=f'{META}/semi_supervised_resnext101_32x16-15fffa57.pth'),
            'fb_swsl_ig1b_ft_in1k': SEMI.but(url=f'{META}/semi_weakly_supervised_resnext101_32x16-f3559a9c.pth'),
        }),
        Variant('resnext101_32x32d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), cardinality=32, base_width=32), {
            'fb_wsl_ig1b_ft_in1k': WSL.but(url=f'{VISION}/ig_resnext101_32x32-e4b90b00.pth'),
        }),
        Variant('resnext101_32x48d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), cardinality=32, base_width=48), {
            'fb_wsl_ig1b_ft_in1k': WSL.but(url=f'{VISION}/ig_resnext101_32x48-3e41cc8a.pth'),
        }, listed=False),
        Variant('resnext101_64x4d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **X64_4), {
            'c1_in1k': RSB.but(url=f'{RW}/v0.1-tpu-weights/resnext101_64x4d_c-0d0e0cc0.pth'),
            'tv_in1k': TV.but(url=f'{VISION}/resnext101_64x4d-173b62eb.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_resnext101_64x4d-f9a8e184.pth'),
        }),
        # efficient channel attention
        Variant('ecaresnet26t', dict(block=BOTTLENECK, layers=(2, 2, 2, 2), **T, **ECA), {
            'ra2_in1k': RA2_256.but(url=f'{RW}/v0.1-weights/ecaresnet26t_ra2-46609757.pth', crop_pct=0.875, test_crop_pct=0.95),
        }),
        Variant('ecaresnet50d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **D, **ECA), {
            'miil_in1k': MIIL.but(url=f'{RW}/v0.1-tresnet/ecaresnet50d-93c81e3b.pth'),
        }),
        Variant('ecaresnet50d_pruned', dict(pruned=True, block=BOTTLENECK, layers=(3, 4, 6, 3), **D, **ECA), {
            'miil_in1k': MIIL.but(url=f'{RW}/v0.1-tresnet/ecaresnet50d_p-e4fa23c2.pth'),
        }),
        Variant('ecaresnet50t', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **T, **ECA), {
            'ra2_in1k': DEEP.but(
                url=f'{RW}/v0.1-weights/ecaresnet50t_ra2-f7ac63c4.pth', input_size=(3, 256, 256),
                test_input_size=(3, 320, 320), test_crop_pct=0.95, pool_size=(8, 8),
            ),
            'a1_in1k': RSB_DEEP.but(url=f'{HF}/v0.1-rsb-weights/ecaresnet50t_a1_0-99bd76a8.pth'),
            'a2_in1k': RSB_DEEP.but(url=f'{HF}/v0.1-rsb-weights/ecaresnet50t_a2_0-b1c7b745.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/ecaresnet50t_a3_0-8cc311f1.pth', first_conv='conv1.0'),
        }),
        Variant('ecaresnetlight', dict(block=BOTTLENECK, layers=(1, 1, 11, 3), stem_width=32, avg_down=True, **ECA), {
            'miil_in1k': MIIL.but(url=f'{RW}/v0.1-tresnet/ecaresnetlight-75a9c627.pth', first_conv='conv1'),
        }),
        Variant('ecaresnet101d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **D, **ECA), {
            'miil_in1k': MIIL.but(url=f'{RW}/v0.1-tresnet/ecaresnet101d-153dad65.pth'),
        }),
        Variant('ecaresnet101d_pruned', dict(pruned=True, block=BOTTLENECK, layers=(3, 4, 23, 3), **D, **ECA), {
            'miil_in1k': MIIL.but(url=f'{RW}/v0.1-tresnet/ecaresnet101d_p-9e74cb91.pth'),
        }),
        Variant('ecaresnet200d', dict(block=BOTTLENECK, layers=(3, 24, 36, 3), **D, **ECA), {
            'untrained': UNTRAINED_DEEP.but(input_size=(3, 256, 256), crop_pct=0.95, pool_size=(8, 8)),
        }),
        Variant('ecaresnet269d', dict(block=BOTTLENECK, layers=(3, 30, 48, 8), **D, **ECA), {
            'ra2_in1k': RA2_256.but(
                url=f'{RW}/v0.1-weights/ecaresnet269d_320_ra2-7baa55cb.pth', input_size=(3, 320, 320),
                test_input_size=(3, 352, 352), pool_size=(10, 10),
            ),
        }),
        Variant('ecaresnext26t_32x4d', dict(block=BOTTLENECK, layers=(2, 2, 2, 2), **T, **X32_4, **ECA), {
            'untrained': DEEP.but(hf_hub_id=None),
        }),
        Variant('ecaresnext50t_32x4d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **T, **X32_4, **ECA), {
            'untrained': DEEP.but(hf_hub_id=None),
        }),
        # squeeze and excitation
        Variant('seresnet18', dict(block=BASIC, layers=(2, 2, 2, 2), **SE), {'untrained': UNTRAINED}),
        Variant('seresnet34', dict(block=BASIC, layers=(3, 4, 6, 3), **SE), {'untrained': UNTRAINED}),
        Variant('seresnet50', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **SE), {
            'a1_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/seresnet50_a1_0-ffa00869.pth'),
            'a2_in1k': RSB.but(url=f'{HF}/v0.1-rsb-weights/seresnet50_a2_0-850de0d9.pth'),
            'a3_in1k': RSB_A3.but(url=f'{HF}/v0.1-rsb-weights/seresnet50_a3_0-317ecd56.pth'),
            'ra2_in1k': TIMM.but(url=f'{RW}/v0.1-weights/seresnet50_ra_224-8efdb4bb.pth'),
        }),
        Variant('seresnet50t', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **T, **SE), {'untrained': UNTRAINED_DEEP}),
        Variant('seresnet101', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **SE), {'untrained': UNTRAINED}),
        Variant('seresnet152', dict(block=BOTTLENECK, layers=(3, 8, 36, 3), **SE), {'untrained': UNTRAINED}),
        Variant('seresnet152d', dict(block=BOTTLENECK, layers=(3, 8, 36, 3), **D, **SE), {
            'ra2_in1k': RA2_256.but(url=f'{RW}/v0.1-weights/seresnet152d_ra2-04464dd2.pth'),
        }),
        Variant('seresnet200d', dict(block=BOTTLENECK, layers=(3, 24, 36, 3), **D, **SE), {
            'untrained': UNTRAINED_DEEP.but(input_size=(3, 256, 256), pool_size=(8, 8)),
        }),
        Variant('seresnet269d', dict(block=BOTTLENECK, layers=(3, 30, 48, 8), **D, **SE), {
            'untrained': UNTRAINED_DEEP.but(input_size=(3, 256, 256), pool_size=(8, 8)),
        }),
        Variant('seresnext26d_32x4d', dict(block=BOTTLENECK, layers=(2, 2, 2, 2), **D, **X32_4, **SE), {
            'bt_in1k': TIMM_DEEP.but(url=f'{RW}/v0.1-weights/seresnext26d_32x4d-80fa48a3.pth'),
        }),
        Variant('seresnext26t_32x4d', dict(block=BOTTLENECK, layers=(2, 2, 2, 2), **T, **X32_4, **SE), {
            'bt_in1k': TIMM_DEEP.but(url=f'{RW}/v0.1-weights/seresnext26tn_32x4d-569cb627.pth'),
        }),
        Variant('seresnext50_32x4d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **X32_4, **SE), {
            'racm_in1k': TIMM.but(url=f'{RW}/v0.1-weights/seresnext50_32x4d_racm-a304a460.pth'),
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_seresnext50_32x4d-90cf2d6e.pth'),
        }),
        Variant('seresnext101_32x4d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **X32_4, **SE), {
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_seresnext101_32x4d-cf52900d.pth'),
            'untrained': UNTRAINED,
        }),
        Variant('seresnext101_32x8d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **X32_8, **SE), {
            'ah_in1k': RSB.but(url=f'{RW}/v0.1-tpu-weights/seresnext101_32x8d_ah-e6bc4c0a.pth'),
        }),
        Variant('seresnext101d_32x8d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **D, **X32_8, **SE), {
            'ah_in1k': RSB_DEEP.but(url=f'{RW}/v0.1-tpu-weights/seresnext101d_32x8d_ah-191d7b94.pth'),
        }),
        Variant('seresnext101_64x4d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **X64_4, **SE), {
            'gluon_in1k': GLUON.but(url=f'{GLUON_URL}/gluon_seresnext101_64x4d-f9926f93.pth'),
        }),
        Variant('senet154', dict(
            block=BOTTLENECK, layers=(3, 8, 36, 3), stem_type='deep', down_kernel_size=3, block_reduce_first=2, **X64_4,
            **SE,
        ), {
            'gluon_in1k': GLUON_DEEP.but(url=f'{GLUON_URL}/gluon_senet154-70a1a3c0.pth'),
        }),
        # low-pass filter before downsampling
        Variant('resnetblur18', dict(block=BASIC, layers=(2, 2, 2, 2), **BLUR), {'untrained': UNTRAINED}),
        Variant('resnetblur50', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **BLUR), {
            'bt_in1k': TIMM.but(url=f'{RW}/v0.1-weights/resnetblur50-84f4748f.pth'),
        }),
        Variant('resnetblur50d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **D, **BLUR), {
            'untrained': UNTRAINED_DEEP,
        }),
        Variant('resnetblur101d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **D, **BLUR), {
            'untrained': UNTRAINED_DEEP,
        }),
        Variant('resnetaa34d', dict(block=BASIC, layers=(3, 4, 6, 3), **D, **AA), {'untrained': UNTRAINED_DEEP}),
        Variant('resnetaa50', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **AA), {
            'a1h_in1k': RSB.but(url=f'{RW}/v0.1-rsb-weights/resnetaa50_a1h-4cf422b3.pth'),
        }),
        Variant('resnetaa50d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **D, **AA), {
            'sw_in12k_ft_in1k': IN12K,
            'sw_in12k': IN12K.but(num_classes=11821),
            'd_in12k': IN12K.but(num_classes=11821),
        }),
        Variant('resnetaa101d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **D, **AA), {
            'sw_in12k_ft_in1k': IN12K,
            'sw_in12k': IN12K.but(num_classes=11821),
        }),
        Variant('seresnetaa50d', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **D, **SE, **AA), {
            'untrained': UNTRAINED_DEEP,
        }),
        Variant('seresnextaa101d_32x8d', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **D, **X32_8, **SE, **AA), {
            'sw_in12k_ft_in1k_288': RA2_256.but(input_size=(3, 288, 288), pool_size=(9, 9)),
            'sw_in12k_ft_in1k': IN12K.but(crop_pct=0.875),
            'sw_in12k': IN12K.but(num_classes=11821),
            'ah_in1k': RSB_DEEP.but(url=f'{RW}/v0.1-tpu-weights/seresnextaa101d_32x8d_ah-83c8ae12.pth'),
        }),
        Variant('seresnextaa201d_32x8d', dict(
            block=BOTTLENECK, layers=(3, 24, 36, 4), avg_down=True, **S, **X32_8, **SE, **AA,
        ), {
            'sw_in12k_ft_in1k_384': DEEP.but(input_size=(3, 384, 384), crop_pct=1.0, pool_size=(12, 12)),
            'sw_in12k': DEEP.but(
                input_size=(3, 320, 320), test_input_size=(3, 384, 384), crop_pct=0.95, test_crop_pct=1.0,
                num_classes=11821, pool_size=(10, 10),
            ),
        }),
        # ResNet-RS
        Variant('resnetrs50', dict(block=BOTTLENECK, layers=(3, 4, 6, 3), **RS_NET), {
            'tf_in1k': DEEP.but(
                url=f'{RW}/v0.1-rs-weights/resnetrs50_ema-6b53758b.pth', input_size=(3, 160, 160),
                test_input_size=(3, 224, 224), crop_pct=0.91, pool_size=(5, 5),
            ),
        }),
        Variant('resnetrs101', dict(block=BOTTLENECK, layers=(3, 4, 23, 3), **RS_NET), {
            'tf_in1k': DEEP.but(
                url=f'{RW}/v0.1-rs-weights/resnetrs101_i192_ema-1509bbf6.pth', input_size=(3, 192, 192),
                test_input_size=(3, 288, 288), crop_pct=0.94, pool_size=(6, 6),
            ),
        }),
        Variant('resnetrs152', dict(block=BOTTLENECK, layers=(3, 8, 36, 3), **RS_NET), {
            'tf_in1k': DEEP.but(
                url=f'{RW}/v0.1-rs-weights/resnetrs152_i256_ema-a9aff7f9.pth', input_size=(3, 256, 256),
                test_input_size=(3, 320, 320), crop_pct=1.0, pool_size=(8, 8),
            ),
        }),
        Variant('resnetrs200', dict(block=BOTTLENECK, layers=(3, 24, 36, 3), **RS_NET), {
            'tf_in1k': DEEP.but(
                url=f'{RW}/v0.1-tpu-weights/resnetrs200_c-6b698b88.pth', input_size=(3, 256, 256),
                test_input_size=(3, 320, 320), crop_pct=1.0, pool_size=(8, 8),
            ),
        }),
        Variant('resnetrs270', dict(block=BOTTLENECK, layers=(4, 29, 53, 4), **RS_NET), {
            'tf_in1k': DEEP.but(
                url=f'{RW}/v0.1-rs-weights/resnetrs270_ema-b40e674c.pth', input_size=(3, 256, 256),
                test_input_size=(3, 352, 352), crop_pct=1.0, pool_size=(8, 8),
            ),
        }),
        Variant('resnetrs350', dict(block=BOTTLENECK, layers=(4, 36, 72, 4), **RS_NET), {
            'tf_in1k': DEEP.but(
                url=f'{RW}/v0.1-rs-weights/resnetrs350_i256_ema-5a1aa8f1.pth', input_size=(3, 288, 288),
                test_input_size=(3, 384, 384), crop_pct=1.0, pool_size=(9, 9),
            ),
        }),
        Variant('resnetrs420', dict(block=BOTTLENECK, layers=(4, 44, 87, 4), **RS_NET), {
            'tf_in1k': DEEP.but(
                url=f'{RW}/v0.1-rs-weights/resnetrs420_ema-972dee69.pth', input_size=(3, 320, 320),
                test_input_size=(3, 416, 416), crop_pct=1.0, pool_size=(10, 10),
            ),
        }),
        # a tiny one for tests
        Variant('test_resnet', dict(
            block=(BASIC, BASIC, BOTTLENECK, BASIC), layers=(1, 1, 1, 1), stem_width=16, stem_type='deep',
            avg_down=True, channels=(32, 48, 48, 96),
        ), {
            'r160_in1k': BASE.but(
                input_size=(3, 160, 160), crop_pct=0.95, mean=IMAGENET_INCEPTION_MEAN, std=IMAGENET_INCEPTION_STD,
                pool_size=(5, 5), first_conv='conv1.0',
            ),
        }),
    ),
    renamed={
        'gluon_resnet18_v1b': 'resnet18.gluon_in1k',
        'ssl_resnet18': 'resnet18.fb_ssl_yfcc100m_ft_in1k',
        'swsl_resnet18': 'resnet18.fb_swsl_ig1b_ft_in1k',
        'gluon_resnet34_v1b': 'resnet34.gluon_in1k',
        'tv_resnet34': 'resnet34.tv_in1k',
        'gluon_resnet50_v1b': 'resnet50.gluon_in1k',
        'ssl_resnet50': 'resnet50.fb_ssl_yfcc100m_ft_in1k',
        'swsl_resnet50': 'resnet50.fb_swsl_ig1b_ft_in1k',
        'tv_resnet50': 'resnet50.tv_in1k',
        'gluon_resnet50_v1c': 'resnet50c.gluon_in1k',
        'gluon_resnet50_v1d': 'resnet50d.gluon_in1k',
        'gluon_resnet50_v1s': 'resnet50s.gluon_in1k',
        'gluon_resnet101_v1b': 'resnet101.gluon_in1k',
        'tv_resnet101': 'resnet101.tv_in1k',
        'gluon_resnet101_v1c': 'resnet101c.gluon_in1k',
        'gluon_resnet101_v1d': 'resnet101d.gluon_in1k',
        'resnet101d_320': 'resnet101d.ra2_in1k',
        'gluon_resnet101_v1s': 'resnet101s.gluon_in1k',
        'gluon_resnet152_v1b': 'resnet152.gluon_in1k',
        'tv_resnet152': 'resnet152.tv_in1k',
        'gluon_resnet152_v1c': 'resnet152c.gluon_in1k',
        'gluon_resnet152_v1d': 'resnet152d.gluon_in1k',
        'resnet152d_320': 'resnet152d.ra2_in1k',
        'gluon_resnet152_v1s': 'resnet152s.gluon_in1k',
        'resnet200d_320': 'resnet200d.ra2_in1k',
        'gluon_resnext50_32x4d': 'resnext50_32x4d.gluon_in1k',
        'ssl_resnext50_32x4d': 'resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k',
        'swsl_resnext50_32x4d': 'resnext50_32x4d.fb_swsl_ig1b_ft_in1k',
        'tv_resnext50_32x4d': 'resnext50_32x4d.tv_in1k',
        'gluon_resnext101_32x4d': 'resnext101_32x4d.gluon_in1k',
        'ssl_resnext101_32x4d': 'resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k',
        'swsl_resnext101_32x4d': 'resnext101_32x4d.fb_swsl_ig1b_ft_in1k',
        'ig_resnext101_32x8d': 'resnext101_32x8d.fb_wsl_ig1b_ft_in1k',
        'ssl_resnext101_32x8d': 'resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k',
        'swsl_resnext101_32x8d': 'resnext101_32x8d.fb_swsl_ig1b_ft_in1k',
        'ig_resnext101_32x16d': 'resnext101_32x16d.fb_wsl_ig1b_ft_in1k',
        'ssl_resnext101_32x16d': 'resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k',
        'swsl_resnext101_32x16d': 'resnext101_32x16d.fb_swsl_ig1b_ft_in1k',
        'ig_resnext101_32x32d': 'resnext101_32x32d.fb_wsl_ig1b_ft_in1k',
        'ig_resnext101_32x48d': 'resnext101_32x48d.fb_wsl_ig1b_ft_in1k',
        'gluon_resnext101_64x4d': 'resnext101_64x4d.gluon_in1k',
        'ecaresnext26tn_32x4d': 'ecaresnext26t_32x4d',
        'seresnet152d_320': 'seresnet152d.ra2_in1k',
        'seresnext26tn_32x4d': 'seresnext26t_32x4d',
        'gluon_seresnext50_32x4d': 'seresnext50_32x4d.gluon_in1k',
        'gluon_seresnext101_32x4d': 'seresnext101_32x4d.gluon_in1k',
        'gluon_seresnext101_64x4d': 'seresnext101_64x4d.gluon_in1k',
        'gluon_senet154': 'senet154.gluon_in1k',
    },
)
