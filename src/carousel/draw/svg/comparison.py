"""Two sentences next to each other: a heat map of where their gates part ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.columns import ColumnLayout
from carousel.lens.compare import Comparison
from carousel.lens.summary import aligned_words, compared_gates, percentage
from carousel.text.printable import printable_word

LEFT, ROW = 138.0, 21.0


def draw_comparison(
    comparison: Comparison,
    patched: np.ndarray | None = None,
    compare: tuple[str, str] | None = None,
    *,
    width: float = 1180,
) -> Canvas:
    """Draw a heat map of two aligned texts, a row for each gate of each layer.

    The darker, the further apart the two texts' values are: ``mean_units |first - second|``.

    Args:
        comparison: the two texts.
        patched: ``[gate, layer, pair]``: what each gate at each word does to the decision between
            the words ``compare`` (see ``lens.compare.patch_texts``); drawn as a second map.
        compare: the two next words of ``patched``.
        width: how wide the drawing may get, in pixels.
    """
    first, second = aligned_words(comparison)
    longer = [a if len(a) >= len(b) else b for a, b in zip(first, second, strict=True)]
    layout = ColumnLayout.fit(longer, width, left=LEFT, min_size=56, font_size=13)
    canvas = Canvas(
        max(layout.right + 14, min(820, width)),
        0,
        title=f"Two texts compared: {' '.join(first)} | {' '.join(second)}",
    )
    canvas.text(12, 22, "Where the two texts part ways", bold=True, size=15)
    maps = [
        (
            "how far apart each gate is: mean over units of |first − second|",
            comparison.distance,
            lambda value: f"{value:.2f}",
        )
    ]
    if patched is not None:
        a, b = map(printable_word, compare or ("", ""))
        caption = f"one gate at one word taken from the second text: how far that moves {a} to {b}"
        maps.append((caption, patched, percentage))
    y = 36.0
    for row in layout.rows:
        for words, name in ((first, "first text"), (second, "second text")):
            canvas.text(12, y + 16, name, size=12, fill="dim")
            for pair in row:
                differ = first[pair] != second[pair]
                canvas.text(layout.middle(row, pair), y + 16, words[pair], anchor="middle",
                            size=min(13, layout.font_size), bold=differ,
                            fill="ink" if differ else "dim",
                            within=layout.size - 6)  # fmt: skip
            y += 20
        y += 12
        for caption, values, label in maps:
            y += canvas.paragraph(12, y + 12, caption, size=12, fill="dim",
                                  within=canvas.width - 24) + 4  # fmt: skip
            y = _heat_map(canvas, layout, row, comparison, y, values, label) + 20
    canvas.height = y
    return canvas


def _heat_map(
    canvas: Canvas, layout: ColumnLayout, row: range, comparison: Comparison, y: float,
    values: np.ndarray, label: Callable[[float], str],
) -> float:  # fmt: skip
    """The squares of one row of words from ``y`` down; returns where they end."""
    known = np.abs(values[~np.isnan(values)])
    largest = max(float(known.max(initial=0)), 1e-12)
    for name, gate, layer in compared_gates(comparison):
        canvas.text(12, y + 15, name, size=12, within=layout.left - 16)
        for pair in row:
            value = float(values[gate, layer, pair])
            middle = layout.middle(row, pair)
            if np.isnan(value):
                canvas.text(middle, y + 15, "–", anchor="middle", size=12, fill="dim")
                continue
            # No fuller than what the ink can be read on, in the light and in the dark.
            canvas.rect(layout.begin(row, pair) + 1, y + 1, layout.size - 2, ROW - 2,
                        "positive" if value >= 0 else "negative",
                        opacity=0.55 * min(1.0, abs(value) / largest))  # fmt: skip
            canvas.text(middle, y + 15, label(value), anchor="middle", size=12)
        y += ROW
    return y
