"""What the readers of Hugging Face and TensorFlow datasets share."""

import inspect
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from ._labels import fields_named
from .targets import get_field, has_field

__all__ = [
    'check_fields',
    'get_class_labels',
    'import_datasets',
    'naming_the_remedy',
    'remote_code_kwargs',
    'with_encoded_images',
]


def import_datasets() -> Any:
    """The package `datasets`.

    Raises:
        ImportError: It is not installed; the text says how to.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f'hfds/ and hfids/ read with the package datasets: pip install "timm[readers]" ({error})', name='datasets'
        ) from error
    return datasets


@contextmanager
def naming_the_remedy(name: str) -> Generator[None]:
    """Say what to do where the dataset `name` cannot be fetched."""
    try:
        yield
    except ConnectionError as error:
        raise ConnectionError(
            f'cannot fetch dataset {name!r}: {error}; check the connection, set HF_ENDPOINT to a mirror, or put '
            'HF_HUB_OFFLINE=1 where it was downloaded before'
        ) from error


def remote_code_kwargs(trust_remote_code: bool) -> dict[str, bool]:
    """Arguments that let a dataset run a script of its own; none unless that is asked for.

    Raises:
        ValueError: It is asked for, and the installed `datasets` (4.0 or later) runs no scripts.
    """
    if not trust_remote_code:
        return {}
    datasets = import_datasets()
    if 'trust_remote_code' not in inspect.signature(datasets.load_dataset).parameters:
        raise ValueError(
            f'trust_remote_code=True: from datasets 4.0 on, none runs scripts of datasets, and {datasets.__version__} '
            'is installed; leave it out, or install "datasets<4"'
        )
    return {'trust_remote_code': True}


def get_class_labels(info: Any, label_key: str = 'label') -> dict[str, int]:
    """Class names to indices, as the description of a dataset has them; {} where it has none.

    Labels may be single ones or in sequences.
    """
    features = getattr(info, 'features', None)
    if features is None or not has_field(features, label_key):
        return {}
    feature = get_field(features, label_key)
    while hasattr(feature, 'feature'):
        feature = feature.feature
    return {name: index for index, name in enumerate(getattr(feature, 'names', None) or ())}


def check_fields(features: Any, names: Iterable[str]) -> None:
    """Refuse fields that a dataset does not have.

    Raises:
        ValueError: A name is none of `features`.
    """
    for name in names:
        if name not in features:
            near = get_close_matches(name, list(features), n=1)
            meant = f'; did you mean {near[0]!r}?' if near else ''
            raise ValueError(f'the dataset has no field {name!r}; {fields_named(features)}{meant}')


def with_encoded_images(dataset: Any, field: str) -> Any:
    """The dataset with the files of its images in place of decoded images: {'bytes': ..., 'path': ...}.

    Raises:
        ValueError: The field holds no images.
    """
    datasets = import_datasets()
    feature = dataset.features[field]
    if not isinstance(feature, datasets.Image) and getattr(feature, 'dtype', None) not in ('string', 'binary'):
        others = [name for name, other in dataset.features.items() if isinstance(other, datasets.Image)]
        raise ValueError(f'the field {field!r} holds {feature}, not images; those are in {", ".join(others) or "none"}')
    return dataset.cast_column(field, datasets.Image(decode=False))
