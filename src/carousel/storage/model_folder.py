"""A model on disk, checked before it is believed.

``config.json``, ``model.safetensors``, ``tokenizer.json``, and what training leaves beside them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from carousel.errors import FolderError
from carousel.storage.atomic import exchange, sync_folder, umask, write_synced
from carousel.storage.config import Config
from carousel.storage.number_formats import Stored
from carousel.storage.safetensors import read_weights, write_weights
from carousel.text.tokenizer import Tokenizer

LARGEST_JSON = 2**28


class ModelFolder(NamedTuple):
    """What a model folder holds. The weights are read-only views of the mapped file."""

    path: Path
    config: Config
    weights: dict[str, Stored]
    tokenizer: Tokenizer


def read_folder(path: str | Path) -> ModelFolder:
    """Open a model folder: every name, type, shape and size is checked before it is used.

    Raises:
        FolderError: missing, truncated, oversized or foreign files, in one line.
    """
    path = Path(path)
    if not path.exists():
        raise FolderError(f"{path} is not there: no such model folder")
    if not path.is_dir():
        raise FolderError(f"{path} is a file: a model is a folder with config.json in it")
    config = Config.from_json(_read_text(path / "config.json"), str(path / "config.json"))
    tokenizer = Tokenizer.from_json(
        _read_text(path / "tokenizer.json"), str(path / "tokenizer.json")
    )
    if tokenizer.vocab_size != config.vocab_size:
        raise FolderError(
            f"{path}: tokenizer.json has {tokenizer.vocab_size} tokens, "
            f"config.json says {config.vocab_size}"
        )
    weights = read_weights(
        path / "model.safetensors", config.weight_shapes(), config.dtype, config.tiled()
    )
    return ModelFolder(path, config, weights, tokenizer)


def write_folder(
    path: str | Path,
    config: Config,
    weights: Mapping[str, Stored],
    tokenizer: Tokenizer,
    *,
    extra: Mapping[str, str | bytes] | None = None,
    force: bool = False,
) -> None:
    """Write a model folder aside, sync it and rename it into place.

    ``weights`` are as ``storage.store`` makes them for the configuration's ``dtype``. ``extra`` are
    further files by name. An existing folder is kept unless ``force``; then it is
    taken away only after the new one is whole, and on Linux in one step: there is never none.

    Raises:
        FolderError: the folder exists, or can't be written (the disk is full, say).
    """
    path = Path(path)
    check_free(path, force=force)
    files: dict[str, str | bytes] = {
        "config.json": config.to_json(),
        "model.safetensors": write_weights(
            weights, config.weight_shapes(), config.dtype, config.tiled()
        ),
        "tokenizer.json": tokenizer.to_json(),
        **(extra or {}),
    }
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        # Temporary folders are private; a model folder is as readable as any other.
        aside.chmod(0o777 & ~umask())
        for name, data in files.items():
            write_synced(aside / name, data)
        sync_folder(aside)
        # Where the two change names, what is taken away at the end is the old one.
        swapped = path.exists() and exchange(aside, path)
        if not swapped and path.exists():
            old = aside.with_name(aside.name + ".old")
            os.rename(path, old)
            try:
                os.rename(aside, path)
            except OSError:
                os.rename(old, path)
                raise
            shutil.rmtree(old, ignore_errors=True)
        elif not swapped:
            os.rename(aside, path)
        sync_folder(path.parent)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def check_free(path: Path, *, force: bool = False) -> None:
    """Refuse to write a model where something is that it must not replace.

    Raises:
        FolderError: a model is there and ``force`` is off, or something that is no model is there.
    """
    if not path.exists():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    if not path.is_dir() or not (path / "config.json").is_file():
        raise FolderError(f"{path} exists and is not a model folder: choose another name")
    if not force:
        raise FolderError(f"{path} exists and is kept: choose another name, or use --force")


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise FolderError(f"{path} is too large to be true")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FolderError(f"{path} is missing: not a model folder, or not a whole one") from None
    except UnicodeDecodeError:
        raise FolderError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror or error}") from None
