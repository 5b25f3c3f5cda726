"""Optimizers of optional packages: their rows of the table, and what to do where such a package is missing."""

import importlib
from typing import Any

from torch.optim import Optimizer

__all__ = ['BACKENDS', 'import_class']

REMEDIES = {
    'bitsandbytes': 'Install it (pip install bitsandbytes); its optimizers work on GPUs.',
    'apex': (
        'Build it with its CUDA extensions from https://github.com/NVIDIA/apex (the apex of PyPI is another package); '
        'its optimizers work on NVIDIA GPUs.'
    ),
}


def import_class(name: str, path: str) -> type[Optimizer]:
    """The class at the dotted `path`, which is called `name` in the table.

    Raises:
        ImportError: Its package is not installed, or does not have it.
    """
    module_name, _, class_name = path.rpartition('.')
    package = module_name.partition('.')[0]
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        message = f"Optimizer '{name}' is {path}, which cannot be imported: {error}. {REMEDIES.get(package, '')}"
        raise ImportError(message.rstrip()) from error


def _rows(package: str, *rows: tuple[str, str, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Arguments for `OptimInfo` from (name, class, description, traits) in `package`."""
    return [
        dict(name=name, opt_class=f'{package}.{class_name}', description=description, **traits)
        for name, class_name, description, traits in rows
    ]


_MOMENTUM: dict[str, Any] = dict(has_eps=False, has_momentum=True, defaults={'nesterov': True})
_BETAS: dict[str, Any] = dict(has_betas=True)
_THREE_BETAS: dict[str, Any] = dict(has_betas=True, num_betas=3)
_SIGN: dict[str, Any] = dict(has_eps=False, has_betas=True)

# fmt: off
BACKENDS = [
    *_rows(
        'bitsandbytes.optim',
        ('bnbsgd', 'SGD', 'bitsandbytes: sgd', _MOMENTUM),
        ('bnbsgd8bit', 'SGD8bit', 'bitsandbytes: sgd, state in 8 bits', _MOMENTUM),
        ('bnbadam', 'Adam', 'bitsandbytes: adam', _BETAS),
        ('bnbadam8bit', 'Adam8bit', 'bitsandbytes: adam, state in 8 bits', _BETAS),
        ('bnbadamw', 'AdamW', 'bitsandbytes: adamw', _BETAS),
        ('bnbadamw8bit', 'AdamW8bit', 'bitsandbytes: adamw, state in 8 bits', _BETAS),
        ('bnblion', 'Lion', 'bitsandbytes: lion', _SIGN),
        ('bnblion8bit', 'Lion8bit', 'bitsandbytes: lion, state in 8 bits', _SIGN),
        ('bnbademamix', 'AdEMAMix', 'bitsandbytes: adam with a second, slower momentum', _THREE_BETAS),
        ('bnbademamix8bit', 'AdEMAMix8bit', 'bitsandbytes: bnbademamix, state in 8 bits', _THREE_BETAS),
    ),
    *_rows(
        'apex.optimizers',
        ('fusedsgd', 'FusedSGD', 'apex: sgd in one kernel', _MOMENTUM),
        ('fusedadam', 'FusedAdam', 'apex: adam in one kernel', dict(**_BETAS, defaults={'adam_w_mode': False})),
        ('fusedadamw', 'FusedAdam', 'apex: adamw in one kernel', dict(**_BETAS, defaults={'adam_w_mode': True})),
        ('fusedlamb', 'FusedLAMB', 'apex: lamb in few kernels', _BETAS),
        ('fusednovograd', 'FusedNovoGrad', 'apex: novograd', dict(**_BETAS, defaults={'betas': (0.95, 0.98)})),
    ),
]
# fmt: on
