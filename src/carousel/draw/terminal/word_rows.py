"""Rows of a terminal: a label to the left, and a cell under each word."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from carousel.draw.rows import even_rows

LABEL_WIDTH, CELL_WIDTH = 14, 8
"""Columns of the terminal that a label takes, and that each word takes."""
BLOCKS = " ▁▂▃▄▅▆▇█"
DIM = Style(dim=True)


def word_blocks(first: int, last: int, width: int) -> list[range]:
    """Positions ``first`` to ``last - 1`` in blocks of even length that fit ``width`` columns.

    >>> word_blocks(1, 6, 40)
    [range(1, 4), range(4, 6)]
    """
    return even_rows(first, last, max(1, (width - LABEL_WIDTH) // CELL_WIDTH))


def word_row(label: str, cells: Sequence[Text], style: Style | None = None) -> Text:
    """One line: the label, and each cell cut or padded to its place."""
    label = set_cell_size(shorten(label, LABEL_WIDTH - 1), LABEL_WIDTH)
    line = Text(label, style=style or Style(), no_wrap=True)
    for cell in cells:
        word = shorten(cell.plain)
        if word != cell.plain:
            cell = Text(word, cell.style)
        line.append_text(cell)
        line.append(" " * (CELL_WIDTH - cell_len(word)))
    line.rstrip()
    return line


def bar_cell(share: float, colour: str, words: str, more: str = "", *, wide: int = 1) -> Text:
    """A coloured block as high as a share from 0 to 1, and words beside it.

    The words have the terminal's own colour: no other can be read on every ground.
    """
    cell = Text()
    cell.append(block(share) * wide, Style(color=colour))
    cell.append(words)
    cell.append(more, DIM)
    return cell


def block(share: float) -> str:
    """A block as high as a share from 0 to 1.

    >>> block(0.5), block(1.0)
    ('▄', '█')
    """
    return BLOCKS[round(8 * min(1.0, max(0.0, share)))]


def shorten(word: str, width: int = CELL_WIDTH - 1) -> str:
    """``word``, or its beginning with an ellipsis where it is wider than ``width`` columns."""
    return word if cell_len(word) <= width else set_cell_size(word, width - 1).rstrip() + "…"


def wrapped(words: str, width: int, style: Style | None = None) -> Iterator[Text]:
    """A sentence on as many lines as ``width`` columns ask for."""
    for line in textwrap.wrap(words, max(width, 20)):
        yield Text(line, style=style or Style())
