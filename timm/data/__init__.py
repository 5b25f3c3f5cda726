"""Data: datasets of images, the readers under them, transforms, augmentation, and loaders.

Each part is imported when it is first used: readers and the decoder need no torch.
"""

from timm._lazy import lazy

_CONTENTS = {
    '_decode': ('ImageRules',),
    'auto_augment': (
        'AutoAugment',
        'RandAugment',
        'auto_augment_policy',
        'auto_augment_transform',
        'rand_augment_ops',
        'rand_augment_transform',
    ),
    'config': ('resolve_data_config', 'resolve_model_data_config'),
    'constants': (
        'DEFAULT_CROP_MODE',
        'DEFAULT_CROP_PCT',
        'IMAGENET_DEFAULT_MEAN',
        'IMAGENET_DEFAULT_STD',
        'IMAGENET_DPN_MEAN',
        'IMAGENET_DPN_STD',
        'IMAGENET_INCEPTION_MEAN',
        'IMAGENET_INCEPTION_STD',
        'OPENAI_CLIP_MEAN',
        'OPENAI_CLIP_STD',
    ),
    'dataset': ('AugMixDataset', 'ImageDataset', 'IterableImageDataset'),
    'dataset_factory': ('create_dataset',),
    'dataset_info': ('CustomDatasetInfo', 'DatasetInfo', 'DatasetInfoLabelMapper', 'LabelMappingCoverage'),
    'imagenet_info': ('ImageNetInfo', 'infer_imagenet_subset'),
    'keyed': ('KeyedDataset',),
    'loader': ('create_loader',),
    'mixup': ('FastCollateMixup', 'Mixup'),
    'model_config': ('resolve_input_data_config',),
    'naflex_dataset': ('NaFlexMapDatasetWrapper', 'calculate_naflex_batch_size'),
    'naflex_loader': ('create_naflex_loader',),
    'naflex_mixup': ('NaFlexMixup', 'mix_batch_variable_size', 'pairwise_mixup_target'),
    'naflex_transforms': (
        'CenterCropToSequence',
        'Patchify',
        'RandomCropToSequence',
        'RandomResizedCropToSequence',
        'ResizeKeepRatioToSequence',
        'ResizeToSequence',
        'patchify_image',
    ),
    'readers': (
        'add_img_extensions',
        'create_reader',
        'del_img_extensions',
        'get_img_extensions',
        'is_img_extension',
        'set_img_extensions',
    ),
    'real_labels': ('RealLabelsImagenet',),
    'scheduled_sampler': ('ScheduledBatchSampler', 'ScheduledTransformDataset'),
    'target_transforms': ('MultiLabelTarget',),
    'transforms': (
        'CenterCropOrPad',
        'MaybePILToTensor',
        'MaybeToTensor',
        'RandomCropOrPad',
        'RandomPad',
        'RandomResizedCropAndInterpolation',
        'ResizeKeepRatio',
        'ToNumpy',
        'ToTensor',
        'TrimBorder',
        'center_crop_or_pad',
        'crop_or_pad',
        'interp_mode_to_str',
        'str_to_interp_mode',
        'str_to_pil_interp',
    ),
    'transforms_factory': ('create_transform',),
}

__getattr__, __dir__, __all__ = lazy(__name__, _CONTENTS)  # pyright: ignore[reportUnsupportedDunderAll]
