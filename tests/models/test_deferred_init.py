"""Deferred initialisation: what is seen is what would be seen without it, and what nobody needs is never drawn."""

import copy
import gc
import threading

import pytest
import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from timm.layers import lecun_normal_, trunc_normal_, trunc_normal_tf_, variance_scaling_
from timm.models import _deferred_init
from timm.models._assign import assign_state_dict
from timm.models._deferred_init import deferred_init


class Box(nn.Module):
    """Holds tensors as parameters."""

    def __init__(self, *tensors):
        super().__init__()
        self.items = nn.ParameterList(nn.Parameter(t) for t in tensors)


def draws(build):
    """Whether random numbers are drawn, told by the generator's state."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    build()
    return not torch.equal(before, torch.get_rng_state())


# what is noted, replaced, forgotten


def test_a_fill_is_put_off_until_the_model_is_finished():
    with deferred_init() as finish:
        model = nn.Linear(64, 64)
        assert not draws(lambda: nn.init.normal_(model.weight))
        assert draws(lambda: finish(model))
    assert abs(float(model.weight.detach().std()) - 1) < 0.1


def test_a_later_fill_replaces_an_earlier_one():
    with deferred_init() as finish:
        model = nn.Linear(8, 8)
        nn.init.constant_(model.weight, 1.0)
        nn.init.constant_(model.weight, 2.0)
        with torch.no_grad():
            model.bias.fill_(3.0)
            model.bias.zero_()
        assert not draws(lambda: finish(model))
    assert bool((model.weight == 2).all())
    assert bool((model.bias == 0).all())


def test_refinements_follow_their_fill():
    with deferred_init() as finish:
        model = nn.Linear(8, 8)
        with torch.no_grad():
            model.weight.fill_(1.0).add_(2.0).mul_(3.0)
            model.weight.t().sub_(1.0)
        finish(model)
    assert bool((model.weight == 8).all())


def test_a_replaced_tensor_is_never_drawn():
    def build():
        with deferred_init() as finish:
            model = nn.Linear(64, 64)
            model.weight = nn.Parameter(torch.ones(64, 64))
            model.bias = nn.Parameter(torch.ones(64))
            finish(model)
        assert bool((model.weight == 1).all())

    assert not draws(build)


def test_an_abandoned_module_is_never_drawn():
    def build():
        with deferred_init() as finish:
            nn.Linear(64, 64)
            finish(nn.Identity())

    assert not draws(build)


@pytest.mark.parametrize('keep', ['attribute', 'list', 'view', 'hidden module', 'closure'])
def test_whatever_somebody_holds_is_filled(keep):
    """Tensors that are no parameter or buffer of the model are not left with the memory's old content."""
    with deferred_init() as finish:
        model = nn.Linear(2, 2)
        value = torch.full((16,), float('nan')).fill_(5.0)
        held = value
        if keep == 'attribute':
            model.extra = value
        elif keep == 'list':
            model.extras = [value]
        elif keep == 'view':
            held = value[:4]
            model.extra = held
        elif keep == 'hidden module':
            other = nn.Linear(2, 2)
            held = nn.init.constant_(other.weight, 5.0)
            model.__dict__['teacher'] = other
        else:
            model.forward = lambda x, value=value: x + value
        del value
        finish(model)
    assert bool((held == 5).all())


def test_something_that_is_no_module_can_be_finished():
    with deferred_init() as finish:
        tensor = torch.full((3,), float('nan')).fill_(1.0)
        finish('patched')
    assert bool((tensor == 1).all())


# what runs a fill at once


@pytest.mark.parametrize(
    'read',
    [
        lambda t: t.sum(),
        lambda t: t + 0,
        lambda t: t[0],
        lambda t: t.clone(),
        lambda t: t.tolist(),
        lambda t: t.numpy(),
        lambda t: torch.stack([t, t]),
        lambda t: t.double(),
        lambda t: copy.deepcopy(t),
        lambda t: t.data.sum(),
        lambda t: t.detach().view(-1).sum(),
        lambda t: t.data_ptr(),
        lambda t: str(t),
    ],
)
def test_reading_a_tensor_fills_it_first(read):
    with deferred_init():
        tensor = torch.full((4,), float('nan')).fill_(2.0)
        read(tensor)
        with torch._C.DisableTorchFunction():
            assert bool((tensor == 2).all())


@pytest.mark.parametrize(
    'look',
    [
        lambda t: t.shape,
        lambda t: t.size(0),
        lambda t: t.dtype,
        lambda t: t.device,
        lambda t: t.numel(),
        lambda t: t.requires_grad_(False),
        lambda t: t.is_floating_point(),
        lambda t: t.view(2, 2),
        lambda t: t.detach(),
        lambda t: nn.Parameter(t),
        lambda t: torch.empty_like(t),
        lambda t: len(t),
    ],
)
def test_looking_at_a_tensor_does_not_fill_it(look):
    with deferred_init():
        tensor = torch.full((4,), 1.0).fill_(2.0)
        look(tensor)
        with torch._C.DisableTorchFunction():
            assert bool((tensor == 1).all())
        assert float(tensor.sum()) == 8


