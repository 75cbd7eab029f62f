"""Where each token of a text stands in it, as it was typed, and whether the model knows it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from carousel.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenSpan:
    """One token of a text: ``text[start:end]`` is what was typed."""

    typed: str
    """As it was typed: upper case, accents and all. Empty for the line start before a text."""
    start: int
    """Where it begins in the text, in characters."""
    end: int
    """Where it ends, in characters; the end itself is not part of it."""
    known: bool
    """False where the tokenizer reads the unknown token in its place."""


def find_token_spans(tokenizer: Tokenizer, text: str) -> list[TokenSpan]:
    r"""Return a span for each id of ``tokenizer.encode(text)``, in order.

    Args:
        tokenizer: a model's tokenizer.
        text: any text; each "\n" in it is a token of its own.

    Returns:
        As many spans as ``encode`` returns ids. Where several byte pairs share one character, each
        of their spans is the whole character.

    >>> from carousel.text.vocabulary import train_tokenizer
    >>> tokenizer = train_tokenizer("words", ["krish likes pizza"])
    >>> find_token_spans(tokenizer, "Krish eats")[1]
    TokenSpan(typed='eats', start=6, end=10, known=False)
    """
    spans: list[TokenSpan] = []
    line_start = 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        places = tokenizer.encode_with_offsets(line)
        next_starts = [*(start for _, start, _ in places), len(line)][1:]
        for (id, start, end), next_start in zip(places, next_starts, strict=True):
            known = id != tokenizer.unknown_id
            # A mark that was composed with its letter belongs to it.
            while end < next_start and unicodedata.combining(line[end]):
                end += 1
            spans.append(TokenSpan(line[start:end], line_start + start, line_start + end, known))
        line_start += len(line) + 1
        if number < len(lines) - 1:
            spans.append(TokenSpan("\n", line_start - 1, line_start, True))
    return spans
