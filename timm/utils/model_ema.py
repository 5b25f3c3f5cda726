"""Exponential moving averages of a model's weights, in three generations."""

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ['ModelEma', 'ModelEmaV2', 'ModelEmaV3']


def _tensors(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters, and the buffers that are saved, each once.

    Every update walks the modules, since one may have been given new tensors; `parameters()` would take longer than a
    tenth of the averaging itself.
    """
    modules = [model]
    params: dict[int, Tensor] = {}
    buffers: dict[int, Tensor] = {}
    for module in modules:  # which grows on the way
        for param in module._parameters.values():
            if param is not None:
                params[id(param)] = param
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                buffers[id(buffer)] = buffer
        modules += [child for child in module._modules.values() if child is not None]
    return list(params.values()), list(buffers.values())


def _start(model: nn.Module, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> nn.Module:
    """A copy of `model` in evaluation mode, the average before its first update."""
    with torch.no_grad():  # the weights of a scripted model would be results of the copying
        average = copy.deepcopy(model).eval()
    return average if device is None and dtype is None else average.to(device=device, dtype=dtype)


class ModelEma:
    """The first generation: `ema` is a copy of the model in evaluation mode, without gradients.

    Args:
        decay: Weight of the average against a new value.
        device: Where the average is kept, '' for beside the model.
        resume: Checkpoint whose `state_dict_ema` to start from.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9999, device: str = '', resume: str = '') -> None:
        self.ema = _start(model, device or None)
        self.ema_has_module = hasattr(self.ema, 'module')
        self.device = device
        self.decay = _checked_decay(decay)
        if resume:
            self._load_checkpoint(resume)
        for param in self.ema.parameters():
            param.requires_grad_(False)

    def _load_checkpoint(self, checkpoint_path: str) -> None:
        checkpoint = torch.load(checkpoint_path, map_location='cpu', weights_only=True)
        if not isinstance(checkpoint, dict) or 'state_dict_ema' not in checkpoint:
            raise ValueError(f"{checkpoint_path} has no 'state_dict_ema': it was saved without an average.")
        names = checkpoint['state_dict_ema'].items()
        if self.ema_has_module:
            names = [(name if name.startswith('module.') else f'module.{name}', value) for name, value in names]
        self.ema.load_state_dict(OrderedDict(names))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the model's present weights into the average."""
        _average(self.ema, model, self.decay, self.device or None)


class ModelEmaV2(nn.Module):
    """The second generation: a module whose `module` is the average, in evaluation mode.

    Args:
        decay: Weight of the average against a new value.
        device: Where the average is kept, None for beside the model.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9999, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.module = _start(model, device)
        self.device = device
        self.decay = _checked_decay(decay)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the model's present weights into the average."""
        _average(self.module, model, self.decay, self.device)

    @torch.no_grad()
    def set(self, model: nn.Module) -> None:
        """Start the average anew from the model's present weights."""
        _average(self.module, model, 0.0, self.device)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


def _local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: the average of a model in shards is one of its shards."""
    return tensor.to_local() if hasattr(tensor, 'to_local') else tensor  # pyright: ignore[reportAttributeAccessIssue]


def _pairs(
    ema: nn.Module, model: nn.Module, device: torch.device | str | None
) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """Tensors of the average beside the model's: floating parameters, floating buffers, and all others.

    Raises:
        ValueError: The two are built differently.
    """
    floating: list[list[tuple[Tensor, Tensor]]] = []
    others: list[tuple[Tensor, Tensor]] = []
    for ours, theirs in zip(_tensors(ema), _tensors(model), strict=True):
        if len(ours) != len(theirs):
            raise ValueError(
                f'The average has {len(ours)} tensors where the model has {len(theirs)}: make a new average after '
                'changing a model.'
            )
        if device is not None:
            theirs = [value.to(device=device) for value in theirs]
        pairs = list(zip(map(_local, ours), map(_local, theirs), strict=True))
        floating.append([pair for pair in pairs if pair[0].is_floating_point()])
        others += [pair for pair in pairs if not pair[0].is_floating_point()]
    params, buffers = floating
    return params, buffers, others


def _checked_decay(decay: float) -> float:
    """The decay that is asked for: the weight of an average.

    Raises:
        ValueError: It is below 0, above 1, or no number.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f'the decay of an average is a weight from 0 to 1, got {decay}')
    return decay


def _average(ema: nn.Module, model: nn.Module, decay: float, device: torch.device | str | None) -> None:
    """Move every floating tensor of `ema` by 1 - decay towards the model's, and copy the others."""
    params, buffers, others = _pairs(ema, model, device)
    for mean, value in params + buffers:
        mean.mul_(decay).add_(value.to(mean.dtype), alpha=1 - decay)
    for mean, value in others:
        mean.copy_(value)


def _lerp_stochastic_round_bf16_(
    means: list[Tensor], values: list[Tensor], weight: float, generator: torch.Generator | None = None
) -> None:
    """Move bfloat16 means towards values: in float32, then down by random bits below the last one and a cut."""
    for mean, value in zip(means, values, strict=True):
        exact = torch.lerp(mean.float(), value.float(), weight)
        bits = exact.view(torch.int32)
        noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
        rounded = ((bits + noise) & -(1 << 16)).view(torch.float32)
        mean.copy_(torch.where(exact.isfinite(), rounded, exact))


