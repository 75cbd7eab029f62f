"""Bars without rich: what rich draws for a pipe, without the time that it takes to load."""

from __future__ import annotations

import os
from collections.abc import Sequence

EIGHTHS = " ▏▎▍▌▋▊▉"
WIDEST = 80
"""Columns that rich gives a pipe, where the environment says nothing else."""
SETTLED = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""What in the environment changes how rich draws."""


def bar(share: float, width: int) -> str:
    """A bar of ``share`` (0 to 1) of ``width`` columns, to an eighth of a column."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (EIGHTHS[rest] if rest else "")


def plain_bars(rows: Sequence[tuple[str, float]], width: int = 30) -> str | None:
    """The lines of ``terminal.probability_bars`` on a pipe; None for what rich must lay out.

    That is words in other scripts, whose columns must be counted, or too long for a line.
    """
    cells = [(word, f"{probability:6.1%}", bar(probability, width)) for word, probability in rows]
    words, shares, bars = (max(1, *map(len, column)) for column in zip(*cells, strict=True))
    columns = os.environ.get("COLUMNS", "")
    widest = int(columns) if columns.isdigit() else WIDEST
    if (
        words + shares + bars + 2 > widest
        or any(not (word.isascii() and word.isprintable()) for word, _ in rows)
        or any(name in os.environ for name in SETTLED)
    ):
        return None
    lines = (f"{word:<{words}} {share:>{shares}} {drawn:<{bars}}" for word, share, drawn in cells)
    return "\n".join(lines)
