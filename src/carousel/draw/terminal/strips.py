"""Strips of a terminal: a label, and a cell under each word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

LABEL, CELL = 14, 8
"""Columns of the terminal that a label takes, and that each word takes."""
HEIGHTS = " ▁▂▃▄▅▆▇█"
DIM = Style(dim=True)


def blocks(first: int, last: int, width: int) -> Iterator[range]:
    """Positions ``first`` to ``last - 1`` in blocks that fit ``width``, of even length: no single
    word is left over for the last.
    """
    most = max(1, (width - LABEL) // CELL)
    size = -(-(last - first) // max(1, -(-(last - first) // most)))
    for start in range(first, last, max(size, 1)):
        yield range(start, min(start + size, last))


def strip(label: str, cells: Sequence[Text], style: Style | None = None) -> Text:
    """One line: the label, and each cell cut or padded to its place."""
    made = Text(set_cell_size(cut(label, LABEL - 1), LABEL), style=style or Style(), no_wrap=True)
    for cell in cells:
        word = cut(cell.plain)
        if word != cell.plain:
            cell = Text(word, cell.style)
        made.append_text(cell)
        made.append(" " * (CELL - cell_len(word)))
    made.rstrip()
    return made


def bar_cell(share: float, colour: str, words: str, more: str = "", *, wide: int = 1) -> Text:
    """A coloured block as high as a share from 0 to 1, and words beside it.

    The words have the terminal's own colour: no other can be read on every ground.
    """
    cell = Text()
    cell.append(height(share) * wide, Style(color=colour))
    cell.append(words)
    cell.append(more, DIM)
    return cell


def height(share: float) -> str:
    """A block as high as a share from 0 to 1."""
    return HEIGHTS[round(8 * min(1.0, max(0.0, share)))]


def cut(word: str, width: int = CELL - 1) -> str:
    """``word``, or its beginning with an ellipsis where it is too long."""
    return word if cell_len(word) <= width else set_cell_size(word, width - 1).rstrip() + "…"
