"""The token ids that a run trains, validates and tests on, and how a resumed run finds them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from carousel.errors import SettingsError, TextError
from carousel.text.corpus import build_corpus
from carousel.text.files import ProgressCallback, find_files, read_pieces
from carousel.text.tokenizer import Tokenizer
from carousel.text.vocabulary import train_tokenizer
from carousel.training.data.vocabulary_extension import extend_tokenizer
from carousel.training.settings import Settings

MIN_TRAIN_TOKENS = 8
"""With fewer tokens to train on there is nothing to learn."""
MIN_TOKENS = 2
"""The fewest tokens to validate or test on: one is read, one is predicted."""
DIGEST_CHUNK = 2**24
"""Number of ids that are hashed at a time."""


class ProgressBars(Protocol):
    """Shows how far reading has come."""

    def progress_bar(self, description: str) -> ProgressCallback:
        """A new progress bar over bytes. The callback takes the bytes done and the bytes in all."""


@dataclass(frozen=True)
class Sources:
    """The text files of a run, found and in order."""

    train: tuple[Path, ...]
    valid: tuple[Path, ...] = ()
    """Empty if the end of the training text is used for validation."""
    test: tuple[Path, ...] = ()
    encoding_errors: str = "strict"
    """``strict``, or ``replace`` for bytes that can't be read."""
    encoding: str = "utf-8"
    """The files' encoding."""


@dataclass(frozen=True)
class CachedIds:
    """Where the ids of a tokenized text are, and what identifies them."""

    path: str
    """The file of ids in the cache."""
    dtype: str
    """Their NumPy type."""
    tokens: int
    """How many there are."""
    digest: str
    """SHA-256 of the ids."""


@dataclass(frozen=True)
class Splits:
    """Token ids to train, validate and test on, and the tokenizer that made them."""

    tokenizer: Tokenizer
    train: np.ndarray
    """``[N]``."""
    valid: np.ndarray
    """``[M]``."""
    test: np.ndarray | None
    cached: Mapping[str, CachedIds]
    """The files of ids in the cache, by ``train``, ``valid`` and ``test``."""


def find_sources(
    train: Sequence[str | Path],
    valid: Sequence[str | Path] = (),
    test: Sequence[str | Path] = (),
    encoding_errors: str = "strict",
    *,
    encoding: str = "utf-8",
    skip_bad_files: bool = False,
) -> Sources:
    """Find the files of a run. Their paths are absolute, so it can be resumed from any folder.

    Args:
        train: files, folders or globs to train on; ``-`` for standard input.
        valid: files to validate on.
        test: files to test on.
        encoding_errors: ``strict``, or ``replace`` for bytes that can't be read.
        encoding: the files' encoding; UTF-16 and UTF-32 are known by their marks, too.
        skip_bad_files: go on without the files that can't be read as text, with a warning.

    Raises:
        TextError: a file does not exist, or a folder holds no text.
    """

    def find(names: Sequence[str | Path]) -> tuple[Path, ...]:
        files = find_files(
            names,
            encoding=encoding,
            encoding_errors=encoding_errors,
            skip_bad_files=skip_bad_files,
        )
        return tuple(path.absolute() for path in files)

    # If nothing is named to train on, it is find_files that raises the error.
    return Sources(
        find(train),
        find(valid) if valid else (),
        find(test) if test else (),
        encoding_errors,
        encoding,
    )


def prepare_splits(
    sources: Sources, settings: Settings, bars: ProgressBars, base: Tokenizer | None = None
) -> Splits:
    """Train a tokenizer on the training part of the text, tokenize, and split.

    Args:
        sources: the files.
        settings: how the text is tokenized and split.
        bars: shows how far reading has come.
        base: the tokenizer of the model to fine-tune, which is used, or extended if the settings
            say so; None to train a new one.

    Raises:
        SettingsError: there would be nothing to validate on.
        TextError: a file can't be read, or there is too little text.
    """
    valid_fraction, test_fraction = _held_out_fractions(sources, settings)
    if not sources.valid and valid_fraction == 0:
        raise SettingsError("valid_fraction is 0 and no validation file is named: set one of them")
    if base is not None and not settings.extend_vocab:
        return reopen_splits(sources, settings, bars, base, {})

    def read(description: str) -> Iterator[str]:
        return read_pieces(
            sources.train,
            encoding=sources.encoding,
            encoding_errors=sources.encoding_errors,
            on_progress=bars.progress_bar(description),
        )

    training_text = read("reading")
    if valid_fraction + test_fraction > 0:
        # The held-out end must not decide which words are known.
        characters = sum(map(len, read("measuring")))
        training_text = _first_characters(
            training_text, (1 - valid_fraction - test_fraction) * characters
        )
    min_count, vocab_size = settings.min_count, settings.vocab_size
    if base is None:
        tokenizer = train_tokenizer(
            settings.tokenizer,
            training_text,
            lowercase=settings.lowercase,
            min_count=min_count,
            vocab_size=vocab_size,
        )
    else:
        tokenizer = extend_tokenizer(
            base, training_text, min_count=min_count, vocab_size=vocab_size
        )
    return reopen_splits(sources, settings, bars, tokenizer, {})


