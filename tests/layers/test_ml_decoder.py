"""ML-Decoder: its equation query by query, its place at the end of networks, forms, what is refused."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import timm
from tests.fill import fill_model
from timm.layers import create_feature_extractor
from timm.layers.ml_decoder import MLDecoder, TransformerDecoderLayerOptimal, add_ml_decoder_head

CHANNELS = 12


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def decoder(num_classes=7, num_of_groups=3, decoder_embedding=16):
    return fill_model(MLDecoder(num_classes, num_of_groups, decoder_embedding, CHANNELS)).eval()


def cross_attention(attn, x, memory):
    """Queries (T, C) that look at a memory (M, C), head by head."""
    weights, biases = attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3)
    q, k, v = (F.linear(y, w, b) for y, w, b in zip((x, memory, memory), weights, biases, strict=True))
    width = x.shape[1] // attn.num_heads
    found = []
    for i in range(attn.num_heads):
        head = slice(i * width, (i + 1) * width)
        found.append((q[:, head] @ k[:, head].T / width**0.5).softmax(1) @ v[:, head])
    return attn.out_proj(torch.cat(found, 1))


def decoder_layer(layer, x, memory, act):
    """One image: queries (T, C) and memory (M, C)."""
    x = layer.norm1(x + x)
    x = layer.norm2(x + cross_attention(layer.multihead_attn, x, memory))
    return layer.norm3(x + layer.linear2(act(layer.linear1(x))))


@pytest.mark.parametrize(('activation', 'act'), [('relu', F.relu), ('gelu', F.gelu)])
@torch.no_grad()
def test_decoder_layer_is_the_equation(activation, act):
    layer = TransformerDecoderLayerOptimal(16, 4, 20, activation=activation, layer_norm_eps=1e-3)
    layer = fill_model(layer.double()).eval()
    tgt, memory = torch.randn(5, 2, 16).double(), torch.randn(6, 2, 16).double()
    expected = [decoder_layer(layer, tgt[:, i], memory[:, i], act) for i in range(2)]
    torch.testing.assert_close(layer(tgt, memory), torch.stack(expected, 1))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(tgt, memory), layer(tgt, memory))


@pytest.mark.parametrize(
    ('num_classes', 'num_of_groups', 'queries', 'share'),
    [(7, 3, 3, 3), (6, 3, 3, 2), (5, 8, 5, 1), (5, 1, 1, 5), (80, -1, 80, 1), (250, -1, 100, 3), (2001, 2000, 2000, 2)],
)
@torch.no_grad()
def test_decoder_is_the_equation(num_classes, num_of_groups, queries, share):
    head = decoder(num_classes, num_of_groups).double()
    assert (head.embed_len_decoder, head.duplicate_factor) == (queries, share)
    x = torch.randn(2, CHANNELS, 3, 2, dtype=torch.float64)
    expected = head.duplicate_pooling_bias.repeat(2, 1)
    for image, logits in zip(x, expected, strict=True):
        memory = head.embed_standart(image.flatten(1).T).relu()
        found = decoder_layer(head.decoder.layers[0], head.query_embed.weight, memory, F.relu)
        for i in range(num_classes):  # classes of a query lie side by side
            logits[i] += found[i // share] @ head.duplicate_pooling[i // share, :, i % share]
    torch.testing.assert_close(head(x), expected)
    torch.testing.assert_close(head(x.flatten(2).transpose(1, 2)), expected)


def test_defaults_are_the_published_ones():
    with torch.device('meta'):
        head = MLDecoder(1000)
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    layer = 'decoder.layers.0'
    assert shapes['embed_standart.weight'] == (768, 2048)
    assert shapes['query_embed.weight'] == (100, 768)
    assert shapes['duplicate_pooling'] == (100, 768, 10)
    assert shapes['duplicate_pooling_bias'] == (1000,)
    assert shapes[f'{layer}.linear1.weight'] == (2048, 768)
    assert shapes[f'{layer}.multihead_attn.in_proj_weight'] == (3 * 768, 768)
    assert head.decoder.layers[0].multihead_attn.num_heads == 8
    assert {module.p for module in head.modules() if isinstance(module, nn.Dropout)} == {0.1}
    assert MLDecoder(9, 3, -1, 4).embed_standart.out_features == 768


def test_weights_are_drawn_as_published():
    head = MLDecoder(400, 100, 256, 64)
    assert head.query_embed.weight.std().item() == pytest.approx(1.0, rel=0.02)
    assert head.duplicate_pooling.std().item() == pytest.approx((2 / (256 * 4 + 100 * 4)) ** 0.5, rel=0.02)
    assert not head.duplicate_pooling_bias.any()


@torch.no_grad()
def test_hidden_memory_is_as_good_as_none():
    layer = fill_model(TransformerDecoderLayerOptimal(16, 4, 20)).eval()
    tgt, memory = torch.randn(5, 2, 16), torch.randn(6, 2, 16)
    expected = layer(tgt, memory[:4])
    hidden = torch.arange(6) >= 4
    torch.testing.assert_close(layer(tgt, memory, memory_mask=hidden.expand(5, 6)), expected)
    torch.testing.assert_close(layer(tgt, memory, memory_key_padding_mask=hidden.expand(2, 6)), expected)
    torch.testing.assert_close(layer(tgt, memory[:4], torch.ones(5, 5, dtype=torch.bool)), expected)


def test_all_but_the_queries_learn():
    head, x = decoder(), torch.randn(2, CHANNELS, 3, 2, requires_grad=True)
    head.train()(x).square().sum().backward()
    without = [name for name, parameter in head.named_parameters() if parameter.grad is None]
    assert without == ['query_embed.weight']
    assert not head.query_embed.weight.requires_grad
    assert all(parameter.grad.any() for parameter in head.parameters() if parameter.requires_grad)
    assert x.grad.any()
    x = torch.randn(1, CHANNELS, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(head.double().eval(), x)


@torch.no_grad()
def test_images_of_a_batch_do_not_mix():
    head, x = decoder(), torch.randn(3, CHANNELS, 3, 2)
    torch.testing.assert_close(head(x), torch.cat([head(image[None]) for image in x]))


@pytest.mark.parametrize('shape', [(2, CHANNELS, 3, 2), (2, 5, CHANNELS)])
def test_other_forms_compute_the_same(shape):
    head, x = decoder(), torch.randn(shape)
    expected = head(x)
    torch.testing.assert_close(torch.jit.script(head)(x), expected)
    torch.testing.assert_close(torch.export.export(head, (x,)).module()(x), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(head, fullgraph=True, backend='eager')(x), expected)
    extractor = create_feature_extractor(nn.Sequential(head, nn.Identity()), ['1']).eval()
    torch.testing.assert_close(extractor(x)['1'], expected)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')  # attention compares sizes, which a trace keeps
def test_traced_head_computes_the_same():
    head, x = decoder(), torch.randn(2, CHANNELS, 3, 2)
    torch.testing.assert_close(torch.jit.trace(head, x)(x), head(x))


@torch.no_grad()
def test_bfloat16_comes_out_near_float32():
    head, x = decoder(), torch.randn(2, CHANNELS, 3, 2)
    half = copy.deepcopy(head).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), head(x), rtol=0.1, atol=0.1)


HOSTS = {'resnet18': 'fc', 'efficientnet_b0': 'classifier', 'hrnet_w18_small': 'classifier', 'resnetv2_18': 'head'}


@pytest.mark.parametrize('name', HOSTS)
@torch.no_grad()
def test_network_classifies_its_map_by_the_new_head(name):
    model = timm.create_model(name, num_classes=7, drop_rate=0.5).eval()
    features = sorted(key for key in model.state_dict() if not key.startswith(HOSTS[name]))
    assert add_ml_decoder_head(model) is model
    head = getattr(model, HOSTS[name])
    assert isinstance(head, MLDecoder)
    assert (head.num_classes, head.embed_standart.in_features) == (7, model.num_features)
    assert f'{HOSTS[name]}.duplicate_pooling' in model.state_dict()
    assert sorted(key for key in model.state_dict() if not key.startswith(HOSTS[name])) == features
    assert getattr(model, 'drop_rate', 0) == 0
    assert not head.training
    for size in (64, 96):
        x = torch.randn(2, 3, size, size)
        maps = model.forward_features(x)
        assert maps.ndim == 4
        torch.testing.assert_close(model(x), head(maps))
        torch.testing.assert_close(model.forward_head(maps, pre_logits=True), maps)


def test_new_head_lies_where_the_network_does_and_can_be_replaced():
    model = timm.create_model('resnet18', num_classes=7).to(torch.float64)
    add_ml_decoder_head(model)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert model.fc.training
    with torch.device('meta'):
        empty = add_ml_decoder_head(timm.create_model('resnet18'))
    assert empty.fc.duplicate_pooling.is_meta
    model.reset_classifier(5, 'avg')
    assert model(torch.randn(2, 3, 64, 64, dtype=torch.float64)).shape == (2, 5)


@pytest.mark.parametrize(
    'name', ['mobilenetv3_small_100', 'convnext_atto', 'vit_tiny_patch16_224', 'swin_tiny_patch4_window7_224']
)
def test_network_with_another_kind_of_head_is_refused_and_left_alone(name):
    with torch.device('meta'):
        model = timm.create_model(name)
    before = [*model.state_dict()]
    with pytest.raises(ValueError, match=f'{type(model).__name__} has no head .*needs'):
        add_ml_decoder_head(model)
    assert [*model.state_dict()] == before


@pytest.mark.parametrize(
    ('wrong', 'hint'),
    [
        (lambda: MLDecoder(0), 'num_classes=0.*use 1'),
        (lambda: MLDecoder(10, 0), 'num_of_groups=0.*use 1'),
        (lambda: MLDecoder(10, decoder_embedding=100), 'decoder_embedding=100.*use 96 or 104'),
        (lambda: MLDecoder(10, initial_num_features=0), 'initial_num_features=0.*use 1'),
        (lambda: TransformerDecoderLayerOptimal(16, 3), 'd_model=16.*nhead=3.*use nhead=2 or 4'),
        (lambda: TransformerDecoderLayerOptimal(16, 4, activation='silu'), "activation 'silu'.*use one of 'relu'"),
        (lambda: decoder()(torch.randn(2, CHANNELS)), '2 dimensions.*leave pooling out'),
        (lambda: add_ml_decoder_head(timm.create_model('resnet18', num_classes=0)), 'no classes.*num_classes'),
        (lambda: add_ml_decoder_head(nn.Linear(2, 3)), 'Linear has no classes'),
    ],
)
def test_what_does_not_fit_is_refused(wrong, hint):
    with pytest.raises(ValueError, match=hint):
        wrong()
