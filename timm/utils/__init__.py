"""Tools for models and training runs; each part is imported when it is first used."""

from timm._lazy import lazy

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
__getattr__, __dir__, __all__ = lazy(__name__, _CONTENTS)  # pyright: ignore[reportUnsupportedDunderAll]
