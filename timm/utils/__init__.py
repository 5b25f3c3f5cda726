"""Tools for models and training runs; each part is imported when it is first used."""

import importlib
from typing import Any

_CONTENTS = {
    'agc': ('adaptive_clip_grad',),
    'attention_extract': ('AttentionExtract',),
    'checkpoint_saver': ('CheckpointSaver', 'load_checkpoint_metadata'),
    'clip_grad': ('dispatch_clip_grad',),
    'cuda': ('ApexScaler', 'NativeScaler'),
    'decay_batch': ('check_batch_size_retry', 'decay_batch_step'),
    'distributed': (
        'distribute_bn',
        'init_distributed_device',
        'is_distributed_env',
        'is_primary',
        'reduce_tensor',
        'world_info_from_env',
    ),
    'jit': ('set_jit_fuser', 'set_jit_legacy'),
    'log': ('FormatterNoInfo', 'setup_default_logging'),
    'metrics': ('AverageMeter', 'accuracy'),
    'misc': ('ParseKwargs', 'add_bool_arg', 'natural_key'),
    'model': ('freeze', 'get_state_dict', 'reparameterize_model', 'unfreeze', 'unwrap_model'),
    'model_ema': ('ModelEma', 'ModelEmaV2', 'ModelEmaV3'),
    'onnx': (),
    'random': ('random_seed',),
    'summary': ('get_outdir', 'trim_summary', 'update_summary'),
}
_HOMES = {name: module for module, names in _CONTENTS.items() for name in names}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _CONTENTS:
        return importlib.import_module(f'{__name__}.{name}')
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_CONTENTS})
