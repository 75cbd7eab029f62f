"""Columns under the words of a text, in as many rows as a picture's width asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carousel.draw.rows import even_rows
from carousel.draw.svg.text_width import text_width

MAX_COLUMN_WIDTH = 150.0
"""The width of the widest column, in pixels; longer words are cut short."""
NARROW = 500.0
"""Below this width in pixels, that of a phone, labels and words are drawn smaller."""
MARGIN = 24.0
"""Pixels to the right of the last column."""


@dataclass(frozen=True)
class ColumnLayout:
    """Columns of one width, in as many rows as they need."""

    left: float
    """Where the first column begins, in pixels."""
    size: float
    """A column's width in pixels."""
    rows: list[range]
    """The positions in each row."""
    font_size: float
    """The size of the words above the columns, in pixels."""

    @classmethod
    def fit(
        cls, words: Sequence[str], width: float, *, left: float, min_size: float, font_size: float
    ) -> ColumnLayout:
        """Columns that are wide enough for the words, as many in a row as fit the width.

        Args:
            words: a word for each column.
            width: of the picture, in pixels. Below ``NARROW`` words are smaller and columns closer.
            left: where the first column begins.
            min_size: the least width of a column.
            font_size: of the words.
        """
        padding = 14.0
        if width < NARROW:
            left, min_size, font_size, padding = min(left, 100.0), min(min_size, 52), 11.5, 8.0
        widest = max(text_width(word, font_size, bold=True) for word in words)
        size = min(max(min_size, widest + padding), MAX_COLUMN_WIDTH)
        count = max(1, int((width - left - MARGIN) // size))
        return cls(left, size, even_rows(0, len(words), count), font_size)

    @property
    def right(self) -> float:
        """Where the longest row ends."""
        return self.left + self.size * len(self.rows[0])

    @property
    def width(self) -> float:
        """The width of a picture that holds the columns."""
        return self.right + MARGIN

    def begin(self, row: range, t: int) -> float:
        """Where the column of position ``t`` begins."""
        return self.left + (t - row.start) * self.size

    def middle(self, row: range, t: int) -> float:
        """The middle of the column of position ``t``."""
        return self.begin(row, t) + self.size / 2
