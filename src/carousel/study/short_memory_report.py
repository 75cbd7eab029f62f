"""What the study of short memory draws and prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from carousel.draw.plots.figure import CELL_STYLES, new_figure, save_figure
from carousel.draw.terminal.tables import facts
from carousel.study.stories import TESTED_GAPS, TRAINED_GAPS
from carousel.study.tables import number_table

Row = Mapping[str, Any]


def draw(result: Mapping[str, Any], folder: Path) -> None:
    """Draw accuracy and gradients against distance: six subplots, with the spread over seeds."""
    rows, profiles = result["by_gap"], result["profile"]
    figure, axes = new_figure(2, 3, (13.0, 7.0))
    by_gap, by_word = (axes[0], axes[3], axes[4]), (axes[1], axes[2], axes[5])
    for cell in profiles:
        _draw_gaps(by_gap, cell, sorted(_of(rows, cell), key=lambda row: row["gap"]))
        _draw_words(by_word, cell, profiles[cell])
    _label_gaps(by_gap, rows)
    _label_words(by_word)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
    save_figure(figure, folder / "short-memory.png")


def _of(rows: Sequence[Row], cell: str) -> list[Row]:
    return [row for row in rows if row["cell"] == cell]


def _draw_gaps(axes: Sequence[Any], cell: str, rows: Sequence[Row]) -> None:
    """One cell's accuracy, gradient and share of the gradient, against the words of filler."""
    style, gaps = CELL_STYLES[cell], [row["gap"] for row in rows]
    for ax, means, ranges in (
        (axes[0], [r["accuracy"] for r in rows], [r["seeds_from_to"] for r in rows]),
        (axes[1], [r["reach"][0] for r in rows], [r["reach"][1:] for r in rows]),
        (axes[2], [r["share"][0] for r in rows], [r["share"][1:] for r in rows]),
    ):
        ax.fill_between(gaps, *zip(*ranges, strict=True), color=style["color"], alpha=0.15, lw=0)
        ax.plot(gaps, means, label=cell.upper(), markersize=4, **style)
    low, high = zip(*(row["wilson"] for row in rows), strict=True)
    axes[0].vlines(gaps, low, high, color=style["color"], lw=1.5)


def _draw_words(
    axes: Sequence[Any], cell: str, profile: Mapping[str, Sequence[Sequence[float]]]
) -> None:
    """One cell's gradients before and after training, and the change, word by word."""
    style = CELL_STYLES[cell]
    for ax, name in zip(axes, ("before", "reach", "change"), strict=True):
        seeds = np.array(profile[name])
        back = np.arange(1, seeds.shape[1] + 1)
        ax.fill_between(back, seeds.min(0), seeds.max(0), color=style["color"], alpha=0.15, lw=0)
        ax.plot(back, seeds.mean(0), markersize=3, lw=1.2, **style)


def _label_gaps(axes: Sequence[Any], rows: Sequence[Row]) -> None:
    titles = (
        "a. last word right, all kinds of stories",
        "d. gradient at the deciding word, logits",
        "e. its share of the gradient at all words",
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, loc="left")
        ax.axvspan(-1, max(TRAINED_GAPS), color="#EEEEEE", zorder=0)
        ax.set_xlim(-1, max(row["gap"] for row in rows) + 1)
        ax.set_xticks(sorted({row["gap"] for row in rows}))
        ax.set_xlabel("words of filler in between (shaded: as in training)")
        ax.set_ylim(bottom=0)
    axes[0].set_ylim(-0.03, 1.05)
    axes[0].set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    axes[2].yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _label_words(axes: Sequence[Any]) -> None:
    titles = (
        "b. gradient before training, last word = 1",
        "c. gradient after training, logits",
        "f. change when the word is replaced, nats",
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, loc="left")
        ax.set_yscale("log")
        ax.set_xlabel("words back from the answer (switch stories)")
    axes[1].set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    axes[1].minorticks_off()
    axes[2].set_ylim(bottom=1e-2)


def report(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables."""
    cells, several = list(result["profile"]), len(result["seeds"]) > 1
    sizes = ", ".join(f"{cell.upper()} {n:,}" for cell, n in result["parameters"].items())
    console.print(f"\nParameters: {sizes}; seeds: {len(result['seeds'])}; * beyond training.")

    def table(title: str, entry: Callable[[Row], str]) -> None:
        console.print(f"\n[bold]{title}[/bold]", highlight=False)
        console.print(_by_gap(result["by_gap"], cells, entry))

    def with_range(name: str, form: str) -> Callable[[Row], str]:
        """The mean, and the lowest and the highest seed."""

        def entry(row: Row) -> str:
            mean, low, high = (format(value, form) for value in row[name])
            return f"{mean} ({low} to {high})" if several else mean

        return entry

    table(
        "Last word right (Wilson's 95% interval over stories)",
        lambda row: f"{row['accuracy']:.1%} ({{:.1%}} to {{:.1%}})".format(*row["wilson"]),
    )
    if several:
        table(
            "Last word right, lowest to highest seed",
            lambda row: "{:.1%} to {:.1%}".format(*row["seeds_from_to"]),
        )
    seeds = " (lowest to highest seed)" if several else ""
    table(f"Gradient at the deciding word, logits{seeds}", with_range("reach", ".3g"))
    table(f"Its share of the gradient at all words{seeds}", with_range("share", ".1%"))
    console.print(
        "\n[bold]Before training, the gradient halves every ... words[/bold] (by seed)",
        highlight=False,
    )
    profiles = result["profile"]
    distances = {cell: map(half_distance, profiles[cell]["before"]) for cell in cells}
    console.print(
        facts([(cell.upper(), ", ".join(f"{d:.2f}" for d in distances[cell])) for cell in cells])
    )
    console.print("\n[bold]Replacing a word of a switch story, nats[/bold]", highlight=False)
    console.print(facts([(cell.upper(), _replacements(profiles[cell])) for cell in cells]))


def _by_gap(rows: Sequence[Row], cells: Sequence[str], entry: Callable[[Row], str]) -> Any:
    """A table with a row for each gap and a column for each cell."""
    lines = []
    for gap in TESTED_GAPS:
        by_cell = {row["cell"]: row for row in rows if row["gap"] == gap}
        if by_cell:
            beyond = "" if gap <= max(TRAINED_GAPS) else "*"
            lines.append((f"{gap}{beyond}", *(entry(by_cell[cell]) for cell in cells)))
    return number_table(("filler", *(cell.upper() for cell in cells)), lines)


def half_distance(profile: Sequence[float]) -> float:
    """Over how many words a profile falls by half: a straight line through its logarithms.

    >>> round(half_distance([1.0, 0.5, 0.25]), 6)
    1.0
    """
    slope = np.polyfit(np.arange(len(profile)), np.log(profile), 1)[0]
    return float(-np.log(2) / slope)


def _replacements(profile: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """The deciding word against the filler, from the profiles of switch stories."""
    gap = max(TESTED_GAPS)
    change = np.mean(profile["change"], axis=0)
    # Back from the end: "so his friend orders", the filler, the food that decides.
    question = 4
    return (
        f"deciding food {change[question + gap]:.3f}, "
        f"a word of filler {change[question : question + gap].mean():.3f}, "
        f"the first food {change[question + gap + 5]:.3f}"
    )
