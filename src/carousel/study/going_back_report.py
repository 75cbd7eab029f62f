"""What the study of going back draws and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from carousel.draw.palette import BLUE, GREEN, VERMILION
from carousel.draw.plots.subplots import Line, Subplot, draw_subplots
from carousel.study.pairs import places
from carousel.study.tables import number_table, per_seed, with_interval

WORDS = (
    "krish", "likes", "pizza", "but", "his", "friend", "likes", "burger", "filler", "so", "his",
    "friend", "orders", "burger", "and", "krish", "orders",
)  # fmt: skip
DASHED, DOTTED = (0, (2, 1.5)), (0, (1, 1.5))
NAMES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
LEFT = ("left", "left_found")
STYLES = {"rnn": (VERMILION, "s"), "gru": (BLUE, "^"), "lstm": (GREEN, "o")}


def draw(result: dict[str, Any], folder: Path) -> None:
    """The two figures of the study."""
    cells = result["cells"]
    read = [
        _line(NAMES[cell], measured["read"], *STYLES[cell], first=2)
        for cell, measured in cells.items()
    ]
    left = [
        _line(NAMES[cell] + what, measured[name], *STYLES[cell], dash, first=2)
        for cell, measured in cells.items()
        for what, name, dash in (
            ("", "left", "solid"),
            (", the 10 units found", "left_found", DASHED),
        )
        if name in measured
    ]
    draw_subplots(
        [
            Subplot(
                "the first food can be read from the memory",
                "stories",
                read,
                words=WORDS,
                y_range=(0, 1.04),
                percent=True,
            ),
            Subplot(
                "what is left of its luggage",
                "share of what was put",
                left,
                words=WORDS,
                y_range=(0, 1.04),
                percent=True,
            ),
        ],
        folder / "survival.png",
        size=(8.6, 6.4),
    )
    draw_subplots(
        [_curve(NAMES[cell], measured["curve"]) for cell, measured in cells.items()],
        folder / "ablation.png",
        columns=len(cells),
        size=(8.6, 3.8),
    )


def report(result: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    cells = result["cells"]
    for heading, table in (
        (
            "The first food: read from the memory; its luggage left, in all units / the 10 found",
            _survival_table(cells),
        ),
        (
            "The 10 units found, on the other half: share of their variance that a food explains",
            _variance_table(cells),
        ),
        (
            "Answers right after 10 units are set to their mean at the second food",
            _ablation_table(cells),
        ),
    ):
        console.print(f"\n[bold]{heading}[/bold]", highlight=False)
        console.print(table)


def _survival_table(cells: dict[str, Any]) -> Table:
    """What is left of the first food at each word."""
    belts = [cell for cell, measured in cells.items() if "left" in measured]
    rows = []
    for number, place in enumerate(places("return")):
        if number < 2:
            continue
        shares = [f"{measured['read']['mean'][number]:.0%}" for measured in cells.values()]
        left = [
            " / ".join(f"{cells[cell][name]['mean'][number]:.0%}" for name in LEFT)
            for cell in belts
        ]
        rows.append((place, *shares, *left))
    columns = [f"{NAMES[cell]} read" for cell in cells] + [f"{NAMES[cell]} left" for cell in belts]
    return number_table(["place", *columns], rows)


def _variance_table(cells: dict[str, Any]) -> Table:
    """What the units found carry, a seed each."""
    rows = []
    for cell, measured in cells.items():
        seeds = measured["explained"]
        first, second = (
            per_seed([sum(seed[food]) / len(seed[food]) for seed in seeds], ".2f")
            for food in ("first_food", "second_food")
        )
        every = per_seed([seed["first_food_all_units"] for seed in seeds], ".2f")
        rows.append((NAMES[cell], first, second, every))
    return number_table(("", "first food", "second food", "first food, all units"), rows)


def _ablation_table(cells: dict[str, Any]) -> Table:
    """How often both orders are right without the units found, and without others."""
    rows = []
    for cell, measured in cells.items():
        for number, asked in enumerate(("return", "friend")):
            low, mean, high = (measured["random"][end][number] for end in ("low", "mean", "high"))
            rows.append(
                (
                    f"{NAMES[cell]}: {asked}",
                    f"{measured['before']['mean'][number]:.0%}",
                    _interval(measured["found"], number),
                    per_seed([seed[number] for seed in measured["found"]["seeds"]]),
                    with_interval(mean, low, high),
                    f"{max(seed[number] for seed in measured['random']['p']):.2f}",
                )
            )
    columns = ("asked", "before", "10 found", "seeds", "10 random (range)", "p")
    return number_table(columns, rows)


def _interval(summary: dict[str, Any], number: int) -> str:
    mean, low, high = (summary[end][number] for end in ("mean", "low", "high"))
    return with_interval(mean, low, high)


def _line(
    label: str,
    summary: dict[str, Any],
    colour: str,
    marker: str,
    dash: Any = "solid",
    first: int = 0,
) -> Line:
    return Line(
        label,
        range(first, len(summary["mean"])),
        summary["mean"][first:],
        colour,
        marker,
        dash,
        summary["low"][first:],
        summary["high"][first:],
        [seed[first:] for seed in summary["seeds"]],
    )


def _curve(name: str, curve: dict[str, Any]) -> Subplot:
    steps = range(len(curve["counts"]))
    lines = []
    for number, (asked, colour, marker) in enumerate(
        (("first subject's order", BLUE, "o"), ("friend's order", VERMILION, "s"))
    ):
        lines.append(Line(asked, steps, curve["found"][number], colour, marker))
        lines.append(
            Line(f"{asked}, random units", steps, curve["random"][number], colour, marker, DOTTED)
        )
    return Subplot(
        name,
        "right" if name == "RNN" else "",
        lines,
        x_label="units set to their mean",
        words=[str(number) for number in curve["counts"]],
        y_range=(-0.02, 1.04),
        percent=True,
    )
