"""Bars and tables for a terminal, readable without colour and when piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
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


def side_by_side(columns: Mapping[str, Sequence[tuple[str, float]]], width: int = 9) -> Table:
    """The predictions of several models next to each other: three fit 80 columns."""
    table = Table.grid(padding=(0, 3))
    for _ in columns:
        table.add_column(no_wrap=True)
    table.add_row(*(Text(name, style="bold") for name in columns))
    table.add_row(*(probability_bars(rows, width) for rows in columns.values()))
    return table


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values, one pair a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def accuracy_table(columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> Table:
    """Shares as per cent, one model a row."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for name, shares in rows.items():
        table.add_row(name, *(f"{share:.0%}" for share in shares))
    return table
