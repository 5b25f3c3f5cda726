"""Readers: where samples come from. A reader gives (image source, target) by index and knows the file names."""

from . import reader_image_tar as reader_image_tar
from .img_extensions import (
    add_img_extensions,
    del_img_extensions,
    get_img_extensions,
    is_img_extension,
    set_img_extensions,
)
from .reader_factory import create_reader

__all__ = [
    'add_img_extensions',
    'create_reader',
    'del_img_extensions',
    'get_img_extensions',
    'is_img_extension',
    'set_img_extensions',
]
