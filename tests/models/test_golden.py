"""The networks compute the published numbers (weights by formula, float64)."""

import pytest
import torch
from safetensors.torch import save_file

import timm
from tests import reference
from tests.fill import digest, fill_model, input_image

REL = 1e-6  # evolved norms take their statistics in float32; most networks agree to 1e-12
GRAD_REL = 1e-5  # six digits are recorded
LIMIT = 60e6
# Cheap ones of each family, chosen to reach every branch of its code; every other variant is slow.
DEFAULT = {
    'test_resnet', 'resnet18', 'resnet10t', 'ecaresnet26t', 'seresnext26t_32x4d', 'resnetblur18', 'resnet18d',
    'resnetaa34d', 'resnetv2_18', 'resnetv2_18d', 'test_efficientnet', 'test_efficientnet_ln', 'test_efficientnet_gn',
    'test_efficientnet_evos', 'efficientnet_lite0', 'mobilenetv2_035', 'tinynet_d', 'tinynet_e', 'mnasnet_small',
    'mixnet_s', 'tf_mixnet_s', 'fbnetc_100', 'semnasnet_075', 'mobilenet_edgetpu_100', 'efficientnet_cc_b0_4e',
    'tf_efficientnetv2_b0', 'mobilenetv3_small_050', 'mobilenetv3_small_075', 'lcnet_050', 'fbnetv3_b',
    'mobilenetv4_conv_small_035', 'mobilenetv4_conv_small', 'mobilenetv4_hybrid_medium_075', 'tf_mobilenetv3_small_075',
    'test_vit', 'test_vit2', 'test_vit3', 'test_vit4', 'vit_tiny_patch16_224', 'vit_small_patch32_224',
    'vit_wee_patch16_reg1_gap_256', 'vit_pwee_patch16_reg1_gap_256', 'vit_dwee_patch16_reg1_gap_256',
    'deit_tiny_patch16_224', 'deit_tiny_distilled_patch16_224', 'vit_tiny_r_s16_p8_224', 'hrnet_w18_small_v2',
    'gmlp_ti16_224', 'mixer_s32_224', 'resmlp_12_224', 'gmixer_12_224', 'test_convnext', 'test_convnext2',
    'test_convnext3', 'convnextv2_atto', 'convnext_atto', 'convnext_atto_ols', 'convnext_zepto_rms',
    'convnext_zepto_rms_ols', 'swin_tiny_patch4_window7_224', 'swin_s3_tiny_224',
    'eva02_tiny_patch14_224', 'vit_tiny_patch16_dinov3_qkvb', 'vit_pe_core_tiny_patch16_384',
    'vit_small_patch16_rope_mixed_224',
}  # fmt: skip


def _size(family, name):
    return sum(_numel(shape) for _, shape, _, kind in reference.load(f'state/{family}')[name]['state'] if kind == 'p')


def _numel(shape):
    numel = 1
    for size in shape:
        numel *= size
    return numel


MODELS = [
    pytest.param(family, name, id=name, marks=() if name in DEFAULT else pytest.mark.slow)
    for family, name in reference.models('models')
    if _size(family, name) <= LIMIT
]
TRAINED = [p for p in MODELS if 'train' in reference.load(f'models/{p.values[0]}')[p.values[1]]]
ADAPTED = [p for p in MODELS if 'in_chans1_features' in reference.load(f'models/{p.values[0]}')[p.values[1]]]


def _create(name, **kwargs):
    """Filled in float32, then widened: so the numbers were taken, and rounding the weights shows in the fifth digit."""
    return fill_model(timm.create_model(name, **kwargs).eval()).double()


@torch.no_grad()
def _pyramid(name, model):
    """The feature extractor with the weights of `model`, whatever the wrapper calls them."""
    pyramid = timm.create_model(name, features_only=True).double().eval()
    weights = {_plain(key): value for key, value in model.state_dict().items()}
    for key, value in pyramid.state_dict().items():
        value.copy_(weights[_plain(key)])
    return pyramid


def _plain(key):
    return key.removeprefix('model.').removeprefix('body.').replace('.', '_')


def _same(tensor, expected):
    found = digest(tensor)
    assert found['shape'] == expected['shape']
    assert found['rms'] == pytest.approx(expected['rms'], rel=REL)
    assert found['proj'] == pytest.approx(expected['proj'], rel=REL, abs=REL * expected['rms'])


@pytest.mark.parametrize(('family', 'name'), MODELS)
@torch.no_grad()
def test_outputs_equal_the_published_numbers(family, name):
    """Logits, features, pre-logits, feature pyramid and intermediates."""
    record = reference.load(f'models/{family}')[name]
    model = _create(name)
    x = input_image(record['input'][0], record['input'][1:])
    features = model.forward_features(x)
    logits = model.forward_head(features)
    _same(features, record['features'])
    _same(logits, record['output'])
    # A logit near zero is as exact as the others, not more.
    atol = REL * record['output']['rms']
    torch.testing.assert_close(logits[:, :8], torch.tensor(record['logits'], dtype=torch.float64), rtol=REL, atol=atol)
    _same(model.forward_head(features, pre_logits=True), record['pre_logits'])
    if 'intermediates' in record:
        for found, expected in zip(
            model.forward_intermediates(x, intermediates_only=True), record['intermediates'], strict=True
        ):
            _same(found, expected)
    if 'features_only' in record:
        pyramid = _pyramid(name, model)
        info = record['features_only_info']
        assert pyramid.feature_info.channels() == info['channels']
        assert pyramid.feature_info.reduction() == info['reduction']
        for found, expected in zip(pyramid(x), record['features_only'], strict=True):
            _same(found, expected)


@pytest.mark.parametrize(('family', 'name'), ADAPTED)
@torch.no_grad()
def test_weights_adapt_to_one_channel_and_seven_classes(family, name, tmp_path):
    """A file for three channels and 1000 classes gives the published features for one channel."""
    record = reference.load(f'models/{family}')[name]
    path = tmp_path / 'weights.safetensors'
    state = fill_model(timm.create_model(name)).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    overlay = {'file': str(path), 'num_classes': 1000}
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, in_chans=1, num_classes=7)
    x = input_image(record['input'][0], [1, *record['input'][2:]])
    _same(model.double().eval().forward_features(x), record['in_chans1_features'])
    assert model.num_classes == 7


@pytest.mark.parametrize(('family', 'name'), TRAINED)
def test_training_gradients_equal_the_published_numbers(family, name):
    """Loss and the size of every parameter's gradient, in training mode."""
    expected = reference.load(f'models/{family}')[name]['train']
    size = reference.load(f'models/{family}')[name]['input'][1:]
    model = _create(name).train()
    output = model(input_image(2, size))
    if isinstance(output, tuple):
        output = sum(output)
    loss = output.square().mean()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected['loss'], rel=REL)
    found = [float(p.grad.square().mean().sqrt()) for p in model.parameters()]
    assert found == pytest.approx(expected['grad_rms'], rel=GRAD_REL, abs=1e-12)
