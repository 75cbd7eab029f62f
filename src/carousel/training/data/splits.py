"""The texts of a run as token ids, and how an interrupted run finds them again."""

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
from carousel.text.tokenizer import Tokenizer, train_tokenizer
from carousel.text.workers import count_workers
from carousel.training.settings import Settings

FEWEST_TOKENS = 8
"""With fewer tokens to train on there is nothing to learn."""
DIGESTED = 2**24
"""Ids that are digested at a time."""


class Bars(Protocol):
    """Who shows how far reading has come."""

    def tick(self, what: str) -> ProgressCallback:
        """A progress bar over bytes, named ``what``."""


@dataclass(frozen=True)
class Sources:
    """The files of a run, found and in order: to train on, to validate on, to test on."""

    train: tuple[Path, ...]
    valid: tuple[Path, ...] = ()
    """Empty where the end of the text validates."""
    test: tuple[Path, ...] = ()
    encoding_errors: str = "strict"


@dataclass(frozen=True)
class Kept:
    """What is remembered of a tokenized text, so that it is found again and is the same."""

    path: str
    """The file of ids in the cache."""
    dtype: str
    tokens: int
    digest: str
    """SHA-256 of the ids."""


@dataclass(frozen=True)
class Texts:
    """The ids that a run trains, validates and tests on, and the tokenizer that made them."""

    tokenizer: Tokenizer
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray | None
    kept: Mapping[str, Kept]
    """By ``train``, ``valid`` and ``test``: those of them that have files of their own."""


def find_sources(
    train: Sequence[str | Path],
    valid: Sequence[str | Path] = (),
    test: Sequence[str | Path] = (),
    encoding_errors: str = "strict",
) -> Sources:
    """The files that are named, by paths that hold wherever the run is gone on with.

    Raises:
        TextError: nothing is there, or a folder holds no text.
    """

    def find(named: Sequence[str | Path]) -> tuple[Path, ...]:
        return tuple(path.absolute() for path in find_files(named)) if named else ()

    # Nothing to train on is find_files' error to raise.
    files = tuple(path.absolute() for path in find_files(train))
    return Sources(files, find(valid), find(test), encoding_errors)


def prepare_texts(sources: Sources, settings: Settings, bars: Bars) -> Texts:
    """Make the vocabulary from the part that trains, tokenize, and cut off what is held out."""
    share_valid, share_test = _shares(sources, settings)
    if not sources.valid and share_valid == 0:
        raise SettingsError("valid_fraction is 0 and no validation file is named: set one of them")

    def pieces(what: str) -> Iterator[str]:
        return read_pieces(
            sources.train, encoding_errors=sources.encoding_errors, on_progress=bars.tick(what)
        )

    learned = pieces("reading")
    if share_valid + share_test > 0:
        # The held-out end must not decide which words are known.
        total = sum(map(len, pieces("measuring")))
        most = (1 - share_valid - share_test) * total
        learned = _first_characters(learned, most)
    tokenizer = train_tokenizer(
        settings.tokenizer,
        learned,
        lowercase=settings.lowercase,
        min_count=settings.min_count,
        vocab_size=settings.vocab_size,
        workers=count_workers(sources.train, settings.tokenizer),
    )
    return reopen_texts(sources, settings, bars, tokenizer, {})


def reopen_texts(
    sources: Sources,
    settings: Settings,
    bars: Bars,
    tokenizer: Tokenizer,
    kept: Mapping[str, Kept],
) -> Texts:
    """The texts that ``tokenizer`` makes of the files; those in ``kept`` are the same as then.

    Raises:
        TextError: too little text, or one that is gone or has changed since it was kept.
    """
    share_valid, share_test = _shares(sources, settings)
    named = {"train": sources.train, "valid": sources.valid, "test": sources.test}
    ids: dict[str, np.ndarray] = {}
    now: dict[str, Kept] = {}
    for part, files in named.items():
        if not files:
            continue
        before = kept.get(part)
        found = None if before is None else _open_kept(before)
        if found is None or before is None:
            if before is not None:
                _check_there(files, before)
            found, made = _tokenize(files, sources, tokenizer, bars)
            if before is not None and made.path == before.path and made.digest != before.digest:
                # By its name in the cache it is the same text: the cache is what is damaged.
                Path(made.path).unlink(missing_ok=True)
                found, made = _tokenize(files, sources, tokenizer, bars)
            if before is not None and made.digest != before.digest:
                raise TextError(
                    f"{_name(files)} is not the text that the run began with "
                    f"({len(found):,} tokens now, {before.tokens:,} then): put that back to resume"
                )
            before = made
        ids[part], now[part] = found, before
    whole = ids["train"]
    first_test = len(whole) - round(share_test * len(whole))
    first_valid = first_test - round(share_valid * len(whole))
    valid = ids.get("valid", whole[first_valid:first_test])
    test = ids.get("test", whole[first_test:] if share_test else None)
    train = whole[: first_test if sources.valid else first_valid]
    for what, cut in (("train", train), ("validate", valid), ("test", test)):
        if cut is not None and len(cut) < (FEWEST_TOKENS if what == "train" else 2):
            raise TextError(
                f"too little text to {what} on: {len(cut)} tokens, of which there must be "
                f"{FEWEST_TOKENS if what == 'train' else 2}"
            )
    return Texts(tokenizer, train, valid, test, now)


def _shares(sources: Sources, settings: Settings) -> tuple[float, float]:
    """The shares of the text's end that validate and that test."""
    return (
        0.0 if sources.valid else settings.valid_fraction,
        0.0 if sources.test else settings.test_fraction,
    )


def _tokenize(
    files: Sequence[Path], sources: Sources, tokenizer: Tokenizer, bars: Bars
) -> tuple[np.ndarray, Kept]:
    """The ids of the files, from the cache if they are there."""
    ids = build_corpus(
        files,
        tokenizer,
        encoding_errors=sources.encoding_errors,
        on_progress=bars.tick("tokenizing"),
    ).ids
    return ids, _keep(ids)


def _name(files: Sequence[Path]) -> str:
    """The files as one text: one of many may be the one that matters."""
    more = f" with the {len(files) - 1:,} after it" if len(files) > 1 else ""
    return f"{files[0]}{more}"


def _keep(ids: np.ndarray) -> Kept:
    digest = hashlib.sha256()
    for at in range(0, len(ids), DIGESTED):
        digest.update(np.ascontiguousarray(ids[at : at + DIGESTED]).data)
    path = str(getattr(ids, "filename", ""))
    return Kept(path, ids.dtype.str, len(ids), digest.hexdigest())


def _open_kept(kept: Kept) -> np.ndarray | None:
    """The ids as they lie in the cache, or None where they are not there or are others."""
    try:
        ids = np.memmap(kept.path, dtype=kept.dtype, mode="r", shape=(kept.tokens,))
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    return ids if _keep(ids).digest == kept.digest else None


def _check_there(files: Sequence[Path], kept: Kept) -> None:
    for path in files:
        if not path.is_file():
            raise TextError(
                f"{path} is not there any more, and neither is its tokenized text {kept.path}: "
                f"put one of them back to resume"
            )


def _first_characters(pieces: Iterator[str], most: float) -> Iterator[str]:
    """The lines up to ``most`` characters, the one that reaches it included."""
    left = most
    for piece in pieces:
        if len(piece) >= left:
            end = piece.find("\n", max(0, math.ceil(left) - 1)) + 1
            yield piece[: end or len(piece)]
            break
        yield piece
        left -= len(piece)
