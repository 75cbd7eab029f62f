"""A corpus: a text as token ids in a memory-mapped file, made once and kept in a cache.

An entry of the cache is two files: ``KEY.ids`` holds the ids, and ``KEY.json`` their counts and a
hash of both. Any number of threads and processes may use one cache: each writes to temporary names
that nobody else has, and an entry whose hash is wrong is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np

from carousel.errors import TextError
from carousel.text.decoding import CHUNK, UTF_8
from carousel.text.files import ProgressCallback, read_pieces
from carousel.text.tokenizer import Tokenizer

CACHE_VERSION = 2
MAX_ATTEMPTS = 5
"""How often a file is written that another process removes (``carousel cache --clear``) before it
is mapped."""


@dataclass(frozen=True)
class Counts:
    """What a text came to. The counts of two texts can be added."""

    tokens: int = 0
    unknown: int = 0
    """Tokens that are the unknown word."""
    lines: int = 0
    words: int = 0
    """Stretches without white space in the text as written."""
    characters: int = 0
    """Line breaks included."""

    def __add__(self, other: Counts) -> Counts:
        theirs = asdict(other)
        return Counts(**{name: count + theirs[name] for name, count in asdict(self).items()})


@dataclass(frozen=True)
class Corpus:
    """Token ids ``[N]``, read-only: ``uint16`` where the vocabulary allows it, else ``uint32``."""

    ids: np.ndarray
    counts: Counts


def build_corpus(
    files: Sequence[Path],
    tokenizer: Tokenizer,
    *,
    encoding: str = UTF_8,
    encoding_errors: str = "strict",
    cache: Path | None = None,
    on_progress: ProgressCallback | None = None,
) -> Corpus:
    """Tokenize ``files`` into a memory-mapped corpus, or open the one that the cache holds.

    The cache's key is the files' content and the tokenizer. Memory does not grow with the text.

    Args:
        files: the text's files, one after the other.
        tokenizer: what makes the ids.
        encoding: the files' encoding, as in ``read_pieces``.
        encoding_errors: ``strict`` or ``replace``, as in ``read_pieces``.
        cache: the cache's folder; None for ``default_cache()``.
        on_progress: is told how many bytes of how many have been read.

    Raises:
        TextError: a file can't be read or changes meanwhile, or the cache can't be written.
    """
    folder = cache or default_cache()
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<u4")
    before = _stamps(files)
    path = folder / f"{_key(files, tokenizer, f'{encoding} {encoding_errors}')}.ids"
    corpus = _open(path, dtype)
    if corpus is not None:
        return corpus
    ids: np.ndarray | None = None
    for _ in range(MAX_ATTEMPTS):
        pieces = read_pieces(
            files, encoding=encoding, encoding_errors=encoding_errors, on_progress=on_progress
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.stem}.{token_hex(8)}.part")
            try:
                table, ids = _write_ids(temporary, dtype, encode_pieces(pieces, tokenizer))
                if _stamps(files) != before:
                    raise TextError("the text changed while it was read: try again")
                os.replace(temporary, path)
                temporary.write_text(json.dumps(table))
                os.replace(temporary, path.with_suffix(".json"))
            finally:
                temporary.unlink(missing_ok=True)
        except FileNotFoundError:
            # Another process has cleared the cache. What is mapped stays.
            if ids is None:
                continue
        except OSError as error:
            raise TextError(
                f"the tokenized text can't be kept in {folder}: {error.strerror or error}; "
                f"CAROUSEL_CACHE names another folder"
            ) from None
        corpus = _open(path, dtype)
        if corpus is None and ids is not None:
            corpus = _check_ids(ids, table)
        if corpus is not None:
            return corpus
        if path.exists() and path.with_suffix(".json").exists():
            raise TextError(f"{path} is not what was written: is the disk full or damaged?")
    raise TextError(f"the tokenized text in {folder} is removed again and again: try later")


def encode_pieces(
    pieces: Iterable[str], tokenizer: Tokenizer
) -> Iterator[tuple[np.ndarray, Counts]]:
    """The ids ``[N]`` of each piece of a text, with what it adds to the counts."""
    for piece in pieces:
        ids = np.array(tokenizer.encode(piece), dtype=np.uint32)
        yield (
            ids,
            Counts(
                tokens=len(ids),
                unknown=int(np.count_nonzero(ids == tokenizer.unknown_id)),
                lines=piece.count("\n"),
                words=len(piece.split()),
                characters=len(piece),
            ),
        )


def default_cache() -> Path:
    """``$CAROUSEL_CACHE``, or a folder ``carousel`` where this system keeps caches."""
    named = os.environ.get("CAROUSEL_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "carousel"


def _write_ids(
    path: Path, dtype: np.dtype[Any], encoded: Iterable[tuple[np.ndarray, Counts]]
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Write the ids: what the entry's JSON file says of them, and they themselves, mapped.

    Mapped here, they stay where another process removes the file. Windows renames no file that is
    mapped; there they are None.
    """
    counts = Counts()
    digest = hashlib.sha256()
    mapped = None
    with path.open("w+b") as file:
        for ids, more in encoded:
            data = ids.astype(dtype).tobytes()
            digest.update(data)
            file.write(data)
            counts += more
        file.flush()
        os.fsync(file.fileno())
        if os.name != "nt" and counts.tokens:
            mapped = np.memmap(file, dtype=dtype, mode="r")
    digest.update(json.dumps(asdict(counts)).encode())
    table = {"version": CACHE_VERSION, "sha256": digest.hexdigest(), "counts": asdict(counts)}
    return table, mapped


def _check_ids(ids: np.ndarray, table: Mapping[str, Any]) -> Corpus | None:
    """The corpus of mapped ids, or None where they are not those that were written."""
    counts = Counts(**table["counts"])
    digest = hashlib.sha256(ids.data)
    digest.update(json.dumps(asdict(counts)).encode())
    whole = len(ids) == counts.tokens and digest.hexdigest() == table["sha256"]
    return Corpus(ids, counts) if whole else None


def _open(path: Path, dtype: np.dtype[Any]) -> Corpus | None:
    """The cached corpus, or None where there is none or it is not whole."""
    try:
        table = json.loads(path.with_suffix(".json").read_text())
        if table["version"] != CACHE_VERSION or Counts(**table["counts"]).tokens < 1:
            return None
        return _check_ids(np.memmap(path, dtype=dtype, mode="r"), table)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _key(files: Sequence[Path], tokenizer: Tokenizer, decoding: str) -> str:
    digest = hashlib.sha256(f"{CACHE_VERSION} {decoding} {tokenizer.to_json()}".encode())
    for path in files:
        try:
            digest.update(f"\0{path.suffix.lower()} {path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise TextError(f"{path} can't be read: {error.strerror or error}") from None
    return digest.hexdigest()[:32]


def _stamps(files: Sequence[Path]) -> list[tuple[int, int]]:
    """Size and time of each file, by which a change is seen."""
    try:
        return [(stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in files)]
    except OSError as error:
        raise TextError(f"{error.filename} can't be read: {error.strerror or error}") from None
