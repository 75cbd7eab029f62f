"""A model on disk, checked before it is believed.

``config.json``, ``model.safetensors``, ``tokenizer.json``, and what training leaves beside them.

The files of one folder know each other: ``config.json`` holds the SHA-256 of ``tokenizer.json`` and
of the header of ``model.safetensors``, which holds that of the weights. The first two are checked
whenever a folder is opened; ``check_folder`` checks the weights' too. Older folders have no hashes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from carousel.errors import FolderError
from carousel.storage.atomic import (
    make_folder,
    replace_folder,
    sync_folder,
    temporary_path,
    write_synced,
)
from carousel.storage.config import HASHES, Config
from carousel.storage.directory import Directory, read_directory
from carousel.storage.number_formats import StoredWeight, find_invalid_values
from carousel.storage.regular_file import read_all
from carousel.storage.run_lock import check_not_training
from carousel.storage.safetensors import hash_tensors, parse_header, read_weights, write_weights
from carousel.storage.strict_json import parse_json
from carousel.storage.truecase import TRUECASE_FILE, forms_to_json, parse_forms
from carousel.text.tokenizer import Tokenizer

MAX_CONFIG_BYTES = 2**20
MAX_JSON_BYTES = 2**26
"""The largest ``tokenizer.json`` that is read or written: about three million words."""
HASHED = ("model.safetensors", "tokenizer.json")
SHA256 = re.compile("[0-9a-f]{64}")


class ModelFolder(NamedTuple):
    """What a model folder holds. The weights are read-only arrays."""

    path: Path
    config: Config
    weights: dict[str, StoredWeight]
    tokenizer: Tokenizer
    extra: dict[str, bytes]
    """The content of the further files that were asked for and are there, by name."""


def read_folder(path: str | Path, *, mmap: bool = True, extra: Sequence[str] = ()) -> ModelFolder:
    """Open a model folder: every name, type, shape and size is checked before it is used.

    All files are of one moment, also where the folder is replaced meanwhile.

    Args:
        path: the folder.
        mmap: map the weights' file, whose bytes are then shared with other processes and read when
            they are used; a program that cuts the file short meanwhile ends this process by SIGBUS.
            False copies the weights into memory.
        extra: names of further files to read, such as ``recipe.toml``, where they are there. None
            may be larger than the weights' file, or 64 MiB.

    Raises:
        FolderError: missing, truncated, oversized, foreign or mixed files, in one line.
    """
    path = Path(path)
    return read_directory(path, lambda directory: _read(directory, mmap=mmap, extra=extra)[0])


def check_folder(path: str | Path) -> dict[str, str | None]:
    """Check every byte of a model folder that has a hash.

    Returns:
        the SHA-256 of each checked file by name; None where the folder is older and has none.

    Raises:
        FolderError: as ``read_folder``; or a file is not the one that was written.
    """
    path = Path(path)

    def check(directory: Directory) -> dict[str, str | None]:
        hashes = _read(directory, mmap=True)[1]
        if hashes is None:
            return dict.fromkeys(HASHED)
        where = f"{path / HASHED[0]}"
        try:
            with directory.open_file(HASHED[0]) as file:
                header = parse_header(file, where)
                tensors = hash_tensors(file, header)
        except OSError as error:
            raise _reading_error(path, HASHED[0], error) from None
        if header.sha256 != hashes[HASHED[0]] or tensors != header.tensors_sha256:
            raise FolderError(f"{where} is damaged: its weights are not those that were written")
        return dict(hashes)

    return read_directory(path, check)


def write_folder(
    path: str | Path,
    config: Config,
    weights: Mapping[str, StoredWeight],
    tokenizer: Tokenizer,
    *,
    extra: Mapping[str, str | bytes] | None = None,
    force: bool = False,
    in_run: bool = False,
) -> None:
    """Write a model folder whole or not at all.

    Args:
        path: the folder. Where it is a symbolic link, the folder that it names is written.
        config: the model's configuration.
        weights: the weights by name, as ``cast_weights`` makes them for ``config.dtype``.
        tokenizer: the model's tokenizer.
        extra: the content of further files by name, such as ``recipe.toml``.
        force: replace a model folder that is there. The old one goes when the new one is whole;
            on Linux in one step, so that there is a model at every moment.
        in_run: the training run of this folder writes it. Nobody else may meanwhile.

    Raises:
        FolderError: the folder exists, is being trained, or can't be written (the disk is full,
            say); or a weight that ``read_folder`` would refuse.
    """
    path = resolve_link(Path(path))
    check_replaceable(path, force=force, in_run=in_run)
    for name, weight in weights.items():
        if wrong := find_invalid_values(weight):
            raise FolderError(f"{path} is not written: {name} holds {wrong}")
    data = write_weights(weights, config.weight_shapes(), config.dtype, config.tiled_matrices())
    tokenizer_json = tokenizer.to_json().encode()
    if len(tokenizer_json) > MAX_JSON_BYTES:
        raise FolderError(
            f"{path} is not written: the vocabulary takes {len(tokenizer_json)} bytes, "
            f"{MAX_JSON_BYTES} at most: use a larger min_count or a vocab_size"
        )
    hashes = {
        "model.safetensors": parse_header(data, "model.safetensors").sha256,
        "tokenizer.json": hashlib.sha256(tokenizer_json).hexdigest(),
    }
    files: dict[str, str | bytes] = {
        "config.json": config.to_json(hashes),
        "model.safetensors": data,
        "tokenizer.json": tokenizer_json,
        **(extra or {}),
    }
    if tokenizer.forms:
        files[TRUECASE_FILE] = forms_to_json(tokenizer.forms)
    temporary = temporary_path(path)
    try:
        make_folder(path.parent)
        os.mkdir(temporary)  # as readable as any other: the umask decides
        for name, content in files.items():
            write_synced(temporary / name, content)
        sync_folder(temporary)
        replace_folder(temporary, path)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def resolve_link(path: Path) -> Path:
    """The folder that a symbolic link names; any other path as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def is_model(path: Path) -> bool:
    """Whether a model is in the folder ``path``, whole or not."""
    return (path / "config.json").is_file()


