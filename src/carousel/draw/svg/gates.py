"""The gates of a layer as strips under the words: mean, spread, and the units that move most."""

from __future__ import annotations

import numpy as np

from carousel.draw.svg.canvas import COLOURS, Canvas
from carousel.draw.svg.words import Columns, words_of
from carousel.lens.names import gates_of, names_of
from carousel.lens.trace import Trace

LEFT = 122.0
BAR, UNIT = 36.0, 15.0
POSITIVE, NEGATIVE = COLOURS["forget"], COLOURS["output"]
COLOUR = {
    "f": "forget", "i": "input", "g": "candidate", "o": "output", "r": "candidate", "z": "forget",
    "n": "input", "c": "state", "h": "luggage-1",
}  # fmt: skip
"""The colour of each gate and state, the same in every drawing."""


def is_signed(trace: Trace, short: str) -> bool:
    """Whether a value may be below 0: candidates and states are, gates are not."""
    return short not in gates_of(trace.config)


def mean_and_spread(trace: Trace, short: str, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """``[T]`` each: mean and standard deviation over units of a gate at each word.

    Of the size ``|value|`` where values have either sign: their mean says nothing.
    """
    values = trace[short, layer]
    sizes = np.abs(values) if is_signed(trace, short) else values
    return sizes.mean(1), sizes.std(1)


def most_moved(values: np.ndarray, count: int) -> list[int]:
    """The units of ``[T, H]`` that change most over a text, the line's start left out."""
    body = values[1:] if len(values) > 1 else values
    order = np.argsort(-(body.max(0) - body.min(0)), kind="stable")
    return [int(unit) for unit in order[:count]]


def gates_heading(trace: Trace) -> str:
    """What there is to see of a cell: a plain RNN has no gates."""
    return "The gates" if gates_of(trace.config) else "The state"


def draw_gates(
    trace: Trace, layer: int = -1, *, units: int = 5, width: float = 1180, heading: str = ""
) -> Canvas:
    """Every gate and state of one layer under the words of a text; long texts wrap.

    A bar is the mean over units (of the size, where values have either sign), its whisker the
    standard deviation; below each, the ``units`` units that change most over the text: the fuller
    the square, the larger the value; orange above 0, blue below, for values of either sign.
    """
    layer %= trace.config.layers
    words = words_of(trace)
    columns = Columns.of(words, width, left=LEFT, least=62)
    names = names_of(trace.config)
    block = 14 + BAR + 8 + units * UNIT + 12
    row_height = 24 + len(names) * block + 8
    canvas = Canvas(
        max(columns.right + 14, 480),
        36 + len(columns.rows) * row_height,
        title=f"Gates while reading: {' '.join(words[1:])}",
    )
    heading = heading or f"{gates_heading(trace)} of layer {layer}"
    canvas.text(12, 22, heading, bold=True, size=15, within=canvas.width - 24)
    for number, row in enumerate(columns.rows):
        y = 36 + number * row_height
        for t in row:
            canvas.text(columns.middle(row, t), y + 14, words[t], bold=True, anchor="middle",
                        size=14, within=columns.size - 8)  # fmt: skip
        for place, name in enumerate(names):
            part = _draw_gate(trace, layer, name, columns, row, words, units)
            canvas.place(part, 0, y + 24 + place * block)
    return canvas


def _draw_gate(
    trace: Trace, layer: int, short: str, columns: Columns, row: range, words: list[str], units: int
) -> Canvas:  # fmt: skip
    canvas = Canvas(0, 0, title="")
    values = trace[short, layer]
    signed = is_signed(trace, short)
    means, spreads = mean_and_spread(trace, short, layer)
    top = max(1.0, float((means + spreads).max()))
    floor = 14 + BAR
    long = names_of(trace.config)[short]
    canvas.text(12, 26, f"|{short}| {long}" if signed else f"{short} {long}", bold=True)
    canvas.text(12, 42, "mean ± spread", size=11, fill="dim")
    wide = columns.size * len(row)
    canvas.rect(columns.left, 14, wide, BAR, "soft")
    moved = most_moved(values, units)
    largest = max(float(np.abs(values[:, moved]).max(initial=0)), 1e-12) if signed else 1.0
    for t in row:
        left, bar = columns.begin(row, t) + 6, columns.size - 12
        middle, high = left + bar / 2, float(means[t]) / top * BAR
        canvas.rect(left, floor - high, bar, high, COLOUR[short], opacity=0.85,
                    hint=f"{short} at {words[t]}: {means[t]:.3f} ± {spreads[t]:.3f}")  # fmt: skip
        low, up = (
            floor - BAR * min(1.0, max(0.0, float(means[t] + sign * spreads[t]) / top))
            for sign in (-1, 1)
        )
        canvas.path(f"M{middle:.1f} {low:.1f}V{up:.1f}", stroke="ink", width=1.4)
        canvas.text(middle, 10, f"{means[t]:.2f}", size=11, fill="dim", anchor="middle")
        for place, unit in enumerate(moved):
            value = float(values[t, unit])
            colour = COLOUR[short] if not signed else POSITIVE if value > 0 else NEGATIVE
            canvas.rect(left, floor + 6 + place * UNIT, bar, UNIT - 3, colour, stroke="line",
                        opacity=abs(value) / largest, radius=2,
                        hint=f"{short} unit {unit} at {words[t]}: {value:+.3f}")  # fmt: skip
    canvas.path(f"M{columns.left} {floor}H{columns.left + wide}", stroke="line", width=1)
    for place, unit in enumerate(moved):
        canvas.text(columns.left - 8, floor + 16 + place * UNIT, f"unit {unit}", size=11,
                    fill="dim", anchor="end")  # fmt: skip
    return canvas
