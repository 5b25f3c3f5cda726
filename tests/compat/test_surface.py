"""Every public name of the original package is where it was, and takes the same arguments."""

import importlib
import importlib.util
import inspect
import types
import warnings
from functools import partial

import pytest

from tests import reference
from timm import catalog

SURFACE = reference.load('api_surface')

# Name -> why ours differs: `module.name`, `module.Class.method`, or the beginning of one before a '*'.
DELIBERATE = {
    'timm.models.deit.VisionTransformerDistilled': 'the signature names device and dtype, not only **kwargs',
    'timm.models.hrnet.HighResolutionNetFeatures': 'likewise',
    'timm.models.resnetv2.ResNetStage': 'likewise',
    'timm.optim.adan.MultiTensorApply': 'it calls a CUDA extension that is not part of the package; lists do its work',
    'timm.data.readers.reader_wds.ReaderWds': 'takes trust_remote_code and max_steps as well',
    'timm.data.readers.reader_wds.ResampledShards2': 'a stage of a webdataset pipeline; shards are read without one',
    'timm.data.readers.reader_wds.detshuffle2': 'likewise',
    'timm.data.readers.reader_wds.log_and_continue': 'likewise; a damaged sample is named instead',
    'timm.data.readers.reader_wds.pytorch_worker_seed': 'likewise; the order follows from seed and epoch',
    'timm.data.readers.reader_wds.wds': 'the package is imported where a shard is no local file',
}

# What other projects import, one line a module: `.` the module itself, `*` a star import, `!` is gone in the original.
CHECKLIST = """
timm: . __version__ create_model utils
timm.data: . AugMixDataset Dataset! DatasetTar! FastCollateMixup IMAGENET_DEFAULT_MEAN IMAGENET_DEFAULT_STD ImageDataset IterableImageDataset Mixup OPENAI_CLIP_MEAN OPENAI_CLIP_STD RealLabelsImagenet TimmDatasetTar! auto_augment create_dataset create_loader create_transform resolve_data_config resolve_model_data_config
timm.data.auto_augment: LEVEL_TO_ARG NAME_TO_OP _LEVEL_DENOM _randomly_negate rand_augment_transform rotate
timm.data.constants: IMAGENET_DEFAULT_MEAN IMAGENET_DEFAULT_STD IMAGENET_INCEPTION_MEAN IMAGENET_INCEPTION_STD OPENAI_CLIP_MEAN OPENAI_CLIP_STD
timm.data.distributed_sampler: OrderedDistributedSampler RepeatAugSampler
timm.data.mixup: Mixup cutmix_bbox_and_lam mixup_target
timm.data.naflex_dataset: NaFlexCollator calculate_naflex_batch_size
timm.data.naflex_transforms: Patchify
timm.data.random_erasing: RandomErasing
timm.data.transforms: . RandomResizedCropAndInterpolation ToNumpy ToTensor _RANDOM_INTERPOLATION _pil_interp! interp_mode_to_str str_to_interp_mode str_to_pil_interp
timm.data.transforms_factory: create_transform rand_augment_transform
timm.layers: AttentionPool2d AttentionPoolLatent DropPath LayerNorm LayerNorm2d LayerType Mlp PatchDropout PatchEmbed RotAttentionPool2d RotaryEmbeddingCat apply_rot_embed_cat apply_test_time_pool convert_splitbn_model convert_sync_batchnorm create_conv2d create_pool2d drop_path get_act_layer get_norm_layer resample_abs_pos_embed resample_patch_embed set_fast_norm set_layer_config to_2tuple trunc_normal_ use_fused_attn
timm.layers.activations: Swish
timm.layers.classifier: ClassifierHead
timm.layers.helpers: to_2tuple
timm.layers.linear: Linear
timm.layers.pos_embed: resample_abs_pos_embed
timm.loss: * BinaryCrossEntropy JsdCrossEntropy LabelSmoothingCrossEntropy SoftTargetCrossEntropy
timm.models: FeatureInfo PretrainedCfg SwinTransformer VisionTransformer _manipulate adapt_input_conv apply_test_time_pool! build_model_with_cfg checkpoint_seq clean_state_dict convert_splitbn_model! convert_sync_batchnorm! convnext create_model is_model is_model_in_modules list_models load_checkpoint model_parameters register_model resume_checkpoint safe_model_name set_fast_norm! vision_transformer
timm.models._builder: _update_default_kwargs! _update_default_model_kwargs build_model_with_cfg resolve_pretrained_cfg
timm.models._manipulate: checkpoint_seq named_apply
timm.models._registry: generate_default_cfgs register_model
timm.models.beit: gen_relative_position_index
timm.models.cait: Cait
timm.models.efficientnet: EfficientNet decode_arch_def round_channels
timm.models.efficientnet_blocks: *! SqueezeExcite! drop_path! make_divisible! resolve_se_args!
timm.models.fastvit: MobileOneBlock RepConditionalPosEnc _create_fastvit checkpoint_filter_fn
timm.models.fx_features: register_notrace_module
timm.models.helpers: adapt_input_conv build_model_with_cfg group_modules group_parameters load_custom_pretrained load_pretrained load_state_dict model_parameters named_apply overlay_external_default_cfg!
timm.models.hub: . download_cached_file
timm.models.layers: AvgPool2dSame BlurPool2d ClassifierHead CondConv2d ConvMlp DropBlock2d DropPath GroupNorm LayerNorm2d Mlp PatchEmbed SelectAdaptivePool2d SqueezeExcite StdConv2dSame convert_sync_batchnorm create_attn create_classifier create_conv2d create_pool2d drop_path get_act_layer get_attn get_condconv_initializer lecun_normal_ set_layer_config to_2tuple trunc_normal_
timm.models.layers.activations: Swish! hard_sigmoid!
timm.models.layers.attention_pool2d: AttentionPool2d! RotAttentionPool2d!
timm.models.layers.helpers: to_2tuple!
timm.models.naflexvit: NaFlexVit NaFlexVitCfg checkpoint_filter_fn
timm.models.registry: register_model
timm.models.resnet: ResNet resnet26d resnet50d
timm.models.resnetv2: ResNetV2
timm.models.sknet: SelectiveKernelBasic SelectiveKernelBottleneck
timm.models.vision_transformer: . Attention Block HybridEmbed! LayerScale Mlp PatchEmbed VisionTransformer _cfg _create_vision_transformer _load_weights default_cfgs get_init_weights_vit init_weights_vit_timm maybe_add_mask trunc_normal_ vit_base_patch16_224 vit_base_patch32_224 vit_small_patch16_224
timm.models.vision_transformer_hybrid: HybridEmbed checkpoint_filter_fn
timm.optim: create_optimizer create_optimizer_v2 optimizer_kwargs
timm.optim.adafactor: Adafactor
timm.optim.adahessian: Adahessian
timm.optim.adamp: AdamP
timm.optim.lookahead: Lookahead
timm.optim.nadam: Nadam!
timm.optim.novograd: NovoGrad!
timm.optim.nvnovograd: NvNovoGrad
timm.optim.optim_factory: . param_groups_weight_decay
timm.optim.radam: RAdam!
timm.optim.rmsprop_tf: RMSpropTF
timm.optim.sgdp: SGDP
timm.scheduler: * CosineLRScheduler create_scheduler
timm.scheduler.cosine_lr: CosineLRScheduler
timm.scheduler.scheduler: Scheduler
timm.scheduler.step_lr: StepLRScheduler
timm.utils: * . ApexScaler AverageMeter CheckpointSaver ModelEma ModelEmaV2 ModelEmaV3 NativeScaler ParseKwargs accuracy add_bool_arg check_batch_size_retry decay_batch_step dispatch_clip_grad get_state_dict natural_key reduce_tensor set_jit_fuser set_jit_legacy setup_default_logging update_summary
timm.utils.clip_grad: dispatch_clip_grad
timm.utils.misc: natural_key
timm.utils.model: unwrap_model
"""  # noqa: E501


