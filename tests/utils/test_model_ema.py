"""Moving averages of weights."""

import pytest
import torch
from torch import nn

from tests import reference
from tests.fill import digest
from tests.optim.problem import Problem
from timm.utils import ModelEma, ModelEmaV2, ModelEmaV3

EMAS = {
    'ema_v2(0.9)': lambda model: ModelEmaV2(model, decay=0.9),
    'ema_v3(0.99,use_warmup)': lambda model: ModelEmaV3(model, decay=0.99, use_warmup=True),
}


class Net(nn.Module):
    """A weight, a shared weight, saved buffers of two kinds, and one that is not saved."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer('table', torch.arange(3.0), persistent=False)

    def forward(self, x):
        return self.b(self.a(self.norm(x)))


def shift(model, by=1.0):
    with torch.no_grad():
        for param in model.parameters():
            param.add_(by)
        model.norm.running_mean.add_(by)
        model.norm.num_batches_tracked.add_(4)


@pytest.mark.parametrize('case', EMAS)
def test_averages_are_those_of_the_reference(case):
    problem = Problem()
    ema = EMAS[case](problem)
    for step in range(1, 6):
        with torch.no_grad():
            for param in problem.parameters():
                param.mul_(1.1)
        ema.update(problem, **({'step': step} if isinstance(ema, ModelEmaV3) else {}))
    for name, expected in reference.load('training')[case].items():
        found = digest(getattr(ema.module, name))
        assert found['rms'] == pytest.approx(expected['rms'], rel=1e-9)
        assert found['proj'] == pytest.approx(expected['proj'], rel=1e-9)


@pytest.mark.parametrize(
    'make', [ModelEma, ModelEmaV2, ModelEmaV3, lambda m, decay: ModelEmaV3(m, decay, foreach=False)]
)
def test_weights_and_statistics_are_averaged_and_counts_copied(make):
    model = Net()
    ema = make(model, decay=0.75)
    start = model.a.weight.detach().clone()
    shift(model)
    ema.update(model)
    average = ema.ema if isinstance(ema, ModelEma) else ema.module
    torch.testing.assert_close(average.a.weight.detach(), start + 0.25)  # once, though it is there twice
    assert average.a.weight is average.b.weight
    torch.testing.assert_close(average.norm.running_mean, torch.full((3,), 0.25))
    assert average.norm.num_batches_tracked == 4
    assert not average.training
    assert model.training


def test_buffers_can_be_copied_instead():
    model = Net()
    ema = ModelEmaV3(model, decay=0.75, exclude_buffers=True)
    shift(model)
    ema.update(model)
    torch.testing.assert_close(ema.module.norm.running_mean, torch.ones(3))
    torch.testing.assert_close(ema.module.norm.weight.detach(), torch.full((3,), 1.25))


def test_set_starts_anew():
    model = Net()
    for ema in (ModelEmaV2(model), ModelEmaV3(model)):
        shift(model)
        ema.set(model)
        for name, value in model.state_dict().items():
            assert torch.equal(ema.module.state_dict()[name], value)


def test_warm_up_raises_the_decay_from_a_copy():
    ema = ModelEmaV3(nn.Linear(1, 1), decay=0.99, use_warmup=True, min_decay=0.1, warmup_power=0.75)
    assert [ema.get_decay(step) for step in (0, 1)] == [0.0, 0.0]
    assert ema.get_decay(2) == pytest.approx(1 - 2**-0.75)
    assert ema.get_decay(11) == pytest.approx(1 - 11**-0.75)
    assert ema.get_decay(10**9) == 0.99
    assert ema.get_decay() == 0.99
    late = ModelEmaV3(nn.Linear(1, 1), decay=0.9, update_after_step=5)
    assert [late.get_decay(step) for step in (5, 6, 7)] == [0.0, 0.0, 0.9]
    floored = ModelEmaV3(nn.Linear(1, 1), use_warmup=True, min_decay=0.5)
    assert floored.get_decay(2) == 0.5


def test_a_float32_average_follows_a_bfloat16_model_exactly():
    model = nn.Linear(2, 2, bias=False).bfloat16()
    with torch.no_grad():
        model.weight.fill_(1.0)
    ema = ModelEmaV3(model, decay=0.999, dtype=torch.float32)
    with torch.no_grad():
        model.weight.fill_(2.0)
    ema.update(model)
    torch.testing.assert_close(ema.module.weight.detach(), torch.full((2, 2), 1.001))


def test_chance_carries_small_updates_into_a_bfloat16_average():
    def drift(**args):
        model = nn.Linear(64, 64, bias=False)
        with torch.no_grad():
            model.weight.fill_(1.0)
        ema = ModelEmaV3(model, decay=0.999, dtype=torch.bfloat16, **args)
        with torch.no_grad():
            model.weight.fill_(2.0)
        for _ in range(20):
            ema.update(model)
        return ema.module.weight.float()

    assert drift(stochastic_rounding=False).unique().tolist() == [1.0]
    rounded = drift()
    assert rounded.mean().item() == pytest.approx(1 + 1 - 0.999**20, abs=1e-3)
    assert torch.equal(rounded, drift())
    assert not torch.equal(rounded, drift(stochastic_rounding_seed=1))


def test_an_average_runs_like_the_model():
    model = Net()
    x = torch.randn(4, 3)
    for ema in (ModelEmaV2(model), ModelEmaV3(model)):
        torch.testing.assert_close(ema(x), ema.module(x))
        assert all(name.startswith('module.') for name in ema.state_dict())


def test_a_model_of_another_build_is_refused():
    ema = ModelEmaV3(Net())
    with pytest.raises(ValueError, match='new average'):
        ema.update(nn.Linear(3, 3))


@pytest.mark.parametrize('average', [ModelEma, ModelEmaV2, ModelEmaV3])
@pytest.mark.parametrize('decay', [-0.1, 1.1, float('nan')])
def test_a_decay_that_is_no_weight_is_refused(average, decay):
    with pytest.raises(ValueError, match=f'got {decay}'):
        average(Net(), decay=decay)


def test_the_first_generation_resumes_from_a_checkpoint(tmp_path):
    model = Net()
    path = str(tmp_path / 'checkpoint.pth')
    torch.save(
        {'state_dict': model.state_dict(), 'state_dict_ema': {k: v + 1 for k, v in model.state_dict().items()}}, path
    )
    ema = ModelEma(model, resume=path)
    torch.testing.assert_close(ema.ema.a.weight, model.a.weight + 1)
    assert not any(param.requires_grad for param in ema.ema.parameters())
    torch.save({'state_dict': model.state_dict()}, path)
    with pytest.raises(ValueError, match='state_dict_ema'):
        ModelEma(model, resume=path)