class ModelEmaV3(nn.Module):
    """The third generation: with warm-up, on lists of tensors, and exact in bfloat16 on the average.

    At step t, counted from `update_after_step` + 1, the weight of the average is `decay`, or with warm-up
    1 - (1 + t / warmup_gamma)^-warmup_power within [min_decay, decay]; before that it is 0, a plain copy.

    Args:
        warmup_gamma: Steps after which the warm-up begins to flatten.
        warmup_power: 2/3 for runs of a million steps, 3/4 for shorter ones.
        device: Where the average is kept, None for beside the model.
        dtype: In which its floating tensors are kept, None for the model's.
        stochastic_rounding: Round a bfloat16 average up or down by chance, since most updates are smaller than half
            a step of bfloat16 and would be lost.
        stochastic_rounding_seed: The chance depends on it and the number of updates so far.
        foreach: Work on lists of tensors.
        exclude_buffers: Copy buffers instead of averaging them.
    """

    def __init__(
        self,
        model: nn.Module,
        decay: float = 0.9999,
        min_decay: float = 0.0,
        update_after_step: int = 0,
        use_warmup: bool = False,
        warmup_gamma: float = 1.0,
        warmup_power: float = 2 / 3,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        stochastic_rounding: bool = True,
        stochastic_rounding_seed: int = 0,
        foreach: bool = True,
        exclude_buffers: bool = False,
    ) -> None:
        super().__init__()
        self.module = _start(model, device, dtype)
        self.device, self.dtype = device, dtype
        # how far an update goes
        self.decay, self.min_decay = _checked_decay(decay), _checked_decay(min_decay)
        self.use_warmup, self.warmup_gamma, self.warmup_power = use_warmup, warmup_gamma, warmup_power
        self.update_after_step = update_after_step
        # how it is done
        self.foreach = foreach
        self.exclude_buffers = exclude_buffers
        self.stochastic_rounding, self.stochastic_rounding_seed = stochastic_rounding, stochastic_rounding_seed
        self._roundings = 0

    def get_decay(self, step: int | None = None) -> float:
        """Weight of the average at the update after `step`; None leaves warm-up and delay out."""
        if step is None:
            return self.decay
        t = max(0, step - self.update_after_step - 1)
        if t <= 0:
            return 0.0
        if not self.use_warmup:
            return self.decay
        return max(min(1 - (1 + t / self.warmup_gamma) ** -self.warmup_power, self.decay), self.min_decay)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int | None = None) -> None:
        """Take the model's present weights into the average."""
        decay = self.get_decay(step)
        if self.exclude_buffers:
            self.apply_update_no_buffers_(model, decay)
        else:
            self.apply_update_(model, decay)

    def apply_update_(self, model: nn.Module, decay: float) -> None:
        """Average parameters and floating buffers with this weight, and copy the other buffers."""
        params, buffers, others = _pairs(self.module, model, self.device)
        self._lerp(params + buffers, 1 - decay)
        self._copy(others)

    def apply_update_no_buffers_(self, model: nn.Module, decay: float) -> None:
        """Average the parameters with this weight, and copy all buffers."""
        params, buffers, others = _pairs(self.module, model, self.device)
        self._lerp(params, 1 - decay)
        self._copy(buffers + others)

    @torch.no_grad()
    def set(self, model: nn.Module) -> None:
        """Start the average anew from the model's present weights."""
        params, buffers, others = _pairs(self.module, model, self.device)
        self._copy(params + buffers + others)

    def _copy(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        if pairs and self.foreach:
            torch._foreach_copy_([mean for mean, _ in pairs], [value for _, value in pairs])
            return
        for mean, value in pairs:
            mean.copy_(value)

    def _lerp(self, pairs: list[tuple[Tensor, Tensor]], weight: float) -> None:
        """Move each first tensor by `weight` towards its second."""
        if weight >= 1:
            self._copy(pairs)
            return
        if self.stochastic_rounding:
            coarse = [pair for pair in pairs if pair[0].dtype == torch.bfloat16]
            pairs = [pair for pair in pairs if pair[0].dtype != torch.bfloat16]
            for device in dict.fromkeys(mean.device for mean, _ in coarse):
                generator = torch.Generator(device).manual_seed(self.stochastic_rounding_seed + self._roundings)
                there = [pair for pair in coarse if pair[0].device == device]
                means, values = map(list, zip(*there, strict=True))
                _lerp_stochastic_round_bf16_(means, values, weight, generator)
            self._roundings += bool(coarse)
        if not pairs:
            return
        means = [mean for mean, _ in pairs]
        values = [value if value.dtype == mean.dtype else value.to(mean.dtype) for mean, value in pairs]
        if self.foreach:
            torch._foreach_lerp_(means, values, weight=weight)
        else:
            for mean, value in zip(means, values, strict=True):
                mean.lerp_(value, weight)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)