def reopen_splits(
    sources: Sources,
    settings: Settings,
    bars: ProgressBars,
    tokenizer: Tokenizer,
    cached: Mapping[str, CachedIds],
) -> Splits:
    """The splits that ``tokenizer`` makes of the files.

    Args:
        sources: the files.
        settings: how the text is split.
        bars: shows how far reading has come.
        tokenizer: the tokenizer, already trained.
        cached: the ids of an earlier call, by ``train``, ``valid`` and ``test``, which must be
            the same now; empty for a new run.

    Raises:
        TextError: there is too little text, or a text is gone or has changed since then.
    """
    ids: dict[str, np.ndarray] = {}
    cached_now: dict[str, CachedIds] = {}
    for part in ("train", "valid", "test"):
        files: tuple[Path, ...] = getattr(sources, part)
        if not files:
            continue
        expected = cached.get(part)
        opened = None if expected is None else _open_cached(expected)
        if opened is None or expected is None:
            opened, expected = _tokenize_again(files, sources, tokenizer, bars, expected)
        ids[part], cached_now[part] = opened, expected
    whole = ids["train"]
    valid_fraction, test_fraction = _held_out_fractions(sources, settings)
    test_start = len(whole) - round(test_fraction * len(whole))
    valid_start = test_start - round(valid_fraction * len(whole))
    train = whole[: test_start if sources.valid else valid_start]
    valid = ids.get("valid", whole[valid_start:test_start])
    test = ids.get("test", whole[test_start:] if test_fraction else None)
    _check_length(train, "train", MIN_TRAIN_TOKENS)
    _check_length(valid, "validate", MIN_TOKENS)
    if test is not None:
        _check_length(test, "test", MIN_TOKENS)
    return Splits(tokenizer, train, valid, test, cached_now)


def _check_length(ids: np.ndarray, purpose: str, needed: int) -> None:
    if len(ids) < needed:
        raise TextError(
            f"too little text to {purpose} on: {len(ids)} tokens, of which there must be {needed}"
        )


def _held_out_fractions(sources: Sources, settings: Settings) -> tuple[float, float]:
    """The fractions of the training text, at its end, for validation and for the test."""
    return (
        0.0 if sources.valid else settings.valid_fraction,
        0.0 if sources.test else settings.test_fraction,
    )


def _tokenize_again(
    files: Sequence[Path],
    sources: Sources,
    tokenizer: Tokenizer,
    bars: ProgressBars,
    expected: CachedIds | None,
) -> tuple[np.ndarray, CachedIds]:
    """Tokenize files whose ids can't be opened; they must be ``expected``, if that is given."""
    if expected is None:
        return _tokenize(files, sources, tokenizer, bars)
    _check_files_exist(files, expected)
    ids, cached = _tokenize(files, sources, tokenizer, bars)
    if cached.path == expected.path and cached.digest != expected.digest:
        # By its name in the cache it is the same text, so it is the cache that is damaged.
        Path(cached.path).unlink(missing_ok=True)
        ids, cached = _tokenize(files, sources, tokenizer, bars)
    if cached.digest != expected.digest:
        more = f" with the {len(files) - 1:,} after it" if len(files) > 1 else ""
        raise TextError(
            f"{files[0]}{more} is not the text that the run began with "
            f"({len(ids):,} tokens now, {expected.tokens:,} then): put that back to resume"
        )
    return ids, cached


def _tokenize(
    files: Sequence[Path], sources: Sources, tokenizer: Tokenizer, bars: ProgressBars
) -> tuple[np.ndarray, CachedIds]:
    """The ids of the files, from the cache if they are there."""
    ids = build_corpus(
        files,
        tokenizer,
        encoding=sources.encoding,
        encoding_errors=sources.encoding_errors,
        on_progress=bars.progress_bar("tokenizing"),
    ).ids
    return ids, CachedIds(str(getattr(ids, "filename", "")), ids.dtype.str, len(ids), _digest(ids))


def _digest(ids: np.ndarray) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(ids), DIGEST_CHUNK):
        digest.update(np.ascontiguousarray(ids[start : start + DIGEST_CHUNK]).data)
    return digest.hexdigest()


def _open_cached(cached: CachedIds) -> np.ndarray | None:
    """The ids from the cache, or None if they are gone or are not the same."""
    try:
        ids = np.memmap(cached.path, dtype=cached.dtype, mode="r", shape=(cached.tokens,))
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    return ids if _digest(ids) == cached.digest else None


def _check_files_exist(files: Sequence[Path], cached: CachedIds) -> None:
    for path in files:
        if not path.is_file():
            raise TextError(
                f"{path} is not there any more, and neither is its tokenized text {cached.path}: "
                f"put one of them back to resume"
            )


def _first_characters(pieces: Iterator[str], count: float) -> Iterator[str]:
    """The lines up to ``count`` characters, with the line that reaches it."""
    left = count
    for piece in pieces:
        if len(piece) >= left:
            line_end = piece.find("\n", max(0, math.ceil(left) - 1)) + 1
            yield piece[: line_end or len(piece)]
            break
        yield piece
        left -= len(piece)
