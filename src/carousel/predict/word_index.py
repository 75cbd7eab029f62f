"""Which tokens are words, and which of them start with the letters typed so far."""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property, lru_cache

import numpy as np

from carousel.text.tokenizer import Tokenizer

LAST = chr(0x10FFFF)
"""Sorts after every letter, so that a prefix with it ends the words that start so."""


class WordIndex:
    """The words of a vocabulary, sorted once, so that those with a prefix are found at once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.mask = np.array(
            [tokenizer.is_word(i) for i in range(tokenizer.vocab_size)], dtype=bool
        )
        """``[V]`` of bool: the tokens that are words (start with a letter)."""
        self.count = int(self.mask.sum())
        """How many words there are."""

    @cached_property
    def _sorted(self) -> tuple[list[str], np.ndarray]:
        tokens = self.tokenizer.tokens()
        ids = sorted(np.flatnonzero(self.mask).tolist(), key=tokens.__getitem__)
        return [tokens[i] for i in ids], np.array(ids, dtype=np.int64)

    def with_prefix(self, prefix: str) -> np.ndarray:
        """The ids of the words that start with ``prefix``, in the vocabulary's order."""
        words, ids = self._sorted
        first = bisect_left(words, prefix)
        last = bisect_left(words, prefix + LAST)
        return np.sort(ids[first:last])


@lru_cache(maxsize=16)
def word_index(tokenizer: Tokenizer) -> WordIndex:
    """The index of a tokenizer's words; made once for each tokenizer."""
    return WordIndex(tokenizer)
