"""A trace's words as they are shown, and the columns in which they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carousel.draw.svg.canvas import text_width
from carousel.errors import LensError
from carousel.lens.trace import Trace, show_token
from carousel.predict.next_words import Prediction
from carousel.softmax import softmax

MOST_WORDS = 2000
"""The longest text that is drawn, in tokens."""
LONGEST = 150.0
"""The width of the widest column, in pixels; longer words are cut short."""


def printable(word: str) -> str:
    """A token that is seen and does nothing to a terminal: spaces and control marks as signs."""
    if not word.strip(" "):
        return "␣" * len(word)
    signs = {"\t": "⇥", "\n": "⏎"}
    return "".join(
        c if c.isprintable() else signs.get(c, "\N{REPLACEMENT CHARACTER}") for c in word
    )


def words_of(trace: Trace) -> list[str]:
    """The words of a trace as they are shown."""
    if trace.model is not None and trace.model.tokenizer.kind == "bpe":
        return [trace.words[0], *(_token(trace, int(id)) for id in trace.ids[1:])]
    return [printable(word) for word in trace.words]


def guesses_of(trace: Trace, k: int) -> list[list[Prediction]]:
    """The ``k`` likeliest tokens after each word as they are shown; empty lists if not recorded."""
    return [guesses_at(trace, t, k) for t in range(len(trace))]


def guesses_at(trace: Trace, t: int, k: int) -> list[Prediction]:
    """The same after the word at position ``t``."""
    if trace.model is None or trace.logits is None:
        return []
    row = softmax(trace.logits[t])
    best = np.argsort(-row, kind="stable")[:k]
    return [Prediction(_token(trace, int(id)), float(row[id])) for id in best]


def check_length(ids: Sequence[int]) -> None:
    """Refuse a text that is too long to be drawn, as what it takes grows with the length squared.

    Raises:
        LensError: it is.
    """
    if len(ids) > MOST_WORDS:
        raise LensError(
            f"the text has {len(ids):,} tokens, but at most {MOST_WORDS:,} can be drawn: "
            "give a part of it"
        )


def _token(trace: Trace, id: int) -> str:
    assert trace.model is not None  # who asks for ids has one
    tokenizer = trace.model.tokenizer
    if tokenizer.kind != "bpe" or id <= tokenizer.eol_id:
        return printable(show_token(tokenizer.token(id)))
    text = tokenizer.decode([id])
    bare = text.lstrip(" ")
    return "␣" * (len(text) - len(bare)) + printable(bare) if bare else printable(text)


@dataclass(frozen=True)
class Columns:
    """Columns of one width, in as many rows as they need."""

    left: float
    """Where the first column begins."""
    size: float
    """A column's width."""
    rows: list[range]
    """The positions in each row."""

    @classmethod
    def of(
        cls, words: Sequence[str], width: float, *, left: float, least: float, size: float = 14
    ) -> Columns:
        """Columns wide enough for the words, as many in a row as fit ``width`` pixels."""
        widest = max(text_width(word, size, bold=True) for word in words)
        column = min(max(least, widest + 14), LONGEST)
        count = max(1, int((width - left - 12) // column))
        # Rows of even length: no single word left over for the last.
        count = -(-len(words) // -(-len(words) // count))
        rows = [range(at, min(at + count, len(words))) for at in range(0, len(words), count)]
        return cls(left, column, rows)

    @property
    def right(self) -> float:
        """Where the longest row ends."""
        return self.left + self.size * len(self.rows[0])

    def begin(self, row: range, t: int) -> float:
        """Where the column of position ``t`` begins."""
        return self.left + (t - row.start) * self.size

    def middle(self, row: range, t: int) -> float:
        """The middle of the column of position ``t``."""
        return self.begin(row, t) + self.size / 2