def exists(module):
    """Whether a module of the original is written here, told without importing more than its package."""
    parent = module.rpartition('.')[0]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # old paths warn
        return (not parent or exists(parent)) and importlib.util.find_spec(module) is not None


def quietly(module):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return importlib.import_module(module)


OLD_NAMES = reference.load('facts')['renamed']


def is_listed(name):
    return name.partition('.')[0] in catalog.names()


def is_deliberate(name):
    return name in DELIBERATE or any(k.endswith('*') and name.startswith(k[:-1]) for k in DELIBERATE)


# signatures as text


def as_text(value):
    """A default as the record writes it: classes and functions by name, partials by their parts."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__qualname__
    if isinstance(value, partial):
        keywords = [f'{key}={as_text(item)}' for key, item in sorted(value.keywords.items())]
        return f'partial({", ".join([as_text(value.func), *map(as_text, value.args), *keywords])})'
    if type(value) in (list, tuple, set, frozenset):
        items = [as_text(item) for item in value]
        if isinstance(value, (set, frozenset)):
            items.sort()
        left, right = {list: '[]', tuple: '()'}.get(type(value), '{}')
        return f'{left}{", ".join(items)}{"," if type(value) is tuple and len(items) == 1 else ""}{right}'
    if type(value) is dict:
        return f'{{{", ".join(f"{as_text(key)}: {as_text(item)}" for key, item in value.items())}}}'
    return repr(value)


def parameters_of(thing):
    """[(name with its stars, default or None), ...], a lone '*' where keyword-only parameters begin."""
    found = []
    starred = False
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            found.append(('*', None))
        starred = starred or parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY)
        stars = {parameter.VAR_POSITIONAL: '*', parameter.VAR_KEYWORD: '**'}.get(parameter.kind, '')
        default = None if parameter.default is parameter.empty else as_text(parameter.default)
        found.append((stars + parameter.name, default))
    return found


def parameters_in(text):
    """The same from '(a, b=(1, 2), **kwargs)'."""
    parts, depth, quote = [''], 0, ''
    for char in text[1:-1]:
        if quote or char in '"\'':
            quote = '' if char == quote else quote or char
        elif char in '([{':
            depth += 1
        elif char in ')]}':
            depth -= 1
        elif char == ',' and depth == 0:
            parts.append('')
            continue
        parts[-1] += char
    pairs = (part.strip().partition('=') for part in parts if part.strip() not in ('', '/'))
    return [(name, default if sign else None) for name, sign, default in pairs]


def without_additions(found, expected):
    """A parameter list without what is ours alone: keyword-only and with a default, it changes no published call."""
    published = {name for name, _ in expected}
    if '*' in published or ('*', None) not in found:
        return found
    start = found.index(('*', None))
    added = [pair for pair in found[start:] if pair[0] not in published and (pair[0] == '*' or pair[1] is not None)]
    return [pair for pair in found if pair not in added]


def is_same(found, expected):
    """Whether two parameter lists agree, our additions aside; the record cuts long defaults off."""
    found = without_additions(found, expected)
    return len(found) == len(expected) and all(
        name == other and (default == given or ((given or '').endswith('...') and default is not None))
        for (name, default), (other, given) in zip(found, expected, strict=True)
    )


def differences(module_name):
    """What of the original's surface of a module is missing here, or takes other arguments."""
    module = quietly(module_name)
    found = []
    for name, record in SURFACE[module_name].items():
        full = f'{module_name}.{name}'
        if ('from' in record and not exists(record['from'])) or (name in OLD_NAMES and not is_listed(OLD_NAMES[name])):
            continue  # its module is not written yet
        if is_deliberate(full):
            continue
        if not hasattr(module, name):
            found.append(f'{full} is missing')
        elif record.get('signature'):
            found += [text for text in compare(full, getattr(module, name), record) if not is_deliberate(full)]
    return found


