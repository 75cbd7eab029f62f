"""How the words of a text are shared out to the rows of a picture."""

from __future__ import annotations


def even_rows(first: int, last: int, most: int) -> list[range]:
    """Positions ``first`` to ``last - 1`` in as few rows as hold them, of even length.

    Args:
        first: the first position.
        last: the position after the last.
        most: how many a row can hold, at least 1.

    Returns:
        The positions of each row. No row is shorter than another by more than one.

    >>> even_rows(0, 13, 4)
    [range(0, 4), range(4, 7), range(7, 10), range(10, 13)]
    """
    count = -(-(last - first) // most)
    size, longer = divmod(last - first, max(count, 1))
    rows = []
    for row in range(count):
        end = first + size + (row < longer)
        rows.append(range(first, end))
        first = end
    return rows
