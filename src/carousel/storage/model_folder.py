"""A model on disk, checked before it is believed.

``config.json``, ``model.safetensors``, ``tokenizer.json``, and what training leaves beside them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from carousel.errors import FolderError
from carousel.storage.atomic import replace_folder, sync_folder, temporary_path, write_synced
from carousel.storage.config import Config
from carousel.storage.number_formats import StoredWeight
from carousel.storage.safetensors import read_weights, write_weights
from carousel.text.tokenizer import Tokenizer

MAX_JSON_BYTES = 2**28
"""The largest ``config.json`` or ``tokenizer.json`` that is read."""


class ModelFolder(NamedTuple):
    """What a model folder holds. The weights are read-only views of the memory-mapped file."""

    path: Path
    config: Config
    weights: dict[str, StoredWeight]
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
        path / "model.safetensors", config.weight_shapes(), config.dtype, config.tiled_matrices()
    )
    return ModelFolder(path, config, weights, tokenizer)


def write_folder(
    path: str | Path,
    config: Config,
    weights: Mapping[str, StoredWeight],
    tokenizer: Tokenizer,
    *,
    extra: Mapping[str, str | bytes] | None = None,
    force: bool = False,
) -> None:
    """Write a model folder whole or not at all.

    Args:
        path: the folder.
        config: the model's configuration.
        weights: the weights by name, as ``cast_weights`` makes them for ``config.dtype``.
        tokenizer: the model's tokenizer.
        extra: the content of further files by name, such as ``recipe.toml``.
        force: replace a model folder that is there. The old one goes when the new one is whole;
            on Linux in one step, so that there is a model at every moment.

    Raises:
        FolderError: the folder exists, or can't be written (the disk is full, say).
    """
    path = Path(path)
    check_replaceable(path, force=force)
    files: dict[str, str | bytes] = {
        "config.json": config.to_json(),
        "model.safetensors": write_weights(
            weights, config.weight_shapes(), config.dtype, config.tiled_matrices()
        ),
        "tokenizer.json": tokenizer.to_json(),
        **(extra or {}),
    }
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkdir(temporary)  # as readable as any other: the umask decides
        for name, data in files.items():
            write_synced(temporary / name, data)
        sync_folder(temporary)
        replace_folder(temporary, path)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: Path, *, force: bool = False) -> None:
    """Check that a model may be written to ``path``.

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
        if path.stat().st_size > MAX_JSON_BYTES:
            raise FolderError(f"{path} is too large to be true")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FolderError(f"{path} is missing: not a model folder, or not a whole one") from None
    except UnicodeDecodeError:
        raise FolderError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror or error}") from None
