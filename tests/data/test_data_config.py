"""What preprocessing follows from what is asked for, from the weights, and from the defaults."""

import logging
from argparse import Namespace

import pytest

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, create_transform
from timm.data import resolve_data_config as resolve
from timm.data import resolve_model_data_config as resolve_model

WEIGHTS = dict(
    input_size=(3, 200, 200),
    test_input_size=(3, 240, 240),
    crop_pct=0.9,
    test_crop_pct=1.0,
    crop_mode='squash',
    interpolation='bilinear',
    mean=(0.5, 0.5, 0.5),
    std=(0.4, 0.4, 0.4),
)


class Model:
    def __init__(self, config):
        self.pretrained_cfg = config


def test_defaults_are_those_of_imagenet():
    assert resolve({'no_aug': True}) == dict(
        input_size=(3, 224, 224),
        interpolation='bicubic',
        mean=IMAGENET_DEFAULT_MEAN,
        std=IMAGENET_DEFAULT_STD,
        crop_pct=0.875,
        crop_mode='center',
    )


def test_weights_go_before_defaults_and_arguments_before_weights():
    expected = {key: WEIGHTS[key] for key in ('input_size', 'interpolation', 'mean', 'std', 'crop_pct', 'crop_mode')}
    assert resolve({}, pretrained_cfg=WEIGHTS) == expected
    asked = dict(
        input_size=[3, 64, 32], crop_pct=0.5, crop_mode='border', interpolation='lanczos', mean=(0.1, 0.2, 0.3)
    )
    resolved = resolve(asked, pretrained_cfg=WEIGHTS)
    assert resolved == {**expected, **asked, 'input_size': (3, 64, 32)}


def test_none_and_empty_ask_for_nothing():
    asked = dict(mean=None, std=None, crop_pct=None, interpolation='', crop_mode='', input_size=None, img_size=None)
    assert resolve(asked, pretrained_cfg=WEIGHTS) == resolve({}, pretrained_cfg=WEIGHTS)


def test_test_size_comes_with_its_crop():
    resolved = resolve({}, pretrained_cfg=WEIGHTS, use_test_size=True)
    assert (resolved['input_size'], resolved['crop_pct']) == ((3, 240, 240), 1.0)
    resolved = resolve({'img_size': 96}, pretrained_cfg=WEIGHTS, use_test_size=True)
    assert (resolved['input_size'], resolved['crop_pct']) == ((3, 96, 96), 1.0)
    plain = {key: value for key, value in WEIGHTS.items() if not key.startswith('test')}
    assert resolve({}, pretrained_cfg=plain, use_test_size=True) == resolve({}, pretrained_cfg=plain)


def test_size_and_channels():
    assert resolve({'img_size': 64})['input_size'] == (3, 64, 64)
    assert resolve({'img_size': 64, 'in_chans': 1})['input_size'] == (1, 64, 64)
    assert resolve({'chans': 4})['input_size'] == (4, 224, 224)
    assert resolve({'input_size': (1, 8, 8), 'img_size': 64})['input_size'] == (1, 8, 8)
    assert resolve({'in_chans': 1}, pretrained_cfg=WEIGHTS)['input_size'] == (3, 200, 200)


def test_one_statistic_stands_for_all_channels():
    assert resolve({'mean': [0.1], 'std': (0.2,)}) == {**resolve({'x': 1}), 'mean': (0.1,) * 3, 'std': (0.2,) * 3}
    assert resolve({'mean': [0.1], 'in_chans': 1})['mean'] == (0.1,)


def test_model_is_asked_when_no_weights_are_given():
    model = Model(WEIGHTS)
    assert resolve_model(model) == resolve({}, pretrained_cfg=WEIGHTS)
    assert resolve_model(model, {'img_size': 32})['input_size'] == (3, 32, 32)
    assert resolve_model(model, pretrained_cfg={'crop_pct': 0.5})['crop_mode'] == 'center'
    assert resolve_model(Model(None))['input_size'] == (3, 224, 224)


def test_records_and_namespaces_count_as_mappings():
    assert resolve(Namespace(img_size=32), Namespace(**WEIGHTS)) == resolve({'img_size': 32}, WEIGHTS)


def test_result_is_what_create_transform_takes(caplog):
    caplog.set_level(logging.INFO)
    assert len(create_transform(**resolve({}, WEIGHTS, verbose=True)).transforms) == 4
    assert 'squash' in caplog.text


@pytest.mark.parametrize(
    'asked', [{}, {'input_size': (64, 64)}, {'img_size': (64, 32)}, {'img_size': '64'}, {'mean': (0.1, 0.2)}]
)
def test_what_cannot_be_meant_is_refused(asked):
    with pytest.raises(ValueError, match=r'config|input_size|img_size|mean'):
        resolve(asked)