def check_replaceable(path: Path, *, force: bool = False, in_run: bool = False) -> None:
    """Check that a model may be written to ``path``.

    Raises:
        FolderError: a model is there and ``force`` is off, something that is no model is there, or
            another process trains it.
    """
    if not in_run:
        check_not_training(path)
    if not path.exists():
        return
    if path.is_dir() and os.path.ismount(path):
        raise FolderError(
            f"{path} is a mount point, which can't be replaced: choose a folder inside it"
        )
    if path.is_dir() and not any(path.iterdir()):
        return
    if not path.is_dir() or not is_model(path):
        raise FolderError(f"{path} exists and is not a model folder: choose another name")
    if not force:
        raise FolderError(f"{path} exists and is kept: choose another name, or use --force")


def _read(
    directory: Directory, *, mmap: bool, extra: Sequence[str] = ()
) -> tuple[ModelFolder, dict[str, str] | None]:
    """What the folder holds, and the hashes that its files have been found to have."""
    path = directory.path
    where = str(path / "config.json")
    config_text = _read_file(directory, "config.json", MAX_CONFIG_BYTES)
    config = Config.from_json(_decode(config_text, where), where)
    where = str(path / "tokenizer.json")
    tokenizer_text = _read_file(directory, "tokenizer.json", MAX_JSON_BYTES)
    tokenizer = Tokenizer.from_json(_decode(tokenizer_text, where), where)
    if tokenizer.vocab_size != config.vocab_size:
        raise FolderError(
            f"{path}: tokenizer.json has {tokenizer.vocab_size} tokens, "
            f"config.json says {config.vocab_size}"
        )
    name = "model.safetensors"
    try:
        with directory.open_file(name) as file:
            weights, header = read_weights(
                file,
                str(path / name),
                config.weight_shapes(),
                config.dtype,
                config.tiled_matrices(),
                mmap=mmap,
            )
            max_bytes = max(MAX_JSON_BYTES, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise _reading_error(path, name, error) from None
    hashes = _parse_hashes(_decode(config_text, where), str(path / "config.json"))
    found = {name: header.sha256, "tokenizer.json": hashlib.sha256(tokenizer_text).hexdigest()}
    for file_name, expected in (hashes or {}).items():
        if found[file_name] != expected:
            raise FolderError(
                f"{path}: {file_name} is not the one that config.json was written with: the folder "
                f"is mixed or damaged; write it again, or remove {HASHES} from config.json"
            )
    further = _read_extra(directory, extra, max_bytes)
    if forms := _read_extra(directory, [TRUECASE_FILE], MAX_JSON_BYTES):
        where = str(path / TRUECASE_FILE)
        tokenizer.forms = parse_forms(_decode(forms[TRUECASE_FILE], where), tokenizer, where)
    return ModelFolder(path, config, weights, tokenizer, further), hashes


def _read_extra(directory: Directory, names: Sequence[str], max_bytes: int) -> dict[str, bytes]:
    content = {}
    for name in names:
        try:
            with directory.open_file(name) as file:
                content[name] = read_all(file, str(directory.path / name), max_bytes)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _reading_error(directory.path, name, error) from None
    return content


def _read_file(directory: Directory, name: str, max_bytes: int) -> bytes:
    try:
        with directory.open_file(name) as file:
            return read_all(file, str(directory.path / name), max_bytes)
    except OSError as error:
        raise _reading_error(directory.path, name, error) from None


def _reading_error(path: Path, name: str, error: OSError) -> FolderError:
    if isinstance(error, FolderError):
        return error
    if isinstance(error, FileNotFoundError):
        return FolderError(f"{path / name} is missing: not a model folder, or not a whole one")
    return FolderError(f"{path / name} can't be read: {error.strerror or error}")


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FolderError(f"{where} is not UTF-8 text") from None


def _parse_hashes(text: str, where: str) -> dict[str, str] | None:
    """The hashes that a ``config.json`` states, or None where it is older and states none."""
    hashes = parse_json(text, where).get(HASHES)
    if hashes is None:
        return None
    if not isinstance(hashes, dict) or hashes.keys() != set(HASHED):
        raise FolderError(f"{where}: {HASHES} must have {' and '.join(HASHED)}")
    if not all(isinstance(digest, str) and SHA256.fullmatch(digest) for digest in hashes.values()):
        raise FolderError(f"{where}: {HASHES} must be 64 hexadecimal digits each")
    return hashes
