"""Figures of the studies: lines along the words of a story, and lines against a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carousel.draw.plots.figure import new_figure, save_figure

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
# Okabe & Ito's palette; markers and dashes carry the same, for print without colour.


@dataclass(frozen=True)
class Line:
    """One line with its 95% interval, and faintly each seed's own."""

    label: str
    x: Sequence[float]
    mean: Sequence[float]
    colour: str
    marker: str = "o"
    dash: Any = "solid"
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    seeds: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    y_label: str
    lines: Sequence[Line]
    x_label: str = ""
    words: Sequence[str] = ()
    """What stands under 0, 1, 2, ...; numbers if empty."""
    y_range: tuple[float, float] | None = None
    percent: bool = False
    zero: bool = field(default=False)
    """Draw the line at 0."""


def panels(
    made: Sequence[Panel], path: str | Path, *, columns: int = 1, size: tuple[float, float]
) -> None:
    """Draw panels of one legend, row by row, as a PNG."""
    figure, axes = new_figure(-(-len(made) // columns), columns, size)
    shown: dict[str, Any] = {}
    for ax, panel in zip(axes, made, strict=False):
        for line in panel.lines:
            for seed in line.seeds:
                ax.plot(line.x, seed, color=line.colour, alpha=0.3, linewidth=0.7)
            if line.low is not None and line.high is not None:
                ax.fill_between(line.x, line.low, line.high, color=line.colour, alpha=0.18, lw=0)
            (drawn,) = ax.plot(
                line.x,
                line.mean,
                color=line.colour,
                marker=line.marker,
                markersize=4,
                linestyle=line.dash,
                label=line.label,
            )
            shown.setdefault(line.label, drawn)
        ax.set_title(panel.title, loc="left")
        ax.set_ylabel(panel.y_label)
        ax.set_xlabel(panel.x_label)
        if panel.zero:
            ax.axhline(0, color="#555555", linewidth=0.8)
        if panel.words:
            ax.set_xticks(range(len(panel.words)), panel.words, fontsize=8)
        if panel.y_range:
            ax.set_ylim(*panel.y_range)
        if panel.percent:
            ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(
        list(shown.values()),
        list(shown),
        loc="outside upper right",
        ncols=4 if sum(map(len, shown)) < 80 else 2,
        frameon=False,
        fontsize=9,
    )
    save_figure(figure, path)
