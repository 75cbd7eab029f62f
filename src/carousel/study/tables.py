"""Tables of measured numbers: a mean, how sure it is, and what each seed gave."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table


def numbers(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table: names to the left, numbers to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def with_interval(mean: float, low: float, high: float, form: str = ".0%") -> str:
    """``61% (58 to 64)``: a mean and its 95% interval."""
    shown = [f"{value:{form}}" for value in (mean, low, high)]
    return f"{shown[0]} ({shown[1].rstrip('%')} to {shown[2].rstrip('%')})"


def each(values: Sequence[float], form: str = ".0%") -> str:
    """``60 62 61``: one number a seed."""
    return " ".join(f"{value:{form}}".rstrip("%") for value in values)