def test_a_partial_write_keeps_the_rest():
    with deferred_init() as finish:
        model = nn.Linear(4, 4)
        nn.init.ones_(model.weight)
        with torch.no_grad():
            model.weight[1] = 7.0
            model.weight[2].fill_(8.0)
            model.weight.data[3].zero_()
        finish(model)
    assert model.weight[:, 0].tolist() == [1.0, 7.0, 8.0, 0.0]


def test_a_whole_view_is_as_good_as_the_tensor():
    with deferred_init() as finish:
        model = nn.Linear(4, 4)
        nn.init.zeros_(model.weight.view(2, 8))
        nn.init.ones_(model.bias.data)
        assert not draws(lambda: finish(model))
    assert bool((model.weight == 0).all())
    assert bool((model.bias == 1).all())


def test_an_expanded_view_is_no_whole_tensor():
    with deferred_init() as finish:
        model = Box(torch.zeros(1))
        model.items[0].data.expand(3).fill_(2.0)
        finish(model)
    assert float(model.items[0].detach()) == 2


def test_a_fill_from_a_tensor_takes_its_value_of_that_moment():
    with deferred_init() as finish:
        value = torch.full((), float('nan')).fill_(3.0)
        model = nn.Linear(2, 2)
        with torch.no_grad():
            model.weight.fill_(value)
            value.fill_(4.0)
        del value
        finish(model)
    assert bool((model.weight == 3).all())


def test_a_refinement_by_a_tensor_runs_at_once():
    with deferred_init() as finish:
        model = nn.Linear(2, 2)
        nn.init.ones_(model.weight)
        factor = torch.full((2, 2), 5.0)
        with torch.no_grad():
            model.weight.mul_(factor)
            factor.zero_()
        finish(model)
    assert bool((model.weight == 5).all())


def test_a_copy_of_an_unfilled_tensor_holds_its_values():
    with deferred_init() as finish:
        source, model = nn.Linear(2, 2), nn.Linear(2, 2)
        nn.init.constant_(source.weight, 6.0)
        model.load_state_dict(source.state_dict())
        model.bias.data = torch.ones(2)
        finish(model)
    assert bool((model.weight == 6).all())
    assert bool((model.bias == 1).all())


def test_what_is_an_error_outside_is_one_inside():
    with deferred_init():
        weight = nn.Linear(2, 2).weight
        with pytest.raises(RuntimeError, match='leaf Variable'):
            weight.normal_()
        with pytest.raises(RuntimeError, match='leaf Variable'):
            weight.mul_(2.0)
        with torch.no_grad():
            weight.normal_()


def test_gradients_can_be_computed_inside():
    with deferred_init():
        model = nn.Linear(3, 2)
        nn.init.ones_(model.weight)
        model(torch.ones(1, 3)).sum().backward()
        assert model.weight.grad is not None
        assert bool((model.weight.grad == 1).all())


# devices and dtypes


def test_meta_tensors_stay_as_they_are():
    with deferred_init() as finish, torch.device('meta'):
        model = nn.Linear(4, 4)
        trunc_normal_(model.weight)
        finish(model)
    assert model.weight.is_meta


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_filled(dtype):
    torch.manual_seed(0)
    with deferred_init() as finish:
        model = nn.Linear(64, 64, dtype=dtype)
        trunc_normal_(model.weight, std=0.5)
        finish(model)
    assert model.weight.dtype == dtype
    assert abs(float(model.weight.detach().double().std()) - 0.5) < 0.05


def test_a_module_can_change_dtype_inside():
    with deferred_init() as finish:
        model = nn.Linear(8, 8)
        nn.init.constant_(model.weight, 3.0)
        model = model.to(torch.float64)
        nn.init.constant_(model.bias, 4.0)
        finish(model)
    assert bool((model.weight == 3).all())
    assert bool((model.bias == 4).all())


class Copying(nn.Linear):
    """Loads in its own way, in place."""

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        with torch.no_grad():
            self.weight.copy_(state_dict[f'{prefix}weight'])


@pytest.mark.parametrize('share', [None, False])
def test_weights_that_were_loaded_are_not_drawn_over(share):
    source = {'0.weight': torch.full((2, 2), 3.0), '0.bias': torch.zeros(2), '1.weight': torch.full((2, 2), 4.0)}
    with deferred_init() as finish:
        model = nn.Sequential(Copying(2, 2), nn.Linear(2, 2))
        nn.init.constant_(model[0].bias, 5.0)
        nn.init.constant_(model[1].bias, 6.0)
        assign_state_dict(model, source, strict=False, share=share)
        finish(model)
    assert bool((model[0].weight == 3).all())
    assert bool((model[1].weight == 4).all())
    assert bool((model[0].bias == 5).all()), 'ignored by the loader, so initialised'
    assert bool((model[1].bias == 6).all()), 'not in the file, so initialised'


