"""The words of a text and how often each is there: what a vocabulary is made from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

import numpy as np

from carousel.text.encoder import (
    GROUP,
    KINDS_KEPT,
    MARK,
    CharacterEncoder,
    cut_lines,
    cut_words,
    encode_marked,
    with_mark,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


FOLDED = 2**26
"""Characters after which the chunks that were counted become tokens, whatever their number."""


class TokenCounter(Protocol):
    """Counts the tokens of a text that comes in parts."""

    def feed(self, text: str) -> None:
        """Count whole lines, or parts of a line that were cut at white space."""

    def totals(self) -> Counter[str]:
        """Every token so far with its count."""


class WordCounter:
    """Counts chunks between white space; the library cuts each kind of chunk into tokens once."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.chunks: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.characters = 0

    def feed(self, text: str) -> None:
        """See ``TokenCounter``."""
        if MARK in text:
            self.tokens.update(cut_by_library(self.backend, text))
            return
        for part in cut_lines(text):
            self.chunks.update(cut_words(part)[0])
        self.characters += len(text)
        if len(self.chunks) > KINDS_KEPT or self.characters > FOLDED:
            self.fold()

    def totals(self) -> Counter[str]:
        """See ``TokenCounter``."""
        self.fold()
        return self.tokens

    def fold(self) -> None:
        """Turn the chunks that were counted into tokens."""
        from tokenizers import models, trainers

        self.characters = 0
        self.chunks.pop(MARK, None)
        kinds = list(self.chunks)
        if not kinds:
            return
        groups = (" ".join(kinds[at : at + GROUP]) for at in range(0, len(kinds), GROUP))
        self.backend.model = models.WordLevel(vocab={}, unk_token=MARK)
        trainer = trainers.WordLevelTrainer(vocab_size=2**32, show_progress=False)
        self.backend.train_from_iterator(groups, trainer)
        mark, marking = with_mark(self.backend)
        ids = encode_marked(marking, kinds)
        ends = np.flatnonzero(ids == mark)
        counts = np.fromiter(self.chunks.values(), np.int64, len(kinds))
        counts = np.repeat(counts, np.diff(ends, prepend=-1) - 1)
        # Sums of whole numbers below 2^53 are exact.
        totals = np.bincount(np.delete(ids, ends), weights=counts, minlength=mark)
        for token, id in self.backend.get_vocab().items():
            self.tokens[token] += int(totals[id])
        self.chunks.clear()


class CharacterCounter:
    """Counts code points."""

    def __init__(self, backend: Backend, lowercase: bool) -> None:
        self.encoder = CharacterEncoder(backend, 0, lowercase)
        self.counts = np.zeros(0x110000, dtype=np.int64)

    def feed(self, text: str) -> None:
        """See ``TokenCounter``."""
        codes = np.bincount(self.encoder.normal_codes(text))
        self.counts[: len(codes)] += codes

    def totals(self) -> Counter[str]:
        """See ``TokenCounter``."""
        there = (int(code) for code in np.flatnonzero(self.counts) if code != ord("\n"))
        return Counter({chr(code): int(self.counts[code]) for code in there})


def make_counter(backend: Backend, kind: str, lowercase: bool) -> TokenCounter:
    """The counter of a kind of tokens; byte pairs are the library's own affair."""
    return CharacterCounter(backend, lowercase) if kind == "chars" else WordCounter(backend)


def cut_by_library(backend: Backend, text: str) -> list[str]:
    """The tokens of a text as the library cuts it, the slow way."""
    normalizer = backend.normalizer
    normal = text if normalizer is None else normalizer.normalize_str(text)
    return [token for token, _ in backend.pre_tokenizer.pre_tokenize_str(normal)]
