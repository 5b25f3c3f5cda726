"""Images in one tar file."""

import tarfile as tarfiles
from collections.abc import Mapping
from pathlib import Path

from timm.utils.misc import natural_key

from ._names import extension_of, folder_of
from .class_map import load_class_map
from .img_extensions import get_img_extensions
from .reader_image_in_tar import ReaderImageInTar

__all__ = ['ReaderImageTar', 'extract_tarinfo']


def extract_tarinfo(
    tarfile: tarfiles.TarFile,
    class_to_idx: Mapping[str, int] | None = None,
    sort: bool = True,
) -> tuple[list[tuple[tarfiles.TarInfo, int]], dict[str, int]]:
    """List the images of an open tar file with the class index of the folder that holds each, and the class map.

    Args:
        class_to_idx: Map to use; images of classes that it does not name are left out.
        sort: Order the images by name, as people count.
    """
    extensions = get_img_extensions(as_set=True)
    found = [
        (info, folder_of(info.name)) for info in tarfile if info.isfile() and extension_of(info.name) in extensions
    ]
    if class_to_idx is None:
        names = sorted({label for _, label in found}, key=natural_key)
        class_to_idx = {name: index for index, name in enumerate(names)}
    images = [(info, class_to_idx[label]) for info, label in found if label in class_to_idx]
    if sort:
        images.sort(key=lambda image: natural_key(image[0].path))
    return images, dict(class_to_idx)


class ReaderImageTar(ReaderImageInTar):
    """Every image of one tar file; a folder of tar files is not taken.

    Args:
        class_map: Class names to indices, or a file with them (see `load_class_map`).

    Raises:
        FileNotFoundError: The root is not a file.
    """

    def __init__(self, root: str, class_map: Mapping[str, int] | str | Path | None = '') -> None:
        if not Path(root).is_file():
            raise FileNotFoundError(f'no tar file {root!r}')
        if class_map:
            class_map = load_class_map(class_map, Path(root).parent)
        super().__init__(root, class_map=class_map)
