"""What every network promises, checked on the smallest variant of each network class of each family."""

import copy
import inspect
import io
import math
import pickle
from functools import cache
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import timm
from tests import reference
from tests.fill import fill_model, input_image
from timm import catalog
from timm.models import get_model_args
from timm.models._manipulate import group_modules, group_parameters, reinit_non_persistent_buffers

SIZE = 64  # of the images; every family takes it, by `img_size` where the size is built in


class Case(NamedTuple):
    """One network class of one family, and the variant that stands for it."""

    family: str
    network: str
    name: str


def _parameter_count(family, name):
    return sum(
        math.prod(shape) for _, shape, _, kind in reference.load(f'state/{family}')[name]['state'] if kind == 'p'
    )


def _cases():
    """The variant with the fewest parameters of every (family, network)."""
    smallest = {}
    for family, name in reference.models('state'):
        if family not in catalog.family_names():
            continue
        network = catalog.variant(name).network or catalog.family(family).network
        size = _parameter_count(family, name)
        if (family, network) not in smallest or size < smallest[family, network][0]:
            smallest[family, network] = size, name
    return [Case(family, network, name) for (family, network), (_, name) in smallest.items()]


CASES = _cases()


@pytest.fixture(params=CASES, ids=[f'{case.family}-{case.network}' for case in CASES])
def case(request):
    return request.param


@cache
def _sized(name):
    """The arguments that make a network take small images and classify, where it needs them."""
    network = type(timm.create_model(name, device='meta'))
    takes = any('img_size' in inspect.signature(cls.__init__).parameters for cls in network.__mro__)
    classes = {} if timm.get_pretrained_cfg(name).num_classes else {'num_classes': 10}
    return {'img_size': SIZE, **classes} if takes else classes


def build(case, **kwargs):
    return timm.create_model(case.name, **{**_sized(case.name), **kwargs})


@cache
def _prototype(name):
    """Weights by formula: a fresh network may compute nothing, for its branches start at zero."""
    return fill_model(timm.create_model(name, **_sized(name)).eval())


@pytest.fixture
def shared(case):
    """The filled network of this case; not to be changed."""
    return _prototype(case.name)


@pytest.fixture
def model(shared):
    """A filled network of this test's own."""
    return copy.deepcopy(shared)


@pytest.fixture
def x():
    return images()


def images(batch=2, chans=3, size=SIZE):
    return input_image(batch, (chans, size, size)).float()


def as_map(model, features):
    """Whatever `forward_features` gives, as (B, C, h, w) without prefix tokens."""
    if features.ndim == 3:
        tokens = features[:, getattr(model, 'num_prefix_tokens', 0) :]
        side = math.isqrt(tokens.shape[1])
        return tokens.transpose(1, 2).unflatten(2, (side, side))
    return features.permute(0, 3, 1, 2) if getattr(model, 'output_fmt', 'NCHW') == 'NHWC' else features


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * max(1.0, float(expected.detach().abs().max())))


def classifiers(model):
    found = model.get_classifier()
    return found if isinstance(found, tuple) else (found,)


def stems(model):
    names = model.pretrained_cfg['first_conv']
    return (names,) if isinstance(names, str) else tuple(names or ())


def gradients(model, x):
    """Output and gradients of a training step whose random choices are fixed."""
    model.train()
    model.zero_grad()
    torch.manual_seed(0)
    y = model(x)
    (y * input_image(1, (1, *y.shape)).float()[0, 0]).sum().backward()
    return y.detach(), {name: p.grad.clone() if p.grad is not None else None for name, p in model.named_parameters()}


# one forward pass, in parts


@torch.no_grad()
def test_forward_is_the_head_on_the_features(shared, x):
    features = shared.forward_features(x)
    logits = shared(x)
    assert logits.shape == (2, shared.num_classes)
    assert logits.isfinite().all()
    assert logits.std() > 0
    torch.testing.assert_close(shared.forward_head(features), logits, rtol=0, atol=0)
    assert as_map(shared, features).shape[1] == shared.num_features


@torch.no_grad()
def test_pre_logits_are_what_the_classifier_sees(model, x):
    features = model.forward_features(x)
    pre_logits = model.forward_head(features, pre_logits=True)
    assert pre_logits.shape == (2, model.head_hidden_size)
    classifier = model.get_classifier()
    if isinstance(classifier, nn.Conv2d):
        same(classifier(pre_logits[:, :, None, None]).flatten(1), model.forward_head(features))
    elif not isinstance(classifier, tuple):
        same(classifier(pre_logits), model.forward_head(features))
    model.reset_classifier(0)
    same(model(x), pre_logits)


