"""Tables of measured numbers: means, how sure they are, what each seed gave, and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from carousel.draw.terminal.tables import probability_bars


def number_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table: names to the left, numbers to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def with_interval(mean: float, low: float, high: float, form: str = ".0%") -> str:
    """``61% (58 to 64)``: a mean and its 95% interval."""
    written = [f"{value:{form}}" for value in (mean, low, high)]
    return f"{written[0]} ({written[1].rstrip('%')} to {written[2].rstrip('%')})"


def per_seed(values: Sequence[float], form: str = ".0%") -> str:
    """``60 62 61``: one number a seed."""
    return " ".join(f"{value:{form}}".rstrip("%") for value in values)


def accuracy_table(columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> Table:
    """Shares as per cent, one model a row."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for name, shares in rows.items():
        table.add_row(name, *(f"{share:.0%}" for share in shares))
    return table


def side_by_side(columns: Mapping[str, Sequence[tuple[str, float]]], width: int = 9) -> Table:
    """The predictions of several models next to each other: three fit 80 columns."""
    table = Table.grid(padding=(0, 3))
    for _ in columns:
        table.add_column(no_wrap=True)
    table.add_row(*(Text(name, style="bold") for name in columns))
    table.add_row(*(probability_bars(rows, width) for rows in columns.values()))
    return table
