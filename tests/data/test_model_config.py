"""Preprocessing for a model at hand: what it takes decides."""

import pytest
from torch import nn

from timm.data import resolve_input_data_config

CONFIG = {
    'input_size': (3, 224, 224),
    'test_input_size': (3, 288, 288),
    'mean': (0.5, 0.4, 0.3),
    'std': (0.1, 0.2, 0.3),
    'crop_pct': 0.9,
    'test_crop_pct': 1.0,
    'interpolation': 'bilinear',
    'crop_mode': 'border',
}


def model(fixed=False, img_size=None, in_chans=3, **config):
    made = nn.Module()
    made.pretrained_cfg = {**CONFIG, **config}
    made.in_chans = in_chans
    made._traits = {'img_size': img_size, 'fixed_input_size': fixed}
    return made


def test_weights_recommend_where_the_model_takes_any_size():
    assert resolve_input_data_config(model()) == {
        'input_size': (3, 224, 224),
        'interpolation': 'bilinear',
        'mean': (0.5, 0.4, 0.3),
        'std': (0.1, 0.2, 0.3),
        'crop_pct': 0.9,
        'crop_mode': 'border',
    }
    tested = resolve_input_data_config(model(), use_test_size=True)
    assert (tested['input_size'], tested['crop_pct']) == ((3, 288, 288), 1.0)
    other = resolve_input_data_config(model(), pretrained_cfg={'input_size': (3, 96, 96), 'crop_pct': 0.8})
    assert (other['input_size'], other['crop_pct'], other['crop_mode']) == ((3, 96, 96), 0.8, 'center')


@pytest.mark.parametrize(
    ('args', 'size'),
    [
        ({'img_size': 160}, (160, 160)),
        ({'img_size': (128, 160)}, (128, 160)),
        ({'input_size': (3, 200, 224)}, (200, 224)),
        ({'model_kwargs': {'img_size': 192}}, (192, 192)),
        ({'img_size': 160, 'model_kwargs': {'img_size': 192}}, (160, 160)),
        ({'img_size': None, 'input_size': None, 'in_chans': None, 'mean': None}, (224, 224)),
    ],
)
def test_size_asked_for_is_taken_where_the_model_takes_any(args, size):
    assert resolve_input_data_config(model(), args)['input_size'] == (3, *size)


def test_model_of_fixed_size_decides():
    fixed = model(fixed=True, img_size=(192, 192))
    for args in ({}, {'img_size': 192}, {'model_kwargs': {'img_size': 192}}):
        for use_test_size in (False, True):
            found = resolve_input_data_config(fixed, args, use_test_size=use_test_size)
            assert found['input_size'] == (3, 192, 192)
    for args in ({'img_size': 224}, {'input_size': (3, 224, 224)}, {'model_kwargs': {'img_size': 224}}):
        with pytest.raises(ValueError, match=r'\(224, 224\), and the model takes \(192, 192\)'):
            resolve_input_data_config(fixed, args)


@pytest.mark.parametrize(
    'args', [{'in_chans': 1}, {'chans': 1}, {'input_size': (1, 224, 224)}, {'model_kwargs': {'in_chans': 1}}]
)
def test_channels_are_those_of_the_model(args):
    with pytest.raises(ValueError, match='channels 1, and the model takes 3'):
        resolve_input_data_config(model(), args)
    assert resolve_input_data_config(model(in_chans=1), args)['input_size'][0] == 1


def test_statistics_are_adapted_to_the_channels_of_the_model(caplog):
    found = resolve_input_data_config(model(in_chans=1))
    assert found['mean'] == pytest.approx((0.4,))
    assert found['std'] == pytest.approx((0.2,))
    assert 'average' in caplog.text
    caplog.clear()
    assert resolve_input_data_config(model(in_chans=2), {'mean': 0.5, 'std': (0.1,)})['mean'] == (0.5, 0.5)
    assert not caplog.records
    with pytest.raises(ValueError, match=r'mean \(0\.1, 0\.2\) has 2 values for an input of 3 channels'):
        resolve_input_data_config(model(), {'mean': (0.1, 0.2)})


def test_other_arguments_are_resolved_as_ever():
    found = resolve_input_data_config(model(), {'crop_pct': 0.7, 'interpolation': 'bicubic', 'crop_mode': 'squash'})
    assert (found['crop_pct'], found['interpolation'], found['crop_mode']) == (0.7, 'bicubic', 'squash')


@pytest.mark.parametrize(
    ('args', 'named'),
    [
        ({'img_size': 160, 'input_size': (3, 192, 192)}, r'input_size is \(192, 192\), img_size is \(160, 160\)'),
        ({'in_chans': 3, 'input_size': (1, 192, 192)}, 'in_chans is 3, input_size is 1'),
        ({'input_size': (192, 192)}, r'\(192, 192\)'),
        ({'img_size': (3, 192, 192)}, r'\(3, 192, 192\)'),
    ],
)
def test_what_contradicts_itself_is_refused(args, named):
    with pytest.raises(ValueError, match=named):
        resolve_input_data_config(model(), args)
