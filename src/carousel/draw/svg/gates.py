"""The gates of a layer under the words: mean, spread, and the units that move most."""

from __future__ import annotations

import numpy as np

from carousel.draw.palette import GATE_COLOURS
from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.columns import ColumnLayout
from carousel.lens.names import cell_of
from carousel.lens.summary import is_signed, mean_and_spread, most_moved_units
from carousel.lens.tokens import display_words
from carousel.lens.trace import Trace

LEFT = 122.0
BAR, UNIT = 36.0, 15.0
"""Heights in pixels of a gate's bars and of a unit's squares."""


def gates_heading(trace: Trace) -> str:
    """What there is to see of a cell: a plain RNN has no gates."""
    return "The gates" if cell_of(trace.config).sigmoid_gates else "The state"


def draw_gates(
    trace: Trace, layer: int = -1, *, units: int = 5, width: float = 1180, heading: str = ""
) -> Canvas:
    """Draw every gate and state of one layer under the words of a text; long texts wrap.

    A bar is the mean over units (of the size, where values have either sign), and its line the
    standard deviation. Below stand the units that change most over the text: the fuller the square,
    the larger the value. Values of either sign are orange above 0 and blue below.

    Args:
        trace: what a model did over one text.
        layer: the layer.
        units: how many units of each gate.
        width: how wide the drawing may get, in pixels.
        heading: the line above it.

    >>> import carousel
    >>> trace = carousel.load().trace("krish likes pizza")
    >>> draw_gates(trace, units=3).title
    'Gates while reading: krish likes pizza'
    """
    layer %= trace.config.layers
    words = display_words(trace)
    layout = ColumnLayout.fit(words, width, left=LEFT, min_size=62, font_size=14)
    names = cell_of(trace.config).names
    block = 14 + BAR + 8 + units * UNIT + 12
    row_height = 24 + len(names) * block + 8
    canvas = Canvas(
        max(layout.right + 14, min(480, width)),
        0,
        title=f"Gates while reading: {' '.join(words[1:])}",
    )
    heading = heading or f"{gates_heading(trace)} of layer {layer}"
    y = 16 + canvas.paragraph(12, 22, heading, bold=True, size=15, within=canvas.width - 24)
    for row in layout.rows:
        for t in row:
            canvas.text(layout.middle(row, t), y + 14, words[t], bold=True, anchor="middle",
                        size=layout.font_size, within=layout.size - 8)  # fmt: skip
        for number, name in enumerate(names):
            part = _draw_gate(trace, layer, name, layout, row, words, units)
            canvas.place(part, 0, y + 24 + number * block)
        y += row_height
    canvas.height = y
    return canvas


def _draw_gate(
    trace: Trace, layer: int, short: str, layout: ColumnLayout, row: range, words: list[str],
    units: int,
) -> Canvas:  # fmt: skip
    """One gate over a row of words: bars above, the units that move most below."""
    canvas = Canvas(0, 0, title="")
    values = trace[short, layer]
    signed = is_signed(trace, short)
    means, spreads = mean_and_spread(trace, short, layer)
    top = max(1.0, float((means + spreads).max()))
    floor = 14 + BAR
    long = cell_of(trace.config).names[short]
    # The longest of these, "|g| candidate", fits beside the columns of the narrowest picture.
    canvas.text(12, 26, f"|{short}| {long}" if signed else f"{short} {long}",
                size=min(13, layout.left / 8.9), within=layout.left - 14)  # fmt: skip
    canvas.text(12, 42, "mean ± spread", size=11, fill="dim")
    wide = layout.size * len(row)
    canvas.rect(layout.left, 14, wide, BAR, "soft")
    units_shown = most_moved_units(values, units)
    largest = max(float(np.abs(values[:, units_shown]).max(initial=0)), 1e-12) if signed else 1.0
    for t in row:
        left, bar = layout.begin(row, t) + 6, layout.size - 12
        middle, high = left + bar / 2, float(means[t]) / top * BAR
        canvas.rect(left, floor - high, bar, high, GATE_COLOURS[short], opacity=0.85,
                    hint=f"{short} at {words[t]}: {means[t]:.3f} ± {spreads[t]:.3f}")  # fmt: skip
        low, up = (
            floor - BAR * min(1.0, max(0.0, float(means[t] + sign * spreads[t]) / top))
            for sign in (-1, 1)
        )
        canvas.path(f"M{middle:.1f} {low:.1f}V{up:.1f}", stroke="ink", width=1.4)
        canvas.text(middle, 10, f"{means[t]:.2f}", size=11, fill="dim", anchor="middle")
        for place, unit in enumerate(units_shown):
            value = float(values[t, unit])
            colour = GATE_COLOURS[short] if not signed else "positive" if value > 0 else "negative"
            canvas.rect(left, floor + 6 + place * UNIT, bar, UNIT - 3, colour, stroke="line",
                        opacity=abs(value) / largest, radius=2,
                        hint=f"{short} unit {unit} at {words[t]}: {value:+.3f}")  # fmt: skip
    canvas.path(f"M{layout.left} {floor}H{layout.left + wide}", stroke="line", width=1)
    for place, unit in enumerate(units_shown):
        canvas.text(layout.left - 8, floor + 16 + place * UNIT, f"unit {unit}", size=11,
                    fill="dim", anchor="end")  # fmt: skip
    return canvas
