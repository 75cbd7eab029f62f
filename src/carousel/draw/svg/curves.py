"""Several models over the words of one text: a plot for each quantity, a curve for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from carousel.draw.curves import CurvePlot, model_style
from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.columns import ColumnLayout
from carousel.draw.svg.text_width import text_width
from carousel.text.printable import printable_word

LEFT, PLOT_HEIGHT, LINE = 140.0, 92.0, 19.0
MARKS = {
    "square": "M-4 -4H4V4H-4Z",
    "triangle": "M0 -5L5 4H-5Z",
    "circle": "M-4.2 0A4.2 4.2 0 1 0 4.2 0A4.2 4.2 0 1 0 -4.2 0Z",
    "diamond": "M0 -5.5L5 0L0 5.5L-5 0Z",
}


def draw_curves(
    words: Sequence[str],
    plots: Sequence[CurvePlot],
    guesses: Mapping[str, Sequence[str]],
    *,
    heading: str,
    width: float = 1180,
) -> Canvas:
    """Draw curves over the words of a text, plots below each other.

    Args:
        words: the ``T`` words.
        plots: what is drawn, from the top.
        guesses: by model, its likeliest next word after each of the ``T`` words.
        heading: the line above everything.
        width: how wide the drawing may get, in pixels.
    """
    layout = ColumnLayout.fit(words, width, left=LEFT, min_size=70, font_size=14)
    canvas = Canvas(
        max(layout.right + 20, min(620, width)), 0, title=f"Models side by side: {heading}"
    )
    y = 22 + canvas.paragraph(12, 22, heading, bold=True, size=15, within=canvas.width - 24)
    y = _legend(canvas, list(guesses), y)
    for row in layout.rows:
        part = _draw_row(words, plots, guesses, layout, row)
        canvas.place(part, 0, y)
        y += part.height
    canvas.height = y
    return canvas


def _legend(canvas: Canvas, models: Sequence[str], y: float) -> float:
    """Each model's mark and name, as many in a line as fit; returns where the lines end."""
    x = 12.0
    for name in models:
        colour, mark = model_style(models, name)
        needed = min(text_width(name) + 48, canvas.width - 24)
        if x > 12 and x + needed > canvas.width - 12:
            x, y = 12.0, y + LINE
        _mark(canvas, x + 8, y, mark, colour)
        canvas.text(x + 20, y + 5, printable_word(name), within=needed - 30)
        x += needed
    return y + 16


def _draw_row(
    words: Sequence[str],
    plots: Sequence[CurvePlot],
    guesses: Mapping[str, Sequence[str]],
    layout: ColumnLayout,
    row: range,
) -> Canvas:
    """All plots over one row of words."""
    canvas = Canvas(layout.right, 0, title="")
    for t in row:
        canvas.text(layout.middle(row, t), 18, words[t], bold=True, anchor="middle",
                    size=layout.font_size, within=layout.size - 8)  # fmt: skip
    y = 30.0
    right = layout.begin(row, row.stop)
    for plot in plots:
        y += canvas.paragraph(12, y + 12, plot.caption, size=12, fill="dim",
                              within=layout.right - 20) + 6  # fmt: skip
        canvas.rect(layout.left, y, right - layout.left, PLOT_HEIGHT, "soft")
        for level in (0.0, 0.5, 1.0):
            level_y = y + PLOT_HEIGHT * (1 - level)
            canvas.path(f"M{layout.left} {level_y}H{right}", stroke="line")
            canvas.text(layout.left - 8, level_y + 4, plot.label(level * plot.top), size=11,
                        fill="dim", anchor="end")  # fmt: skip
        for name, curve in plot.curves.items():
            _draw_curve(canvas, list(guesses), name, curve / plot.top, layout, row, y)
        y += PLOT_HEIGHT + 12
    canvas.text(12, y + LINE, "next word", size=12, fill="dim")
    for name, best in guesses.items():
        y += LINE
        canvas.text(layout.left - 8, y + LINE, printable_word(name), anchor="end",
                    size=min(12, layout.font_size - 0.5), within=layout.left - 16)  # fmt: skip
        for t in row:
            canvas.text(layout.middle(row, t), y + LINE, best[t], size=12, anchor="middle",
                        within=layout.size - 6)  # fmt: skip
    canvas.height = y + LINE + 30
    return canvas


def _draw_curve(
    canvas: Canvas, models: Sequence[str], name: str, shares: np.ndarray, layout: ColumnLayout,
    row: range, y: float,
) -> None:  # fmt: skip
    """One model's curve in a plot whose upper edge is ``y``; all but the first are dashed."""
    colour, mark = model_style(models, name)
    points = [
        (layout.middle(row, t), y + PLOT_HEIGHT * (1 - float(shares[t])))
        for t in row
        if not np.isnan(shares[t])
    ]
    if len(points) > 1:
        path = "L".join(f"{x:.1f} {point_y:.1f}" for x, point_y in points)
        canvas.path(f"M{path}", stroke=colour, width=2, dashed=name != models[0])
    for x, point_y in points:
        _mark(canvas, x, point_y, mark, colour)


def _mark(canvas: Canvas, x: float, y: float, mark: str, colour: str) -> None:
    part = Canvas(0, 0, title="")
    part.path(MARKS[mark], fill=colour, stroke="ground", width=1)
    canvas.place(part, x, y)
