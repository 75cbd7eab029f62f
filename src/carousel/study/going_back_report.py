"""What the study of going back draws and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from carousel.draw.plots.panels import BLUE, GREEN, RED, Line, Panel, panels
from carousel.study.pairs import places
from carousel.study.tables import each, numbers, with_interval

WORDS = (
    "krish", "likes", "pizza", "but", "his", "friend", "likes", "burger", "filler", "so", "his",
    "friend", "orders", "burger", "and", "krish", "orders",
)  # fmt: skip
DASHED, DOTTED = (0, (2, 1.5)), (0, (1, 1.5))
NAMES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
LEFT = ("left", "left_found")
LOOK = {"rnn": (RED, "s"), "gru": (BLUE, "^"), "lstm": (GREEN, "o")}


def draw(result: dict[str, Any], folder: Path) -> None:
    """The two figures of the study."""
    cells = result["cells"]
    read = [
        _line(NAMES[cell], summary["read"], *LOOK[cell], first=2) for cell, summary in cells.items()
    ]
    left = [
        _line(NAMES[cell] + what, summary[name], *LOOK[cell], dash, first=2)
        for cell, summary in cells.items()
        for what, name, dash in (
            ("", "left", "solid"),
            (", the 10 units found", "left_found", DASHED),
        )
        if name in summary
    ]
    panels(
        [
            Panel(
                "the first food can be read from the memory",
                "stories",
                read,
                words=WORDS,
                y_range=(0, 1.04),
                percent=True,
            ),
            Panel(
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
    panels(
        [_curve(NAMES[cell], summary["curve"]) for cell, summary in cells.items()],
        folder / "ablation.png",
        columns=len(cells),
        size=(8.6, 3.8),
    )


def report(result: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    cells = result["cells"]

    def say(text: str) -> None:
        console.print(f"\n[bold]{text}[/bold]", highlight=False)

    belts = [cell for cell, summary in cells.items() if "left" in summary]
    say("The first food: read from the memory; its luggage left, in all units / in the 10 found")
    rows = []
    for number, place in enumerate(places("return")):
        if number < 2:
            continue
        shares = [f"{summary['read']['mean'][number]:.0%}" for summary in cells.values()]
        left = [
            " / ".join(f"{cells[cell][name]['mean'][number]:.0%}" for name in LEFT)
            for cell in belts
        ]
        rows.append((place, *shares, *left))
    columns = [f"{NAMES[cell]} read" for cell in cells] + [f"{NAMES[cell]} left" for cell in belts]
    console.print(numbers(["place", *columns], rows))
    say("The 10 units found, on the other half: share of their variance that a food explains")
    rows = []
    for cell, summary in cells.items():
        of = summary["explained"]
        first, second = (
            each([sum(seed[food]) / len(seed[food]) for seed in of], ".2f")
            for food in ("first_food", "second_food")
        )
        every = each([seed["first_food_all_units"] for seed in of], ".2f")
        rows.append((NAMES[cell], first, second, every))
    console.print(numbers(("", "first food", "second food", "first food, all units"), rows))
    say("Answers right after 10 units are set to their mean at the second food")
    rows = []
    for cell, summary in cells.items():
        for number, asked in enumerate(("return", "friend")):
            low, mean, high = (summary["random"][end][number] for end in ("low", "mean", "high"))
            rows.append(
                (
                    f"{NAMES[cell]}: {asked}",
                    f"{summary['before']['mean'][number]:.0%}",
                    _interval(summary["found"], number),
                    each([seed[number] for seed in summary["found"]["seeds"]]),
                    with_interval(mean, low, high),
                    f"{max(seed[number] for seed in summary['random']['p']):.2f}",
                )
            )
    console.print(numbers(("asked", "before", "10 found", "seeds", "10 random (range)", "p"), rows))


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


def _curve(name: str, curve: dict[str, Any]) -> Panel:
    steps = range(len(curve["counts"]))
    lines = []
    for number, (asked, colour, marker) in enumerate(
        (("first subject's order", BLUE, "o"), ("friend's order", RED, "s"))
    ):
        lines.append(Line(asked, steps, curve["found"][number], colour, marker))
        lines.append(
            Line(f"{asked}, random units", steps, curve["random"][number], colour, marker, DOTTED)
        )
    return Panel(
        name,
        "right" if name == "RNN" else "",
        lines,
        x_label="units set to their mean",
        words=[str(number) for number in curve["counts"]],
        y_range=(-0.02, 1.04),
        percent=True,
    )
