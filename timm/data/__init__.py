"""Data: datasets of images, the readers under them, transforms, augmentation, and loaders."""

from ._decode import ImageRules
from .auto_augment import (
    AutoAugment,
    RandAugment,
    auto_augment_policy,
    auto_augment_transform,
    rand_augment_ops,
    rand_augment_transform,
)
from .config import resolve_data_config, resolve_model_data_config
from .constants import (
    DEFAULT_CROP_MODE,
    DEFAULT_CROP_PCT,
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_DPN_MEAN,
    IMAGENET_DPN_STD,
    IMAGENET_INCEPTION_MEAN,
    IMAGENET_INCEPTION_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from .dataset import AugMixDataset, ImageDataset, IterableImageDataset
from .dataset_factory import create_dataset
from .dataset_info import CustomDatasetInfo, DatasetInfo, DatasetInfoLabelMapper, LabelMappingCoverage
from .imagenet_info import ImageNetInfo, infer_imagenet_subset
from .keyed import KeyedDataset
from .loader import create_loader
from .mixup import FastCollateMixup, Mixup
from .model_config import resolve_input_data_config
from .naflex_dataset import NaFlexMapDatasetWrapper, calculate_naflex_batch_size
from .naflex_loader import create_naflex_loader
from .naflex_mixup import NaFlexMixup, mix_batch_variable_size, pairwise_mixup_target
from .naflex_transforms import (
    CenterCropToSequence,
    Patchify,
    RandomCropToSequence,
    RandomResizedCropToSequence,
    ResizeKeepRatioToSequence,
    ResizeToSequence,
    patchify_image,
)
from .readers import (
    add_img_extensions,
    create_reader,
    del_img_extensions,
    get_img_extensions,
    is_img_extension,
    set_img_extensions,
)
from .real_labels import RealLabelsImagenet
from .scheduled_sampler import ScheduledBatchSampler, ScheduledTransformDataset
from .target_transforms import MultiLabelTarget
from .transforms import (
    CenterCropOrPad,
    MaybePILToTensor,
    MaybeToTensor,
    RandomCropOrPad,
    RandomPad,
    RandomResizedCropAndInterpolation,
    ResizeKeepRatio,
    ToNumpy,
    ToTensor,
    TrimBorder,
    center_crop_or_pad,
    crop_or_pad,
    interp_mode_to_str,
    str_to_interp_mode,
    str_to_pil_interp,
)
from .transforms_factory import create_transform

__all__ = [
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
    'AugMixDataset',
    'AutoAugment',
    'CenterCropOrPad',
    'CenterCropToSequence',
    'CustomDatasetInfo',
    'DatasetInfo',
    'DatasetInfoLabelMapper',
    'FastCollateMixup',
    'ImageDataset',
    'ImageNetInfo',
    'ImageRules',
    'IterableImageDataset',
    'KeyedDataset',
    'LabelMappingCoverage',
    'MaybePILToTensor',
    'MaybeToTensor',
    'Mixup',
    'MultiLabelTarget',
    'NaFlexMapDatasetWrapper',
    'NaFlexMixup',
    'Patchify',
    'RandAugment',
    'RandomCropOrPad',
    'RandomCropToSequence',
    'RandomPad',
    'RandomResizedCropAndInterpolation',
    'RandomResizedCropToSequence',
    'RealLabelsImagenet',
    'ResizeKeepRatio',
    'ResizeKeepRatioToSequence',
    'ResizeToSequence',
    'ScheduledBatchSampler',
    'ScheduledTransformDataset',
    'ToNumpy',
    'ToTensor',
    'TrimBorder',
    'add_img_extensions',
    'auto_augment_policy',
    'auto_augment_transform',
    'calculate_naflex_batch_size',
    'center_crop_or_pad',
    'create_dataset',
    'create_loader',
    'create_naflex_loader',
    'create_reader',
    'create_transform',
    'crop_or_pad',
    'del_img_extensions',
    'get_img_extensions',
    'infer_imagenet_subset',
    'interp_mode_to_str',
    'is_img_extension',
    'mix_batch_variable_size',
    'pairwise_mixup_target',
    'patchify_image',
    'rand_augment_ops',
    'rand_augment_transform',
    'resolve_data_config',
    'resolve_input_data_config',
    'resolve_model_data_config',
    'set_img_extensions',
    'str_to_interp_mode',
    'str_to_pil_interp',
]
