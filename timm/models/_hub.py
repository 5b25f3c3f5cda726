"""Finds published weights and configurations: in folders and caches of this machine first, then on the network."""

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import re
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import torch
from torch import nn

from timm.layers.helpers import to_2tuple
from timm.version import __version__

from ._helpers import load_state_dict
from ._hub_export import generate_readme, push_to_hf_hub, save_config_for_hf, save_for_hf
from ._pretrained import PretrainedCfg

__all__ = [
    'check_cached_file',
    'download_cached_file',
    'download_from_hf',
    'find_in_hub_cache',
    'generate_readme',
    'get_cache_dir',
    'has_hf_hub',
    'hf_split',
    'load_cfg_from_json',
    'load_custom_from_hf',
    'load_model_config_from_hf',
    'load_model_config_from_path',
    'load_state_dict_from_hf',
    'load_state_dict_from_path',
    'push_to_hf_hub',
    'save_config_for_hf',
    'save_for_hf',
]

_logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]
Url = str | Sequence[str]  # an address, or an address and the file name to keep it under

HASH_REGEX = re.compile(r'-([a-f0-9]*)\.')
HF_WEIGHTS_NAME = 'pytorch_model.bin'
HF_SAFE_WEIGHTS_NAME = 'model.safetensors'
HF_OPEN_CLIP_WEIGHTS_NAME = 'open_clip_pytorch_model.bin'
HF_OPEN_CLIP_SAFE_WEIGHTS_NAME = 'open_clip_model.safetensors'

_SAFE_NAMES = {
    HF_WEIGHTS_NAME: HF_SAFE_WEIGHTS_NAME,
    HF_OPEN_CLIP_WEIGHTS_NAME: HF_OPEN_CLIP_SAFE_WEIGHTS_NAME,
}
_PREFERRED_NAMES = (
    HF_SAFE_WEIGHTS_NAME,
    HF_WEIGHTS_NAME,
    'pytorch_model.pth',
    'model.pth',
    HF_OPEN_CLIP_SAFE_WEIGHTS_NAME,
    HF_OPEN_CLIP_WEIGHTS_NAME,
)
_ENDINGS = ('.safetensors', '.pth', '.pth.tar', '.bin')
_MIN_HASH_DIGITS = 8  # fewer are part of a name: efficientnet-b0.pth
_MAX_CONFIG_BYTES = 32 * 2**20
_CONNECT_SECONDS = 4


