"""A corpus: a text as token ids in a memory-mapped file, made once and kept in a cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carousel.errors import TextError
from carousel.text.files import CHUNK, ProgressCallback, read_pieces
from carousel.text.tokenizer import Tokenizer
from carousel.text.workers import count_workers, encode_side_by_side

FORMAT = 1


@dataclass(frozen=True)
class Counts:
    """What a text came to."""

    tokens: int = 0
    unknown: int = 0
    """Tokens that are the unknown word."""
    lines: int = 0
    words: int = 0
    """Stretches without white space in the text as written."""
    characters: int = 0
    """Line breaks included."""


@dataclass(frozen=True)
class Corpus:
    """Token ids ``[N]``, read-only: ``uint16`` where the vocabulary allows it, else ``uint32``."""

    ids: np.ndarray
    counts: Counts


def build_corpus(
    files: Sequence[Path],
    tokenizer: Tokenizer,
    *,
    encoding_errors: str = "strict",
    cache: Path | None = None,
    on_progress: ProgressCallback | None = None,
) -> Corpus:
    """Tokenize ``files`` into a memory-mapped corpus, or open the one that the cache holds.

    The cache's key is the files' content and the tokenizer; a damaged entry is made anew. Memory
    does not grow with the text.

    Raises:
        TextError: a file can't be read, or the cache can't be written.
    """
    folder = cache or default_cache()
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<u4")
    path = folder / f"{_key(files, tokenizer, encoding_errors)}.ids"
    try:
        found = _open(path, dtype)
        if found is not None:
            return found
        folder.mkdir(parents=True, exist_ok=True)
        pieces = read_pieces(files, encoding_errors=encoding_errors, on_progress=on_progress)
        workers = count_workers(files, tokenizer.kind)
        _write(path, dtype, encode_text(pieces, tokenizer, workers))
    except OSError as error:
        raise TextError(
            f"the tokenized text can't be kept in {folder}: {error.strerror or error}; "
            f"CAROUSEL_CACHE names another folder"
        ) from None
    made = _open(path, dtype)
    if made is None:
        raise TextError(f"{path} changed while it was written: is the disk full?")
    return made


def encode_text(
    pieces: Iterable[str], tokenizer: Tokenizer, workers: int = 1
) -> Iterator[tuple[np.ndarray, Counts]]:
    """The ids of a stream of text, piece after piece, with what each adds to the counts."""
    if workers > 1:
        encoded = encode_side_by_side(pieces, tokenizer, workers)
    else:
        encoded = ((piece, tokenizer.encoder.encode(piece)) for piece in pieces)
    for piece, (ids, words) in encoded:
        yield (
            ids,
            Counts(
                tokens=len(ids),
                unknown=int(np.count_nonzero(ids == tokenizer.unknown_id)),
                lines=piece.count("\n"),
                words=words,
                characters=len(piece),
            ),
        )


def add_counts(a: Counts, b: Counts) -> Counts:
    """The counts of two stretches of text together."""
    other = asdict(b)
    return Counts(**{name: value + other[name] for name, value in asdict(a).items()})


def default_cache() -> Path:
    """``$CAROUSEL_CACHE``, or a folder ``carousel`` where this system keeps caches."""
    named = os.environ.get("CAROUSEL_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "carousel"


def _write(path: Path, dtype: np.dtype[Any], encoded: Iterator[tuple[np.ndarray, Counts]]) -> None:
    counts = Counts()
    # The process number keeps two runs that make the same entry out of each other's way.
    aside = path.with_suffix(f".{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            for ids, more in encoded:
                file.write(ids.astype(dtype).tobytes())
                counts = add_counts(counts, more)
            file.flush()
            os.fsync(file.fileno())
        about = path.with_suffix(".json")
        about_aside = about.with_suffix(f".{os.getpid()}.part.json")
        about_aside.write_text(json.dumps({"format": FORMAT, **asdict(counts)}))
        os.replace(aside, path)
        os.replace(about_aside, about)
    finally:
        aside.unlink(missing_ok=True)


def _open(path: Path, dtype: np.dtype[Any]) -> Corpus | None:
    """The cached corpus, or None where there is none or it is not whole."""
    try:
        table = json.loads(path.with_suffix(".json").read_text())
        if table.pop("format") != FORMAT:
            return None
        counts = Counts(**table)
        if counts.tokens < 1 or path.stat().st_size != counts.tokens * dtype.itemsize:
            return None
        return Corpus(np.memmap(path, dtype=dtype, mode="r"), counts)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _key(files: Sequence[Path], tokenizer: Tokenizer, encoding_errors: str) -> str:
    digest = hashlib.sha256(f"{FORMAT} {encoding_errors} {tokenizer.to_json()}".encode())
    for path in files:
        digest.update(f"\0{path.suffix == '.gz'} {path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:32]
