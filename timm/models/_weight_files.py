"""Reads weight files of every format; all foreign weights that reach a model come through `read_weight_file`."""

import argparse
import builtins
import contextlib
import difflib
import mmap
import os
import pickle
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

__all__ = ['find_weight_file', 'is_numpy_file', 'read_weight_file', 'safetensors_metadata']

# Saved options of training runs; plain attributes, nothing of it runs.
_ALLOWED_GLOBALS: list[Any] = [argparse.Namespace]


def is_numpy_file(path: str | os.PathLike[str]) -> bool:
    """Whether a name ends in .npz or .npy: JAX weights, which only the network they belong to can interpret."""
    return Path(path).suffix.lower() in ('.npz', '.npy')


def find_weight_file(path: str | os.PathLike[str]) -> Path:
    """`path`, if it is a file.

    Raises:
        FileNotFoundError: It is not; the message names similar files beside it.
    """
    asked = Path(path or '').expanduser()
    if path and asked.is_file():
        return asked
    if path and asked.is_dir():
        raise FileNotFoundError(
            f"No checkpoint found at '{path}': that is a folder. Name a file in it, or load the folder of a saved "
            f"model with create_model('local-dir:{path}', pretrained=True)."
        )
    folder = asked.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"No checkpoint found at '{path}': there is no folder '{folder}'.")
    near = difflib.get_close_matches(asked.name, (entry.name for entry in folder.iterdir()), n=3)
    hint = f'; similar names there: {", ".join(near)}' if near else ''
    raise FileNotFoundError(f"No checkpoint found at '{path}' (looked in '{folder.resolve()}'){hint}.")


def read_weight_file(
    path: str | os.PathLike[str], device: str | torch.device = 'cpu', weights_only: bool = True, lazy: bool = False
) -> Any:
    """What a weight file holds: a dict of tensors, or the dict of a training checkpoint.

    The format is told by the content, not by the name: safetensors, torch.save (zip or the older pickle), .npz, .npy.
    Tensors of a safetensors file are views of a private mapping of it: nothing is copied until it is written to, and
    writing never reaches the file.

    Args:
        weights_only: Refuse a pickle that asks for anything but tensors and plain data. False runs whatever the file
            says: only for a file whose maker you trust.
        lazy: Map a torch.save file too, instead of reading it. Such tensors must not outlive this file's present
            content: torch.save writes over a file in place, which pulls the memory from under them.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: The file is damaged, blocked by `weights_only`, or no weight file.
    """
    file = find_weight_file(path)
    kind = _kind_of(file)
    with torch._C.DisableTorchFunction():  # a default device is for what is built, not for what is read
        if kind == 'safetensors':
            return _read_safetensors(file, device)
        if kind == 'numpy':
            return _read_numpy(file, device)
        if kind == 'torch zip':
            _check_zip(file)
        return _read_torch(file, device, weights_only, lazy and kind == 'torch zip')


