"""TorchScript executors and fusers."""

import difflib

import torch

__all__ = ['set_jit_fuser', 'set_jit_legacy']

# Name -> (profiling executor, fusers of old on CPU and GPU, tensor expressions, nvFuser).
FUSERS = {
    'legacy': (False, True, False, False),
    'old': (False, True, False, False),
    'te': (True, False, True, False),
    'nvfuser': (True, False, False, True),
    'nvf': (True, False, False, True),
}


def set_jit_legacy() -> None:
    """Use the executor and the fuser from before profiling."""
    set_jit_fuser('legacy')


def set_jit_fuser(fuser: str) -> None:
    """Pick the fuser of torch.jit: 'te' (tensor expressions), 'legacy' or 'old', 'nvfuser' or 'nvf'.

    Raises:
        ValueError: `fuser` is none of these.
    """
    if fuser not in FUSERS:
        near = difflib.get_close_matches(fuser, FUSERS, n=3, cutoff=0.0)
        raise ValueError(f"fuser='{fuser}' is not known: the nearest are {', '.join(near)}.")
    profiling, old, expressions, nvfuser = FUSERS[fuser]
    torch._C._jit_set_profiling_executor(profiling)
    torch._C._jit_set_profiling_mode(profiling)
    torch._C._jit_override_can_fuse_on_cpu(old)
    torch._C._jit_override_can_fuse_on_gpu(old)
    torch._C._jit_set_texpr_fuser_enabled(expressions)
    if nvfuser:  # gone from torch since 2.2, which says so itself
        torch._C._jit_set_nvfuser_enabled(True)
