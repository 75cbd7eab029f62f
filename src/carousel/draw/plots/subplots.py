"""Figures of several subplots with one legend: lines against a number, or along words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carousel.draw.plots.figure import new_figure, save_figure


@dataclass(frozen=True)
class Line:
    """One line, with its 95% interval around it, and faintly each seed's own."""

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
class Subplot:
    """One pair of axes and what is drawn in it."""

    title: str
    y_label: str
    lines: Sequence[Line]
    x_label: str = ""
    words: Sequence[str] = ()
    """What stands under 0, 1, 2, ...; numbers if empty."""
    y_range: tuple[float, float] | None = None
    percent: bool = False
    """Write the values as per cent."""
    zero_line: bool = False
    """Draw a line at 0."""


def draw_subplots(
    subplots: Sequence[Subplot], path: str | Path, *, columns: int = 1, size: tuple[float, float]
) -> None:
    """Draw subplots row by row, with one legend for all, as a PNG.

    Args:
        subplots: what is drawn.
        path: where the PNG goes.
        columns: how many subplots stand side by side.
        size: width and height in inches.
    """
    figure, all_axes = new_figure(-(-len(subplots) // columns), columns, size)
    labelled: dict[str, Any] = {}
    for axes, subplot in zip(all_axes, subplots, strict=False):
        for line in subplot.lines:
            labelled.setdefault(line.label, _draw_line(axes, line))
        axes.set_title(subplot.title, loc="left")
        axes.set_ylabel(subplot.y_label)
        axes.set_xlabel(subplot.x_label)
        if subplot.zero_line:
            axes.axhline(0, color="#555555", linewidth=0.8)
        if subplot.words:
            axes.set_xticks(range(len(subplot.words)), subplot.words, fontsize=8)
        if subplot.y_range:
            axes.set_ylim(*subplot.y_range)
        if subplot.percent:
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(
        list(labelled.values()),
        list(labelled),
        loc="outside upper right",
        ncols=4 if sum(map(len, labelled)) < 80 else 2,
        frameon=False,
        fontsize=9,
    )
    save_figure(figure, path)


def _draw_line(axes: Any, line: Line) -> Any:
    for seed in line.seeds:
        axes.plot(line.x, seed, color=line.colour, alpha=0.3, linewidth=0.7)
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=line.colour, alpha=0.18, lw=0)
    (drawn,) = axes.plot(
        line.x,
        line.mean,
        color=line.colour,
        marker=line.marker,
        markersize=4,
        linestyle=line.dash,
        label=line.label,
    )
    return drawn