def __getattr__(name: str) -> Any:
    """`hf_hub_download`, which comes from huggingface_hub and is imported when first used."""
    if name == 'hf_hub_download':
        from huggingface_hub import hf_hub_download

        globals()[name] = partial(hf_hub_download, library_name='timm', library_version=__version__)
        return globals()[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def get_cache_dir(child_dir: str = '') -> str:
    """The folder that torch.hub keeps downloaded weights in, or one in it; made if it is not there."""
    if os.getenv('TORCH_MODEL_ZOO'):
        _logger.warning('TORCH_MODEL_ZOO is not used any more: set TORCH_HOME.')
    folder = Path(torch.hub.get_dir(), 'checkpoints', child_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _weight_folders() -> list[Path]:
    """Folders that the environment variable TIMM_WEIGHTS lists; what lies there goes before caches and network."""
    return [Path(part).expanduser() for part in os.environ.get('TIMM_WEIGHTS', '').split(os.pathsep) if part]


def _hub_cache_dir() -> Path:
    """Where huggingface_hub keeps files, found without importing it."""
    constants: Any = sys.modules.get('huggingface_hub.constants')
    if constants is not None:
        return Path(constants.HF_HUB_CACHE)
    for variable in ('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE'):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    home = os.environ.get('HF_HOME') or Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'huggingface')
    return Path(home).expanduser() / 'hub'


def _is_offline() -> bool:
    """Whether the environment forbids the network."""
    constants: Any = sys.modules.get('huggingface_hub.constants')
    asked = (os.environ.get(name, '') for name in ('HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'))
    return any(value.upper() in ('1', 'ON', 'YES', 'TRUE') for value in asked) or bool(
        getattr(constants, 'HF_HUB_OFFLINE', False)
    )


def _url_and_name(url: Url) -> tuple[str, str]:
    """The address and the name of its file."""
    if not isinstance(url, str):
        address, name = url
        return address, name
    return url, unquote(urlsplit(url).path.rpartition('/')[2])


def _hash_in(name: str) -> str:
    """The beginning of the SHA-256 that a file name ends in, '' where there is none."""
    match = HASH_REGEX.search(name)
    return match[1] if match and len(match[1]) >= _MIN_HASH_DIGITS else ''


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _cached_path(url: Url, cache_dir: PathLike | None) -> Path:
    return Path(cache_dir or get_cache_dir()) / _url_and_name(url)[1]


def check_cached_file(url: Url, check_hash: bool = True, cache_dir: PathLike | None = None) -> bool:
    """Whether the file at a URL has been downloaded already.

    Args:
        url: The address, or (address, file name).
        check_hash: The content must agree with the hash in the file's name, where there is one.
        cache_dir: Where to look, if not in `get_cache_dir()`.
    """
    path = _cached_path(url, cache_dir)
    expected = _hash_in(path.name) if check_hash else ''
    return path.is_file() and (not expected or _sha256(path).startswith(expected))


def download_cached_file(
    url: Url, check_hash: bool = True, progress: bool = False, cache_dir: PathLike | None = None
) -> str:
    """Path of the file at a URL, downloaded unless a TIMM_WEIGHTS folder or the cache has it.

    Args:
        url: The address, or (address, file name).
        check_hash: The content must agree with the hash in the file's name, where there is one.
        progress: Show a bar.
        cache_dir: Where to keep it, if not in `get_cache_dir()`.

    Raises:
        FileNotFoundError: It is neither here nor to be had; the message says where it was looked for.
        RuntimeError: What came is not what its name promises.
    """
    address, name = _url_and_name(url)
    for folder in _weight_folders():
        if (folder / name).is_file():
            return str(folder / name)
    path = _cached_path(url, cache_dir)
    if check_cached_file(url, check_hash, cache_dir):
        return str(path)
    if path.is_file():
        _logger.warning("'%s' does not agree with the hash in its name and is downloaded again.", path)
    reason = 'HF_HUB_OFFLINE forbids the network' if _is_offline() else ''
    if not address.lower().startswith(('http://', 'https://')):
        reason = 'only http and https addresses are downloaded'
    if not reason:
        path.parent.mkdir(parents=True, exist_ok=True)
        _logger.info('Downloading: "%s" to %s', address, path)
        try:
            _download(address, path, _hash_in(name) if check_hash else '', progress)
        except OSError as error:
            reason = str(error)
            cause = error
        else:
            return str(path)
    else:
        cause = None
    raise FileNotFoundError(
        f"Cannot get '{name}'. Looked in: {_folders_text()}; {path.parent}; {address} ({reason}). Put the file in one "
        "of these folders, or give it with pretrained_cfg_overlay=dict(file='...')."
    ) from cause


def _download(address: str, path: Path, expected: str, progress: bool) -> None:
    """Fetch an address to `path`, which comes into being only when all of it has arrived and agrees with its hash."""
    request = urllib.request.Request(address, headers={'User-Agent': f'timm/{__version__}'})  # noqa: S310  http(s) only
    digest = hashlib.sha256()
    with (
        urllib.request.urlopen(request, timeout=30) as answer,  # noqa: S310  http(s) only
        tempfile.NamedTemporaryFile(dir=path.parent, prefix=f'{path.name}.', suffix='.part', delete=False) as file,
    ):
        try:
            size = int(answer.headers.get('Content-Length') or 0)
            bar = _progress_bar(size) if progress else None
            while part := answer.read(2**20):
                file.write(part)
                digest.update(part)
                if bar is not None:
                    bar.update(len(part))
            if bar is not None:
                bar.close()
            if size and file.tell() != size:
                raise OSError(f'{file.tell()} of {size} bytes arrived')
            if not digest.hexdigest().startswith(expected):
                raise RuntimeError(
                    f'{address} has SHA-256 {digest.hexdigest()}, but its name promises {expected}...: the file was '
                    'changed or damaged on its way.'
                )
            file.close()
            Path(file.name).chmod(0o666 & ~_umask())  # temporary files are private, a cache is shared
            Path(file.name).replace(path)
        except BaseException:
            file.close()
            Path(file.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _progress_bar(size: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=size or None, unit='B', unit_scale=True, unit_divisor=1024)


def has_hf_hub(necessary: bool = False) -> bool:
    """Whether the package huggingface_hub is installed.

    Raises:
        RuntimeError: It is not, and it is `necessary`.
    """
    found = importlib.util.find_spec('huggingface_hub') is not None
    if necessary and not found:
        raise RuntimeError('This model lies on the Hugging Face hub: run `pip install huggingface_hub`.')
    return found


def hf_split(hf_id: str) -> tuple[str, str | None]:
    """Repository and revision of 'org/name@revision'; the revision is None where none is named.

    Raises:
        ValueError: There is more than one '@'.
    """
    repository, at, revision = hf_id.partition('@')
    if '@' in revision:
        raise ValueError(f"'{hf_id}' has more than one '@': write 'org/name' or 'org/name@revision'.")
    return repository, revision if at else None


def _folders_text() -> str:
    folders = _weight_folders()
    return f'TIMM_WEIGHTS ({", ".join(map(str, folders))})' if folders else 'TIMM_WEIGHTS (not set)'


def find_in_hub_cache(model_id: str, filename: str, cache_dir: PathLike | None = None) -> str | None:
    """Path of a repository's file on this machine, in a TIMM_WEIGHTS folder or the hub's cache; None if in neither.

    A TIMM_WEIGHTS folder may hold 'org/name/<filename>', 'name/<filename>' or, of a weight file, 'name<its ending>'.
    """
    repository, revision = hf_split(model_id)
    name = repository.rpartition('/')[2]
    ending = Path(filename).suffix
    relative = [f'{repository}/{filename}', f'{name}/{filename}', *([f'{name}{ending}'] if ending != '.json' else [])]
    for folder in _weight_folders():
        for place in relative:
            if (folder / place).is_file():
                return str(folder / place)
    root = Path(cache_dir or _hub_cache_dir()) / f'models--{repository.replace("/", "--")}'
    reference = root / 'refs' / (revision or 'main')
    commit = reference.read_text().strip() if reference.is_file() else revision
    path = root / 'snapshots' / (commit or '-') / filename
    if not path.is_file():
        return None
    _check_blob(path)
    return str(path)


def _check_blob(path: Path) -> None:
    """Compare a file of the hub's cache with its SHA-256, by which the cache names it, when it is first used.

    Raises:
        RuntimeError: They differ.
    """
    blob = path.resolve()
    if blob.parent.name != 'blobs' or not re.fullmatch('[0-9a-f]{64}', blob.name):
        return
    mark = blob.parent.parent / '.checked' / blob.name
    state = blob.stat()
    seen = f'{state.st_size} {state.st_mtime_ns}'
    if mark.is_file() and mark.read_text() == seen:
        return
    if _sha256(blob) != blob.name:
        raise RuntimeError(f"'{blob}' is damaged (its SHA-256 is not {blob.name[:12]}...): delete it and load again.")
    try:
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(seen)
    except OSError as error:  # a cache that others own: look again next time
        _logger.debug("Cannot note that '%s' was checked: %s", blob, error)


def _get_hub_file(model_id: str, filenames: Sequence[str], cache_dir: PathLike | None) -> str:
    """Path of the first of `filenames` that a repository has, on this machine before on the network.

    Raises:
        FileNotFoundError: None can be had; the message says where it was looked for, why not, and what to do.
    """
    for filename in filenames:
        found = find_in_hub_cache(model_id, filename, cache_dir)
        if found is not None:
            return found
    remedy = 'check the connection, HF_ENDPOINT and proxies'
    failure: Exception | None = None
    if _is_offline():
        reason, remedy = 'HF_HUB_OFFLINE forbids the network', 'unset it'
    else:
        has_hf_hub(necessary=True)
        from huggingface_hub import errors

        try:
            found = _fetch_first(model_id, filenames, cache_dir)
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            reason, failure = type(error).__name__, error
            remedy = 'check the name and revision, or log in with `hf auth login` if it is private'
        except Exception as error:
            reason = f'{type(error).__name__}: {_first_line(error)}'
            raise _hub_error(model_id, filenames, cache_dir, reason, remedy) from error
        else:
            if found is not None:
                _check_blob(Path(found))
                return found
            reason, remedy = 'the repository has no such file', 'name another file'
    raise _hub_error(model_id, filenames, cache_dir, reason, remedy) from failure


def _fetch_first(model_id: str, filenames: Sequence[str], cache_dir: PathLike | None) -> str | None:
    """Path of the first of `filenames` that a repository has on the network, None if it has none of them."""
    from huggingface_hub import errors

    fetch = sys.modules[__name__].hf_hub_download
    if isinstance(fetch, partial):  # the hub's own function, which would try an unreachable hub for half a minute
        _connect()
    repository, revision = hf_split(model_id)
    options = {'revision': revision, 'cache_dir': cache_dir}
    options = {name: value for name, value in options.items() if value is not None}
    for filename in filenames:
        with contextlib.suppress(errors.EntryNotFoundError):
            try:
                return str(fetch(repo_id=repository, filename=filename, **options))
            except errors.LocalEntryNotFoundError as error:  # an EntryNotFoundError that means: no connection
                raise ConnectionError(_first_line(error)) from error
    return None


def _endpoint() -> str:
    return os.environ.get('HF_ENDPOINT', 'https://huggingface.co').rstrip('/')


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition('\n')[0]


def _hub_error(
    model_id: str, filenames: Sequence[str], cache_dir: PathLike | None, reason: str, remedy: str
) -> FileNotFoundError:
    """The error of a search on the hub: what was asked, where it was looked for, what to do."""
    return FileNotFoundError(
        f"Cannot get {' or '.join(filenames)} of '{model_id}'. Looked in: {_folders_text()}; "
        f'{cache_dir or _hub_cache_dir()}; {_endpoint()} ({reason}). To go on, {remedy}; or put the files in a '
        "TIMM_WEIGHTS folder; or give weights with pretrained_cfg_overlay=dict(file='...')."
    )


def _connect() -> None:
    """Open and close a connection to the hub.

    Raises:
        OSError: None comes about within seconds.
    """
    if urllib.request.getproxies():
        return
    parts = urlsplit(_endpoint())
    address = parts.hostname or 'huggingface.co', parts.port or (80 if parts.scheme == 'http' else 443)
    try:
        socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
    except OSError:
        time.sleep(1)  # name servers may need a second question
        socket.create_connection(address, timeout=_CONNECT_SECONDS).close()


def download_from_hf(model_id: str, filename: str, cache_dir: PathLike | None = None) -> str:
    """Path of one file of a repository, on this machine before on the network.

    Raises:
        FileNotFoundError: It cannot be had; the message says why.
    """
    return _get_hub_file(model_id, (filename,), cache_dir)


def load_state_dict_from_hf(
    model_id: str,
    filename: str = HF_WEIGHTS_NAME,
    weights_only: bool = True,
    cache_dir: PathLike | None = None,
) -> dict[str, Any]:
    """The weights of a repository, its safetensors file before a pickle.

    Args:
        filename: Name of the pickle. Of one that ends in .bin, the safetensors file beside it is tried first.
        weights_only: False runs code that a pickle asks for: only for files whose maker you trust.

    Raises:
        FileNotFoundError: They cannot be had; the message says why.
    """
    safe = _SAFE_NAMES.get(filename)
    if safe is None and filename.endswith('.bin'):
        safe = f'{filename.removesuffix(".bin")}.safetensors'
    path = _get_hub_file(model_id, (safe, filename) if safe else (filename,), cache_dir)
    _logger.info("[%s] Loading weights from '%s'", model_id, path)
    return load_state_dict(path, weights_only=weights_only)


def load_custom_from_hf(model_id: str, filename: str, model: nn.Module, cache_dir: PathLike | None = None) -> None:
    """Let a model read a file of a repository itself, through its `load_pretrained(path)`."""
    network: Any = model
    network.load_pretrained(download_from_hf(model_id, filename, cache_dir))


def load_cfg_from_json(json_file: PathLike) -> dict[str, Any]:
    """The object in a config.json.

    Raises:
        RuntimeError: The file is no JSON object, or beyond all measure.
    """
    path = Path(json_file)
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise RuntimeError(f"'{path}' has more than {_MAX_CONFIG_BYTES >> 20} MiB: it is no model configuration.")
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise RuntimeError(f"'{path}' is no valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise RuntimeError(f"'{path}' holds a {type(content).__name__}, not a model configuration.")
    return content


_CFG_FIELDS = frozenset(field.name for field in fields(PretrainedCfg))
# JSON has lists for them
_TUPLES = ('input_size', 'test_input_size', 'min_input_size', 'pool_size', 'test_pool_size', 'mean', 'std')


def _parse_model_cfg(config: Mapping[str, Any], path: str, **place: Any) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(pretrained configuration, architecture, model arguments) in a config.json, nested as today or flat as once."""
    architecture = config.get('architecture')
    if not isinstance(architecture, str):
        raise RuntimeError(f"'{path}' names no architecture: it is no configuration of a timm model.")
    nested = config.get('pretrained_cfg')
    if isinstance(nested, Mapping) and nested:
        cfg = dict(nested)
    else:
        cfg = {k: v for k, v in config.items() if k in _CFG_FIELDS and k != 'architecture'}
    cfg.update(place)
    for name in ('num_classes', 'label_names', 'label_descriptions'):
        if config.get(name) is not None:
            cfg[name] = config[name]
    for name in _TUPLES:
        if isinstance(cfg.get(name), list):
            cfg[name] = tuple(cfg[name])
    model_args = dict(config.get('model_args') or {})
    _correct_input_size(cfg, model_args)
    return cfg, architecture, model_args


def _correct_input_size(cfg: dict[str, Any], model_args: Mapping[str, Any]) -> None:
    """Let the configuration follow the arguments that the saved network was built with.

    Older exports kept in it the channels and the image size of the weights that training began from.
    """
    if model_args.get('dynamic_img_size') or model_args.get('strict_img_size') is False:
        cfg['fixed_input_size'] = False
    chans, size = model_args.get('in_chans'), model_args.get('img_size')
    if chans is not None:
        cfg.setdefault('input_size', (3, 224, 224))
        for name in ('input_size', 'test_input_size', 'min_input_size'):
            if cfg.get(name):
                cfg[name] = (chans, *cfg[name][1:])
    if size is not None and cfg.get('fixed_input_size'):
        cfg['input_size'] = ((cfg.get('input_size') or (3,))[0], *to_2tuple(size))


def load_model_config_from_hf(
    model_id: str, cache_dir: PathLike | None = None
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(pretrained configuration, architecture, model arguments) of a repository.

    Raises:
        FileNotFoundError: Its config.json cannot be had.
        RuntimeError: That is no configuration of a model.
    """
    path = download_from_hf(model_id, 'config.json', cache_dir)
    return _parse_model_cfg(load_cfg_from_json(path), path, hf_hub_id=model_id, source='hf-hub')


def load_model_config_from_path(model_path: PathLike) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(pretrained configuration, architecture, model arguments) of a folder that `save_for_hf` wrote.

    Raises:
        FileNotFoundError: It has no config.json.
        RuntimeError: That is no configuration of a model.
    """
    path = Path(model_path) / 'config.json'
    if not path.is_file():
        raise FileNotFoundError(
            f'Config file not found: {path}. A model folder holds config.json and weights, as save_for_hf writes them.'
        )
    return _parse_model_cfg(load_cfg_from_json(path), str(path), file=str(model_path), source='local-dir')


def load_state_dict_from_path(path: PathLike, weights_only: bool = True) -> dict[str, Any]:
    """The weights in a folder: of a usual name, or else the first by ending (safetensors before pickles).

    Raises:
        RuntimeError: There are none.
    """
    folder = Path(path)
    if folder.is_file():
        return load_state_dict(folder, weights_only=weights_only)
    for name in _PREFERRED_NAMES:
        if (folder / name).is_file():
            return load_state_dict(folder / name, weights_only=weights_only)
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    for ending in _ENDINGS:
        found = [name for name in names if name.endswith(ending)]
        if len(found) > 1:
            _logger.warning('Multiple %s checkpoints in %s: %s. Using %r.', ending, folder, found, found[0])
        if found:
            return load_state_dict(folder / found[0], weights_only=weights_only)
    raise RuntimeError(
        f'No suitable checkpoints found in {folder}: no {", ".join(_PREFERRED_NAMES[:2])}, and nothing else that ends '
        f'in {", ".join(_ENDINGS)}.'
    )
