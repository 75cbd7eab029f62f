"""Bars and tables for a terminal, readable without colour and when piped."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from carousel.draw.terminal.plain_bars import bar

BAR_COLOUR = "cyan"


def probability_bars(rows: Sequence[tuple[str, float]], width: int = 30) -> Table:
    """Words, their probabilities, and a bar each; a full bar is certainty."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for word, probability in rows:
        table.add_row(
            Text(word),
            f"{probability:6.1%}",
            Text(bar(probability, width), style=BAR_COLOUR),
        )
    return table


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values, one pair a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table