@torch.no_grad()
def test_batch_items_do_not_mix(shared, x):
    same(shared(x)[1:], shared(x[1:]))
    same(shared(x.flip(0)), shared(x).flip(0))


# features at several depths


@torch.no_grad()
def test_intermediates_end_in_the_features(shared, x):
    features = shared.forward_features(x)
    final, intermediates = shared.forward_intermediates(x)
    torch.testing.assert_close(final, features, rtol=0, atol=0)
    assert len(intermediates) == len(shared.feature_info)
    normed = shared.forward_intermediates(x, norm=True, intermediates_only=True)
    features = as_map(shared, features)
    if shared.feature_info[-1]['num_chs'] == features.shape[1] and normed[-1].shape == features.shape:
        same(normed[-1], features)
    else:  # something follows the deepest tap
        assert features.shape[1] == shared.num_features


@torch.no_grad()
def test_intermediates_have_the_channels_and_strides_of_feature_info(shared, x):
    intermediates = shared.forward_intermediates(x, intermediates_only=True)
    for feature, info in zip(intermediates, shared.feature_info, strict=True):
        side = math.ceil(SIZE / info['reduction'])
        assert feature.shape == (2, info['num_chs'], side, side)


@torch.no_grad()
def test_indices_choose_among_the_intermediates(shared, x):
    def take(indices, **kwargs):
        return shared.forward_intermediates(x, indices=indices, intermediates_only=True, **kwargs)

    def is_same(found, indices):
        assert len(found) == len(indices)
        for feature, i in zip(found, indices, strict=True):
            torch.testing.assert_close(feature, everything[i], rtol=0, atol=0)

    everything = take(None)
    n = len(everything)
    is_same(take(n), range(n))
    is_same(take(2), [n - 2, n - 1])
    is_same(take([0]), [0])
    is_same(take([-1]), [n - 1])
    is_same(take([-1, 0, n - 1]), [0, n - 1])
    is_same(take((1, 0)), [0, 1])
    is_same(take({0, 1}), [0, 1])
    is_same(take([0, 1], stop_early=True), [0, 1])
    is_same(shared.forward_intermediates(x, indices=[0])[1], [0])
    for wrong in (n + 1, 0, [n], [-n - 1]):
        with pytest.raises(AssertionError):
            take(wrong)
    with pytest.raises(ValueError, match='indices'):
        take([])
    with pytest.raises(AssertionError, match='output_fmt'):
        take(None, output_fmt='NWHC')


