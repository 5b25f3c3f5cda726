"""Classifier heads: what they compute, and what a reset keeps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import (
    ClassifierHead,
    ClNormMlpClassifierHead,
    NormMlpClassifierHead,
    TestTimePoolHead,
    apply_test_time_pool,
    create_classifier,
)

HEADS = [ClassifierHead, NormMlpClassifierHead, ClNormMlpClassifierHead]
heads = pytest.mark.parametrize('cls', HEADS)


def features(cls: type[nn.Module], size: tuple[int, int] = (4, 5)) -> torch.Tensor:
    return torch.rand(2, *size, 8) if cls is ClNormMlpClassifierHead else torch.rand(2, 8, *size)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_classifier_head_is_linear_in_the_pooled_features():
    x = torch.rand(2, 8, 4, 5)
    for pool_type, pooled in {
        'avg': x.mean((2, 3)),
        'max': x.amax((2, 3)),
        'catavgmax': torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1),
    }.items():
        head = ClassifierHead(8, 3, pool_type)
        assert list(head.state_dict()) == ['fc.weight', 'fc.bias']
        assert head.num_features == pooled.shape[1]
        torch.testing.assert_close(head(x), F.linear(pooled, head.fc.weight, head.fc.bias))
        torch.testing.assert_close(head(x, pre_logits=True), pooled)


def test_channels_last_and_convolutional_heads_agree_with_the_plain_one():
    x = torch.rand(2, 8, 4, 5)
    head = ClassifierHead(8, 3)
    conv, last = ClassifierHead(8, 3, use_conv=True), ClassifierHead(8, 3, input_fmt='NHWC')
    last.load_state_dict(head.state_dict())
    conv.load_state_dict({name: t.view_as(conv.state_dict()[name]) for name, t in head.state_dict().items()})
    torch.testing.assert_close(conv(x), head(x))
    torch.testing.assert_close(last(x.permute(0, 2, 3, 1)), head(x))
    with pytest.raises(ValueError, match='NHWC'):
        ClassifierHead(8, 3, use_conv=True, input_fmt='NHWC')


def test_norm_head_normalises_between_pool_and_hidden_layer():
    x = torch.rand(2, 8, 4, 5)
    head = NormMlpClassifierHead(8, 3, hidden_size=6)
    assert list(head.state_dict()) == [
        'norm.weight', 'norm.bias', 'pre_logits.fc.weight', 'pre_logits.fc.bias', 'fc.weight', 'fc.bias',
    ]  # fmt: skip
    hidden = head.pre_logits.fc(F.layer_norm(x.mean((2, 3)), (8,), eps=1e-6)).tanh()
    torch.testing.assert_close(head(x, pre_logits=True), hidden)
    torch.testing.assert_close(head(x), head.fc(hidden))
    assert (head.num_features, head.hidden_size) == (6, 6)


def test_channels_last_norm_head():
    x = torch.rand(2, 4, 5, 8)
    head = ClNormMlpClassifierHead(8, 3, hidden_size=6, pool_type='avgmax')
    pooled = (x.mean((1, 2)) + x.amax((1, 2))) / 2
    hidden = F.gelu(head.pre_logits.fc(F.layer_norm(pooled, (8,), eps=1e-6)))
    torch.testing.assert_close(head(x), head.fc(hidden))
    tokens = ClNormMlpClassifierHead(8, 3, hidden_size=6, pool_type='avgmax', input_fmt='NLC')
    tokens.load_state_dict(head.state_dict())
    torch.testing.assert_close(tokens(x.flatten(1, 2)), head(x))
    with pytest.raises(ValueError, match='NCHW'):
        ClNormMlpClassifierHead(8, 3, input_fmt='NCHW')


@heads
def test_a_head_without_classes_gives_the_features_before_them(cls):
    head = cls(8, 0).eval()
    assert isinstance(head.fc, nn.Identity)
    out = head(features(cls))
    assert out.shape == (2, head.num_features)
    assert head(features(cls), pre_logits=True).shape == out.shape


@heads
def test_dropout_comes_before_the_classifier(cls):
    head = cls(8, 0, drop_rate=1.0).train()
    assert head(features(cls)).eq(0).all()


@pytest.mark.parametrize(
    ('cls', 'shape'),
    [(NormMlpClassifierHead, (2, 3, 4, 5)), (ClNormMlpClassifierHead, (2, 4, 5, 3))],
)
def test_without_pooling_positions_are_classified(cls, shape):
    head = cls(8, 3, hidden_size=6, pool_type='')
    assert head(features(cls)).shape == shape
    assert isinstance(head.fc, nn.Conv2d) == (cls is NormMlpClassifierHead)


@heads
def test_reset_keeps_pooling_mode_dtype_and_device(cls):
    head = cls(8, 3, pool_type='max').eval().double()
    before = head.fc.weight
    head.reset(5)
    assert head.fc.weight.shape == (5, 8)
    assert head.fc.weight.dtype == torch.float64
    assert not torch.equal(head.fc.weight[:3], before)
    assert head.global_pool.pool_type == 'max'
    assert not any(module.training for module in head.modules())
    head = cls(8, 3, device='meta')
    head.reset(5, 'avg')
    assert head.fc.weight.is_meta


@heads
def test_reset_goes_where_it_is_told(cls):
    head = cls(8, 3)
    head.reset(5, device='meta', dtype=torch.float16)
    assert (head.fc.weight.device.type, head.fc.weight.dtype) == ('meta', torch.float16)


@heads
def test_reset_to_no_classes_and_back(cls):
    head = cls(8, 3)
    head.reset(0)
    assert head(features(cls)).shape == (2, 8)
    head.reset(4)
    assert head(features(cls)).shape == (2, 4)


def test_reset_changes_the_width_with_the_pool():
    head = ClassifierHead(8, 3)
    head.reset(3, 'catavgmax')
    assert (head.num_features, head.fc.in_features) == (16, 16)
    assert head(torch.rand(2, 8, 4, 5)).shape == (2, 3)
    head.reset(3, 'avg', in_features=6)
    assert (head.in_features, head.num_features) == (6, 6)


def test_hidden_layer_survives_a_change_to_maps_and_back():
    x = torch.rand(2, 8, 1, 1)
    head = NormMlpClassifierHead(8, 0, hidden_size=6)
    expected = head(x)
    head.reset(0, '')
    assert isinstance(head.pre_logits.fc, nn.Conv2d)
    torch.testing.assert_close(head(x).flatten(1), expected)
    head.reset(0, 'avg')
    assert isinstance(head.pre_logits.fc, nn.Linear)
    torch.testing.assert_close(head(x), expected)


@pytest.mark.parametrize('frozen', [(), ('bias',), ('weight', 'bias')])
def test_a_hidden_layer_that_changes_its_form_learns_as_before(frozen):
    head = NormMlpClassifierHead(8, 3, hidden_size=6).eval()
    for name in frozen:
        getattr(head.pre_logits.fc, name).requires_grad_(False)
    for pool in ('', 'avg'):
        head.reset(0, pool)
        assert [n for n, p in head.pre_logits.fc.named_parameters() if not p.requires_grad] == list(frozen)
        assert not head.pre_logits.fc.training


@pytest.mark.parametrize('cls', [NormMlpClassifierHead, ClNormMlpClassifierHead])
def test_reset_other_removes_norm_and_hidden_layer(cls):
    head = cls(8, 3, hidden_size=6)
    with pytest.raises(ValueError, match='reset_other'):
        head.reset(3, in_features=5)
    head.reset(3, reset_other=True, in_features=5)
    assert list(head.state_dict()) == ['fc.weight', 'fc.bias']
    assert (head.hidden_size, head.num_features, head.in_features) == (None, 5, 5)
    assert head.fc.weight.shape == (3, 5)


@pytest.mark.parametrize('cls', [NormMlpClassifierHead, ClNormMlpClassifierHead])
def test_pools_that_change_the_width_are_refused_before_a_norm(cls):
    with pytest.raises(ValueError, match='catavgmax'):
        cls(8, 3, pool_type='catavgmax')
    with pytest.raises(ValueError, match='catavgmax'):
        cls(8, 3).reset(3, 'catavgmax')


@heads
def test_an_unknown_pool_names_the_nearest(cls):
    with pytest.raises(ValueError, match=r"'agv'.*'avg'"):
        cls(8, 3, pool_type='agv')


def test_create_classifier_gives_the_parts():
    pool, fc = create_classifier(8, 3, pool_type='catavgmax')
    assert fc(pool(torch.rand(2, 8, 4, 5))).shape == (2, 3)
    pool, drop, fc = create_classifier(8, 0, drop_rate=0.2, use_conv=True)
    assert drop.p == 0.2
    assert isinstance(fc, nn.Identity)
    assert pool(torch.rand(2, 8, 4, 5)).shape == (2, 8, 1, 1)
    assert create_classifier(8, 3, device='meta', dtype=torch.float16)[1].weight.dtype == torch.float16


OPTIONS = [
    (ClassifierHead, {}),
    (ClassifierHead, {'use_conv': True, 'pool_type': ''}),
    (NormMlpClassifierHead, {'hidden_size': 6}),
    (NormMlpClassifierHead, {'hidden_size': 6, 'pool_type': ''}),
    (ClNormMlpClassifierHead, {'hidden_size': 6, 'pool_type': 'avgmax'}),
]
options = pytest.mark.parametrize(('cls', 'kwargs'), OPTIONS)


@options
def test_heads_script_export_and_compile(cls, kwargs):
    head = cls(8, 3, **kwargs).eval()
    x = features(cls)
    expected = head(x)
    scripted = torch.jit.script(head)
    torch.testing.assert_close(scripted(x), expected)
    torch.testing.assert_close(scripted(x, pre_logits=True), head(x, pre_logits=True))
    torch.testing.assert_close(torch.jit.trace(head, x)(x), expected)
    torch.testing.assert_close(torch.export.export(head, (x,)).module()(x), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(head, fullgraph=True, backend='eager')(x), expected)


@options
def test_heads_build_on_meta_and_run_in_bfloat16(cls, kwargs):
    head = cls(8, 3, device='meta', dtype=torch.bfloat16, **kwargs)
    assert {(p.device.type, p.dtype) for p in head.parameters()} == {('meta', torch.bfloat16)}
    head = cls(8, 3, dtype=torch.bfloat16, **kwargs)
    assert head(features(cls).bfloat16()).dtype == torch.bfloat16


class Network(nn.Module):
    """The least that test-time pooling asks of a network."""

    def __init__(self, classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.num_features = 8
        self.body = nn.Conv2d(3, 8, 32, stride=32)
        self.head = ClassifierHead(8, 5)
        if classifier is not None:
            self.head.fc = classifier
        self.default_cfg = {'input_size': (3, 224, 224), 'pool_size': (7, 7), 'test_input_size': (3, 288, 288)}

    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.head.reset(num_classes, global_pool)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_test_time_pool_classifies_windows_of_the_trained_size():
    network = Network().eval()
    fc = network.head.fc
    x = torch.rand(2, 3, 320, 288)
    maps = network.forward_features(x)
    logits = torch.stack([
        fc(maps[:, :, i : i + 7, j : j + 7].mean((2, 3))) for i in range(4) for j in range(3)
    ])  # fmt: skip
    wrapped = TestTimePoolHead(network, original_pool=7)
    torch.testing.assert_close(wrapped(x), (logits.mean(0) + logits.amax(0)) / 2)
    assert isinstance(network.get_classifier(), nn.Identity)


def test_test_time_pool_applies_to_larger_images_only():
    for size, use_test_size, expected in [
        ((3, 224, 224), False, False),
        ((3, 256, 256), False, True),
        ((3, 224, 320), False, False),
        ((3, 288, 288), True, False),
        ((3, 320, 320), True, True),
    ]:
        network = Network()
        wrapped, changed = apply_test_time_pool(network, {'input_size': size}, use_test_size)
        assert changed is expected
        assert isinstance(wrapped, TestTimePoolHead if expected else Network)


def test_test_time_pool_needs_a_pool_size_and_a_plain_classifier():
    network = Network()
    network.default_cfg['pool_size'] = None
    assert apply_test_time_pool(network, {'input_size': (3, 320, 320)}) == (network, False)
    with pytest.raises(ValueError, match='Network'):
        TestTimePoolHead(Network(nn.Linear(9, 5)))
