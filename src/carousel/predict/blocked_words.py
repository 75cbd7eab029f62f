"""Words that a model never suggests or generates."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from carousel.errors import PredictionError, TextError
from carousel.text.files import find_files, read_pieces
from carousel.text.printable import printable_text
from carousel.text.tokenizer import Tokenizer


class BlockedWords:
    """A set of words in any case: ``word in blocked``.

    Args:
        tokenizer: the model's tokenizer.
        words: the words.

    Raises:
        PredictionError: an entry is not one word.

    >>> from carousel.text.vocabulary import train_tokenizer
    >>> blocked = BlockedWords(train_tokenizer("words", ["the cat"]), ["Cat"])
    >>> "cat" in blocked, "the" in blocked
    (True, False)
    """

    def __init__(self, tokenizer: Tokenizer, words: Iterable[str]) -> None:
        self.tokenizer = tokenizer
        self.words = frozenset(self._checked(word) for word in words)

    def _checked(self, word: str) -> str:
        before, typed = self.tokenizer.split_prefix(word)
        if before or not typed:
            raise PredictionError(f"{printable_text(word)!r} can't be blocked: it is not one word")
        return _folded(self.tokenizer.normalize(typed))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return _folded(word) in self.words

    @cached_property
    def mask(self) -> np.ndarray:
        """``[V]`` of bool: the tokens that are blocked, of a tokenizer whose tokens are words."""
        return np.array([token in self for token in self.tokenizer.tokens()], dtype=bool)


def read_blocked_words(tokenizer: Tokenizer, path: str | Path) -> BlockedWords:
    """The words of a text file, one a line; empty lines are skipped.

    Raises:
        TextError: the file can't be read, or a line holds more than a word.
    """
    lines = "".join(read_pieces(find_files([path]))).split("\n")
    try:
        return BlockedWords(tokenizer, [line.strip() for line in lines if line.strip()])
    except PredictionError as error:
        raise TextError(f"{path}: {error}") from None


def _folded(word: str) -> str:
    """A word as it is compared: in one case, without signs that are not seen."""
    seen = "".join(sign for sign in word if unicodedata.category(sign) != "Cf")
    return unicodedata.normalize("NFC", seen).casefold()