# the block itself


def test_only_the_outer_block_decides_when_a_model_is_finished():
    with deferred_init() as finish:
        with deferred_init() as inner:
            model = nn.Linear(4, 4)
            nn.init.ones_(model.weight)
            inner(model)
        nn.init.zeros_(model.weight)
        assert not draws(lambda: nn.init.zeros_(model.bias))
        finish(model)
    assert bool((model.weight == 0).all())


def test_no_mode_stays_active():
    def is_clean():
        return not _get_current_function_mode_stack() and not _deferred_init.is_deferring()

    assert is_clean()
    with deferred_init():
        assert _deferred_init.is_deferring()
    assert is_clean()
    with pytest.raises(RuntimeError, match='negative'), deferred_init():
        nn.Linear(-2, 2)
    assert is_clean()
    with pytest.raises(ZeroDivisionError), deferred_init(), deferred_init():
        1 / 0  # noqa: B018
    assert is_clean()
    assert draws(lambda: nn.Linear(2, 2))


def test_other_threads_are_left_alone():
    seen = {}

    def work():
        seen['deferring'] = _deferred_init.is_deferring()
        seen['weight'] = nn.init.ones_(nn.Linear(2, 2).weight)
        with deferred_init() as finish:
            seen['model'] = nn.Linear(2, 2)
            nn.init.ones_(seen['model'].weight)
            finish(seen['model'])

    with deferred_init() as finish:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert _deferred_init.is_deferring()
        finish(nn.Identity())
    assert not seen['deferring']
    assert bool((seen['weight'] == 1).all())
    assert bool((seen['model'].weight == 1).all())


def test_nothing_is_kept_after_the_block():
    with deferred_init() as finish:
        finish(nn.Linear(4, 4))
    gc.collect()
    assert not finish.__self__._due


# distributions


FILLS = [
    lambda t: nn.init.normal_(t, 1.0, 2.0),
    lambda t: nn.init.uniform_(t, -1.0, 3.0),
    lambda t: nn.init.kaiming_normal_(t, mode='fan_out', nonlinearity='relu'),
    lambda t: nn.init.kaiming_uniform_(t, a=5**0.5),
    lambda t: nn.init.xavier_uniform_(t),
    lambda t: nn.init.xavier_normal_(t),
    lambda t: nn.init.trunc_normal_(t, std=0.5),
    lambda t: nn.init.orthogonal_(t),
    lambda t: nn.init.eye_(t),
    lambda t: nn.init.dirac_(t.view(*t.shape, 1)),
    lambda t: trunc_normal_(t, std=0.02),
    lambda t: trunc_normal_tf_(t, std=0.5),
    lambda t: lecun_normal_(t),
    lambda t: variance_scaling_(t, 2.0, 'fan_avg', 'uniform'),
]


@pytest.mark.parametrize('fill', FILLS)
def test_one_fill_draws_the_same_numbers_as_without(fill):
    plain, put_off = torch.empty(32, 48), Box(torch.empty(32, 48))
    torch.manual_seed(5)
    fill(plain)
    torch.manual_seed(5)
    with deferred_init() as finish:
        fill(put_off.items[0].data)
        finish(put_off)
    torch.testing.assert_close(put_off.items[0].data, plain, rtol=0, atol=0)


@pytest.mark.parametrize(
    'build',
    [
        lambda: nn.MultiheadAttention(32, 4),
        lambda: nn.LSTM(16, 32),
        lambda: nn.Embedding(50, 32, padding_idx=0),
        lambda: nn.TransformerEncoderLayer(32, 4, 64),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(32, 32)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(32, 32)),
        lambda: nn.Bilinear(8, 8, 8),
        lambda: nn.BatchNorm2d(8),
        lambda: nn.LazyLinear(4),
    ],
)
def test_torch_modules_have_their_usual_distribution(build):
    torch.manual_seed(0)
    plain = build()
    with deferred_init() as finish:
        put_off = build()
        finish(put_off)
    if isinstance(plain, nn.LazyLinear):
        plain(torch.ones(1, 9))
        put_off(torch.ones(1, 9))
    for (name, a), (_, b) in zip(plain.state_dict().items(), put_off.state_dict().items(), strict=True):
        a, b = a.double(), b.double()
        spread = float(a.std()) if a.numel() > 1 else float(a.abs())
        assert b.isfinite().all(), name
        assert abs(float(a.mean() - b.mean())) <= 6 * spread * (2 / a.numel()) ** 0.5 + 1e-9, name
        if a.numel() > 1:
            assert abs(float(b.std()) - spread) <= 6 * spread / a.numel() ** 0.5 + 1e-9, name