@torch.no_grad()
def test_pruning_keeps_the_features_asked_for(shared, x):
    everything = shared.forward_intermediates(x, intermediates_only=True)
    n = len(everything)
    total = sum(p.numel() for p in shared.parameters())
    for indices, kept in (([0], [0]), ([n // 2, 0], [n // 2, 0]), ([-2], [n - 2]), (1, [n - 1]), (2, [n - 2, n - 1])):
        pruned = copy.deepcopy(shared)
        assert pruned.prune_intermediate_layers(indices) == kept
        assert sum(p.numel() for p in pruned.parameters()) < total
        found = pruned.forward_intermediates(x, indices=kept, intermediates_only=True)
        for feature, i in zip(found, sorted(kept), strict=True):
            torch.testing.assert_close(feature, everything[i], rtol=0, atol=0)
    kept_head = copy.deepcopy(shared)
    kept_head.prune_intermediate_layers(1, prune_head=False)
    torch.testing.assert_close(kept_head(x), shared(x), rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize('prune_norm', [False, True])
def test_a_pruned_network_classifies_from_what_is_left(shared, x, prune_norm):
    for index in range(len(shared.feature_info)):
        pruned = copy.deepcopy(shared)
        pruned.prune_intermediate_layers([index], prune_norm=prune_norm)
        features = pruned.forward_features(x)
        if not isinstance(features, torch.Tensor):  # of several resolutions
            continue
        pruned.reset_classifier(5, get_model_args(shared)['global_pool'])
        assert pruned.forward_head(features, pre_logits=True).shape == (2, pruned.head_hidden_size)
        assert pruned(x).shape == (2, 5)


def test_a_pruned_network_has_no_idle_weights(shared, x):
    for index in range(len(shared.feature_info)):
        pruned = copy.deepcopy(shared).train()
        take = pruned.prune_intermediate_layers([index], prune_norm=True)
        found = [*pruned.forward_intermediates(x, indices=take, intermediates_only=True), pruned.forward_features(x)]
        if isinstance(found[-1], torch.Tensor):  # else of several resolutions
            sum(feature.sum() for feature in found).backward()
            assert [name for name, p in pruned.named_parameters() if p.requires_grad and p.grad is None] == []


@torch.no_grad()
def test_a_feature_extractor_gives_what_it_announces(case, x):
    pyramid = build(case, features_only=True).eval()
    info = pyramid.feature_info
    features = pyramid(x)
    nhwc = getattr(pyramid, 'output_fmt', 'NCHW') == 'NHWC'
    assert len(features) == len(info.channels()) == len(info.reduction()) == len(info.module_name())
    for feature, channels, reduction in zip(features, info.channels(), info.reduction(), strict=True):
        side = math.ceil(SIZE / reduction)
        assert feature.shape == ((2, side, side, channels) if nhwc else (2, channels, side, side))
    assert pyramid.in_chans == 3
    assert 'num_classes' not in pyramid.pretrained_cfg
    assert 'classifier' not in pyramid.pretrained_cfg
    assert pyramid.default_cfg is pyramid.pretrained_cfg


@torch.no_grad()
def test_a_feature_extractor_takes_one_tap(case, x):
    pyramid = build(case, features_only=True, out_indices=[1], in_chans=1).eval()
    (feature,) = pyramid(x[:, :1])
    assert [
        feature.shape[3 if getattr(pyramid, 'output_fmt', 'NCHW') == 'NHWC' else 1]
    ] == pyramid.feature_info.channels()


# the classifier


def test_the_classifier_is_the_one_the_configuration_names(shared):
    names = shared.pretrained_cfg['classifier']
    names = (names,) if isinstance(names, str) else tuple(names)
    assert classifiers(shared) == tuple(shared.get_submodule(name) for name in names)
    for module in classifiers(shared):
        assert next(iter(module.parameters())).shape[0] == shared.num_classes


@torch.no_grad()
@pytest.mark.parametrize('training', [False, True])
def test_a_new_classifier_keeps_mode_and_dtype(model, x, training):
    model = model.to(torch.float64).train(training)
    x = x.double()
    for num_classes in (10, 0, 5):
        model.reset_classifier(num_classes)
        assert model.num_classes == num_classes
        assert all(module.training == training for module in model.modules())
        assert {p.dtype for p in model.parameters()} == {torch.float64}
        for module in classifiers(model):
            assert isinstance(module, nn.Identity) == (num_classes == 0)
        assert model(x).shape == (2, num_classes or model.head_hidden_size)


@torch.no_grad()
def test_without_classes_the_pooled_features_come_out(case, x):
    model = build(case, num_classes=0).eval()
    assert all(isinstance(module, nn.Identity) for module in classifiers(model))
    assert model(x).shape == (2, model.head_hidden_size)
    assert model.num_classes == 0


@torch.no_grad()
def test_pooling_can_be_left_out(case, model, x):
    if isinstance(model.get_classifier(), tuple):
        pytest.skip('several classifiers, each on a token of its own')
    shape = list(model.forward_features(x).shape)
    model.reset_classifier(0, '')
    shape[1 if len(shape) == 4 and getattr(model, 'output_fmt', 'NCHW') == 'NCHW' else -1] = model.head_hidden_size
    assert list(model(x).shape) == shape
    built = build(case, num_classes=0, global_pool='').eval()
    assert list(built(x).shape) == shape


# variants of the input


@torch.no_grad()
@pytest.mark.parametrize('chans', [1, 5])
def test_images_may_have_other_channels(case, chans):
    model = build(case, in_chans=chans).eval()
    assert model.in_chans == chans
    assert model(images(1, chans)).shape == (1, model.num_classes)
    for name in stems(model):
        assert model.get_parameter(f'{name}.weight').shape[1] == chans


@torch.no_grad()
def test_the_image_size_can_be_changed_afterwards(model):
    if not hasattr(model, 'set_input_size'):
        pytest.skip('takes images of any size')
    cfg = copy.deepcopy(model.pretrained_cfg)
    frozen = next(name for name, p in model.named_parameters() if p.requires_grad)
    model.get_parameter(frozen).requires_grad_(False)
    model.set_input_size(img_size=96)
    assert model(images(1, size=96)).shape == (1, model.num_classes)
    assert not model.get_parameter(frozen).requires_grad
    assert model.pretrained_cfg == cfg
    assert timm.models.get_model_input_config(model)['input_size'] == (3, 96, 96)
    assert timm.models.get_model_args(model)['img_size'] == (96, 96)
    if getattr(model.patch_embed, 'strict_img_size', False):
        with pytest.raises((AssertionError, RuntimeError), match=r'size|height'):
            model(images(1, size=SIZE))


# training


def test_every_parameter_gets_a_gradient(model, x):
    y, grads = gradients(model, x)
    assert y.shape == (2, model.num_classes)
    assert [name for name, grad in grads.items() if grad is None] == []
    assert all(grad.isfinite().all() for grad in grads.values())


def test_gradient_checkpointing_changes_nothing_but_memory(model, x):
    model.set_grad_checkpointing(False)
    try:
        model.set_grad_checkpointing()
    except AssertionError as error:
        assert 'gradient checkpointing' in str(error)  # noqa: PT017
        return
    model.set_grad_checkpointing(False)
    state = copy.deepcopy(model.state_dict())
    plain, plain_grads = gradients(model, x)
    model.load_state_dict(state)
    model.set_grad_checkpointing(True)
    recomputed, grads = gradients(model, x)
    torch.testing.assert_close(recomputed, plain, rtol=0, atol=0)
    assert grads.keys() == plain_grads.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, plain_grads[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize('coarse', [False, True])
def test_groups_hold_every_parameter_once_from_stem_to_classifier(shared, coarse):
    names = [name for name, _ in shared.named_parameters()]
    matcher = shared.group_matcher(coarse=coarse)
    groups = group_parameters(shared, matcher)
    assert sorted(name for group in groups.values() for name in group) == sorted(names)
    assert list(groups) == list(range(len(groups)))
    assert all(groups.values())
    assert {f'{name}.weight' for name in stems(shared)} <= set(groups[0])
    heads = {f'{name}.{leaf}' for name, module in shared.named_modules() for leaf, _ in module.named_parameters()
             if any(module is head for head in classifiers(shared))}  # fmt: skip
    assert heads <= set(groups[len(groups) - 1])
    assert len(groups) <= len(group_parameters(shared, shared.group_matcher()))
    by_module = group_modules(shared, matcher, reverse=True)
    assert set(by_module.values()) <= set(groups)


def test_names_without_weight_decay_are_the_published_ones(case, shared):
    if not hasattr(shared, 'no_weight_decay'):
        pytest.skip('all parameters are treated alike')
    own = {name for name, _ in shared.named_parameters()}
    assert all(isinstance(name, str) for name in shared.no_weight_decay())
    assert not any(name.startswith('blocks.0.attn.qkv') for name in shared.no_weight_decay() & own)


# copies, files, other devices and dtypes


@torch.no_grad()
def test_copies_compute_the_same(case, shared, x):
    expected = shared(x)
    again = build(case).eval()
    again.load_state_dict(copy.deepcopy(shared.state_dict()))
    pickled = pickle.loads(pickle.dumps(shared))
    file = io.BytesIO()
    torch.save(shared, file)
    file.seek(0)
    saved = torch.load(file, weights_only=False)
    for twin in (again, copy.deepcopy(shared), pickled, saved):
        torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in shared.parameters()}
    assert pickled.pretrained_cfg == shared.pretrained_cfg
    assert pickled._model_args == shared._model_args


@torch.no_grad()
def test_a_skeleton_on_the_meta_device_can_be_filled(case, shared, x):
    model = build(case, device='meta').eval()
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    with torch.device('meta'):
        twin = build(case)
    assert [(k, v.shape) for k, v in twin.state_dict().items()] == [(k, v.shape) for k, v in model.state_dict().items()]
    model.to_empty(device='cpu')
    reinit_non_persistent_buffers(model)
    model.load_state_dict(copy.deepcopy(shared.state_dict()))
    torch.testing.assert_close(model(x), shared(x), rtol=0, atol=0)


@torch.no_grad()
def test_a_network_can_be_built_in_bfloat16(case, x):
    torch.manual_seed(3)
    model = build(case, dtype=torch.bfloat16).eval()
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert torch.get_default_dtype() == torch.float32
    twin = build(case, device='meta').to(torch.bfloat16)
    assert {k: v.dtype for k, v in model.state_dict().items()} == {k: v.dtype for k, v in twin.state_dict().items()}
    assert model(x.bfloat16()).isfinite().all()
    model.reset_classifier(3)
    assert model(x.bfloat16()).dtype == torch.bfloat16
    assert 'dtype' not in model._model_args


def test_the_same_seed_gives_the_same_weights(case):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build(case).state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


# compilers


@torch.no_grad()
def test_torchscript_computes_the_same(case, x):
    model = fill_model(build(case, scriptable=True).eval())
    expected = model(x)
    same(torch.jit.script(model)(x), expected)


@torch.no_grad()
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')  # checks of the image size are not recorded
def test_tracing_computes_the_same(model, x):
    same(torch.jit.trace(model, x)(x), model(x))


@torch.no_grad()
def test_export_computes_the_same(model, x):
    same(torch.export.export(model, (x,)).module()(x), model(x))


@torch.no_grad()
def test_compilation_needs_no_graph_break(model, x):
    torch._dynamo.reset()
    same(torch.compile(model, backend='eager', fullgraph=True)(x), model(x))


@torch.no_grad()
@pytest.mark.filterwarnings('ignore:NOTE. The nodes obtained by tracing')  # training has nodes that drop things
def test_symbolic_tracing_finds_the_taps(shared, x):
    _, nodes = timm.models.get_graph_node_names(shared)
    taps = [info['module'] for info in shared.feature_info]
    extract = timm.models.create_feature_extractor(shared, {nodes[-1]: 'logits', **{t: t for t in taps if t in nodes}})
    found = extract(x)
    same(found['logits'], shared(x))
    assert len(found) > 1 or not any(tap in nodes for tap in taps)


# weights from a file


@pytest.fixture(scope='module')
def weight_file(tmp_path_factory):
    """Writes the filled network of a case to a safetensors file; returns its path."""
    folder = tmp_path_factory.mktemp('weights')

    @cache
    def write(name):
        path = folder / f'{name}.safetensors'
        save_file({key: value.contiguous().clone() for key, value in _prototype(name).state_dict().items()}, path)
        return str(path)

    return write


@pytest.fixture
def poisoned():
    """New memory holds NaN and the greatest integers, so that what nobody fills is seen."""
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.utils.deterministic.fill_uninitialized_memory = before[1]


def _is_filled(tensor):
    return bool(tensor.isfinite().all()) and (
        tensor.is_floating_point() or not (tensor == torch.iinfo(tensor.dtype).max).any()
    )


@pytest.mark.usefixtures('poisoned')
def test_nothing_stays_uninitialised(case, weight_file, shared):
    overlay = {'file': weight_file(case.name), 'num_classes': shared.num_classes}
    for kwargs in (
        {},
        {'num_classes': 7},
        {'dtype': torch.bfloat16},
        {'features_only': True},
        {'pretrained': True, 'pretrained_cfg_overlay': overlay},
        {'pretrained': True, 'pretrained_cfg_overlay': overlay, 'num_classes': 7, 'in_chans': 1},
        {'pretrained': True, 'pretrained_cfg_overlay': overlay, 'features_only': True},
        {'checkpoint_path': weight_file(case.name)},
    ):
        model = build(case, **kwargs)
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            assert not tensor.is_meta
            assert _is_filled(tensor), f'{name} with {kwargs}'


def test_weights_of_a_file_arrive_bit_for_bit(case, weight_file, shared):
    plain = build(case)
    plain.load_state_dict(copy.deepcopy(shared.state_dict()))
    overlay = {'file': weight_file(case.name), 'num_classes': shared.num_classes}
    for kwargs in ({'pretrained': True, 'pretrained_cfg_overlay': overlay}, {'checkpoint_path': overlay['file']}):
        model = build(case, **kwargs)
        state = model.state_dict()
        assert list(state) == list(plain.state_dict())
        for name, value in plain.state_dict().items():
            assert state[name].dtype == value.dtype
            assert state[name].stride() == value.stride()
            assert torch.equal(state[name], value), name
        for name, buffer in plain.named_buffers():
            assert torch.equal(model.get_buffer(name), buffer), name
        assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_a_file_for_other_classes_leaves_a_fresh_head(case, weight_file, shared):
    overlay = {'file': weight_file(case.name), 'num_classes': shared.num_classes}
    torch.manual_seed(0)
    model = build(case, num_classes=77, pretrained=True, pretrained_cfg_overlay=overlay)
    fresh = build(case, num_classes=77)
    heads = {id(p) for head in classifiers(model) for p in head.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in heads:
            assert torch.equal(parameter, shared.get_parameter(name)), name
            continue
        expected = fresh.get_parameter(name).detach().double()
        value = parameter.detach().double()
        spread = float(expected.std())
        assert abs(float(value.mean() - expected.mean())) <= 6 * spread * math.sqrt(2 / value.numel()) + 1e-12, name
        assert abs(float(value.std()) - spread) <= 6 * spread / math.sqrt(value.numel()) + 1e-12, name
    assert model.num_classes == 77