def compare(full, thing, record):
    expected = parameters_in(record['signature'])
    if not callable(thing):
        yield f'{full} is no {record["kind"]}'
        return
    is_layer = isinstance(thing, partial) and full.startswith('timm.layers.')
    has_parameters = record['kind'] in ('function', 'class') or is_layer
    if has_parameters and not is_same(parameters_of(thing), expected):
        yield f'{full}: {parameters_of(thing)} instead of {expected}'
    for name, signature in record.get('methods', {}).items():
        if is_deliberate(f'{full}.{name}') or is_deliberate(f'*.{name}'):
            continue
        method = inspect.getattr_static(thing, name, None)
        if method is None and not hasattr(thing, name):
            yield f'{full}.{name} is missing'
        elif signature.startswith('('):
            own = parameters_of(inspect.unwrap(getattr(thing, name)))
            if not is_same(own, parameters_in(signature)):
                yield f'{full}.{name}: {own} instead of {parameters_in(signature)}'


MODULES = [name for name in SURFACE if exists(name)]


@pytest.mark.parametrize('module', MODULES)
def test_names_and_arguments_are_the_published_ones(module):
    found = differences(module)
    assert not found, '\n'.join(['', *found])


@pytest.mark.parametrize('module', [name for name in MODULES if name.startswith('timm.layers')])
def test_layers_are_the_same_objects_wherever_they_are_found(module):
    for name, record in SURFACE[module].items():
        if 'from' in record and exists(record['from']):
            assert getattr(quietly(module), name) is getattr(quietly(record['from']), name), name


def _imports():
    for line in CHECKLIST.strip().splitlines():
        module, _, names = line.partition(': ')
        if exists(module):
            for name in names.split():
                home = SURFACE.get(module, {}).get(name, {}).get('from', module)
                if not name.endswith('!') and exists(home):
                    yield pytest.param(module, name, id=f'{module}:{name}')


@pytest.mark.parametrize(('module', 'name'), list(_imports()))
def test_what_other_projects_import_is_there(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if name == '.':
            importlib.import_module(module)
        else:
            exec(f'from {module} import {name}', {})


@pytest.mark.parametrize('name', list(DELIBERATE))
def test_deliberate_differences_name_something(name):
    module, _, rest = name.rstrip('*').rpartition('.')
    if name.endswith('*') or not exists(module):
        return
    assert rest in SURFACE[module] or hasattr(quietly(module), rest)
