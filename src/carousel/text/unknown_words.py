"""The words of a text that a model does not know, with known words that look like them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from carousel.text.token_span import find_token_spans
from carousel.text.tokenizer import Tokenizer

CUTOFF = 0.75
"""The least similarity of a suggestion, from 0 to 1, as ``difflib`` measures it."""
LENGTH_DIFFERENCE = 2
"""A suggestion is at most so many characters longer or shorter."""


@dataclass(frozen=True)
class UnknownWord:
    """A word of a text that the tokenizer reads as the unknown token."""

    word: str
    """As it was typed."""
    start: int
    """Where it begins in the text, in characters."""
    end: int
    """Where it ends: ``text[start:end]`` is the word."""
    nearest: tuple[str, ...]
    """Known words that look like it, the most similar first; often none."""


def find_unknown_words(tokenizer: Tokenizer, text: str) -> list[UnknownWord]:
    """Return the words of ``text`` that ``tokenizer`` reads as the unknown token, in order.

    Args:
        tokenizer: a model's tokenizer. Byte pairs know every word; of a model of characters the
            unknown characters are returned.
        text: any text.

    >>> from carousel.text.vocabulary import train_tokenizer
    >>> tokenizer = train_tokenizer("words", ["krish likes pizza"])
    >>> find_unknown_words(tokenizer, "krish likes piza")
    [UnknownWord(word='piza', start=12, end=16, nearest=('pizza',))]
    """
    unknown: list[UnknownWord] = []
    nearest: dict[str, tuple[str, ...]] = {}
    for span in find_token_spans(tokenizer, text):
        if span.known:
            continue
        word = span.typed
        if word not in nearest:
            nearest[word] = find_nearest(tokenizer, word)
        unknown.append(UnknownWord(word, span.start, span.end, nearest[word]))
    return unknown


def find_nearest(tokenizer: Tokenizer, word: str, count: int = 2) -> tuple[str, ...]:
    """Return at most ``count`` known words that look like ``word``, the most similar first.

    Compared are words that begin with the same letter and have nearly the same length.
    """
    if not tokenizer.whole_words or not word:
        return ()
    normalized = tokenizer.normalize(word)
    candidates = [
        token
        for token in tokenizer.tokens()[tokenizer.eol_id + 1 :]
        if token[:1] == normalized[:1] and abs(len(token) - len(normalized)) <= LENGTH_DIFFERENCE
    ]
    return tuple(difflib.get_close_matches(normalized, candidates, n=count, cutoff=CUTOFF))
