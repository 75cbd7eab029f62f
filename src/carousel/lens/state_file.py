"""The file in the cache that holds which units are on after each token of a corpus.

It holds the bits, a row of ``⌈H/8⌉`` bytes a token, and after them their SHA-256. Any number of
threads and processes may write one: each under a name that nobody else has.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from secrets import token_hex

import numpy as np

from carousel.inference.model import RecurrentLM
from carousel.lens.corpus_states import read_states
from carousel.text.files import ProgressCallback
from carousel.text.tokenizer import Tokenizer

FORMAT = 2
ROWS = 2**16
"""Tokens that are hashed or scanned at a time."""


def write_bits(
    path: Path,
    model: RecurrentLM,
    point: str,
    threshold: float,
    ids: np.ndarray,
    width: int,
    on_progress: ProgressCallback | None,
) -> np.ndarray | None:
    """Read ``ids`` through a model and write which units are above the threshold at ``point``.

    Args:
        path: the file to write, whole or not at all.
        model: the model.
        point: the gate or state.
        threshold: a unit is on where its value is above this.
        ids: the corpus, ``[N]``.
        width: bytes of a row, ``⌈H/8⌉``.
        on_progress: counts tokens read.

    Returns:
        The file's content, mapped: it stays where another process removes the file. None on
        Windows, which renames no file that is mapped.

    Raises:
        OSError: it can't be written.
    """
    aside = path.with_suffix(f".{token_hex(8)}.part")
    mapped = None
    try:
        with aside.open("w+b") as file:
            for start, values in read_states(model, ids, [point], on_progress=on_progress):
                file.seek(start * width)
                file.write(np.packbits(values[point] > threshold, axis=1).tobytes())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").digest()
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
            if os.name != "nt":
                mapped = np.memmap(file, dtype=np.uint8, mode="r")
        with contextlib.suppress(FileNotFoundError):  # another process has cleared the cache
            os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return mapped


def open_bits(path: Path, rows: int, width: int) -> np.ndarray | None:
    """The bits ``[rows, width]`` of a file; None where it is not there or not what was written."""
    try:
        whole = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):
        return None
    return check_bits(whole, rows, width)


def check_bits(whole: np.ndarray, rows: int, width: int) -> np.ndarray | None:
    """The bits ``[rows, width]`` in a file's content; None where it is not what was written."""
    bits = whole[: rows * width]
    digest = hashlib.sha256(bits.data).digest()
    if len(whole) != rows * width + len(digest) or whole[rows * width :].tobytes() != digest:
        return None
    return bits.reshape(rows, width)


def key_of(
    model: RecurrentLM, tokenizer: Tokenizer, point: str, threshold: float, ids: np.ndarray
) -> str:
    """The hash of all that the bits depend on: the file's name."""
    about = [FORMAT, point, threshold, model.config.to_json(), tokenizer.to_json()]
    digest = hashlib.sha256(json.dumps(about).encode())
    for name in sorted(model.weights):
        digest.update(np.ascontiguousarray(model.weights[name]).data)
    for row in range(0, len(ids), ROWS):
        digest.update(np.ascontiguousarray(ids[row : row + ROWS]).data)
    return digest.hexdigest()[:32]