def _kind_of(path: Path) -> str:
    """'safetensors', 'torch zip', 'torch pickle' or 'numpy', by the first bytes."""
    size = path.stat().st_size
    with path.open('rb') as file:
        head = file.read(512)
    if head.startswith(b'PK\x03\x04'):
        with _explained(path), zipfile.ZipFile(path) as archive:
            return 'numpy' if any(name.endswith('.npy') for name in archive.namelist()) else 'torch zip'
    if len(head) > 8 and head[8:9] == b'{' and struct.unpack('<Q', head[:8])[0] <= size:
        return 'safetensors'
    if head.startswith(b'\x93NUMPY'):
        return 'numpy'
    if head.startswith(b'\x80') or head[257:262] == b'ustar':
        return 'torch pickle'
    if not head:
        raise RuntimeError(f"'{path}' is empty: a download or copy may have been cut off. Fetch it again.")
    if head.startswith(b'version https://git-lfs'):
        raise RuntimeError(f"'{path}' is a Git LFS pointer, not the weights: run `git lfs pull` in its repository.")
    if head.lstrip()[:1] == b'<':
        raise RuntimeError(f"'{path}' is a web page, not a weight file: download the file itself, not its page.")
    raise RuntimeError(
        f"'{path}' is no weight file (it starts with {head[:8]!r}): safetensors, torch.save and .npz files can be read."
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what parsers raise on damaged files into one error that names the file."""
    try:
        yield
    except (SafetensorError, zipfile.BadZipFile, struct.error, EOFError, OSError, ValueError) as error:
        raise RuntimeError(f"'{path}' is damaged or incomplete ({error}): fetch or copy it again.") from error


def _read_safetensors(path: Path, device: str | torch.device) -> dict[str, Tensor]:
    with _explained(path), safe_open(path, framework='pt', device=str(device)) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping, only keys())


def safetensors_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts in a safetensors file's header; empty for files of other formats."""
    file = Path(path)
    if not file.is_file() or _kind_of(file) != 'safetensors':
        return {}
    with _explained(file), safe_open(file, framework='pt') as opened:
        return opened.metadata() or {}


def _read_numpy(path: Path, device: str | torch.device) -> Any:
    import numpy as np

    with _explained(path):
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return torch.from_numpy(content).to(device)
        with content:
            return {name: torch.from_numpy(content[name]).to(device) for name in content.files}


def _check_zip(path: Path) -> None:
    """Compare each record of an archive with its checksum; torch itself does not.

    Raises:
        RuntimeError: One differs.
    """
    with (
        _explained(path),
        path.open('rb') as file,
        zipfile.ZipFile(file) as archive,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
        memoryview(mapping) as data,
    ):
        for record in archive.infolist():
            # the local header is 30 bytes, then a name and a padding of the lengths it gives
            name_size, extra_size = struct.unpack_from('<HH', data, record.header_offset + 26)
            start = record.header_offset + 30 + name_size + extra_size
            with data[start : start + record.compress_size] as content:
                # a checksum of 0 stands for none: torch.save can leave it out
                wrong = len(content) != record.compress_size or (record.CRC and zlib.crc32(content) != record.CRC)
            if wrong and record.compress_type == zipfile.ZIP_STORED:
                raise RuntimeError(
                    f"'{path}' is damaged: the checksum of its record '{record.filename}' does not match. "
                    'Fetch or copy it again.'
                )


def _read_torch(path: Path, device: str | torch.device, weights_only: bool, mapped: bool) -> Any:
    private = (
        torch.serialization.set_default_mmap_options(mmap.MAP_PRIVATE)
        if sys.platform != 'win32'
        else contextlib.nullcontext()
    )
    # opened here, since torch.load goes by the ending of a name
    misnamed = path.suffix == '.safetensors'
    try:
        with private, torch.serialization.safe_globals(_ALLOWED_GLOBALS), path.open('rb') as file:
            source = file if misnamed else path
            return torch.load(source, map_location=device, weights_only=weights_only, mmap=mapped and not misnamed)
    except pickle.UnpicklingError as error:
        raise RuntimeError(
            f"'{path}' {_refusal(str(error))}. No automatic unsafe pickle fallback is performed. Let its maker save "
            'plain tensors, torch.save(model.state_dict(), ...); if you trust the maker, read it with '
            'weights_only=False.'
        ) from error
    except (RuntimeError, EOFError, KeyError, AttributeError, ImportError, ValueError, IndexError, TypeError) as error:
        reason = str(error).strip().partition('\n')[0]
        if 'TorchScript' in reason:
            raise RuntimeError(
                f"'{path}' is a TorchScript program: open it with torch.jit.load and save its state_dict()."
            ) from error
        raise RuntimeError(f"'{path}' is damaged or no checkpoint ({type(error).__name__}: {reason}).") from error


def _refusal(message: str) -> str:
    """What torch found wrong with a pickle: the names it asked for, or else the last thing torch says."""
    found = re.findall(r'(?:GLOBAL|class|function|import|callable) +`?([A-Za-z_][\w.]*)', message)
    names = [name for name in dict.fromkeys(found) if '.' in name or name in dir(builtins)]
    if names:
        return f'asks for {", ".join(names)} to be loaded and called, which weights_only=True blocks'
    said = [line for line in message.partition('WeightsUnpickler error:')[2].splitlines() if line.strip()]
    return f'is no plain torch.save file ({said[0].strip() if said else message.partition(".")[0]})'
