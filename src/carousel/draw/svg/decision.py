"""What speaks for one next word and what for another, a bar for each word of the text."""

from __future__ import annotations

import numpy as np

from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.columns import ColumnLayout
from carousel.lens.decision import Decision
from carousel.text.printable import printable_word

FIRST, SECOND = "luggage-0", "luggage-1"
"""The colours of the two words: those that words in focus have on the belt."""
LEFT, HALF = 126.0, 56.0


def draw_decision(decision: Decision, *, width: float = 1180, heading: str = "") -> Canvas:
    """Draw a bar a word: up for the first candidate, down for the second.

    Args:
        decision: the shares; see ``lens.decision.measure_decision``.
        width: how wide the drawing may get, in pixels.
        heading: the line above it.
    """
    words, shares = decision.words, decision.shares
    first, second = map(printable_word, decision.compare)
    layout = ColumnLayout.fit(words, width, left=LEFT, min_size=70, font_size=14)
    canvas = Canvas(
        max(layout.width, min(560, width)), 0, title=f"What speaks for {first}, what for {second}"
    )
    heading = heading or f"For {first} or for {second}"
    within = canvas.width - 24
    y = 22 + canvas.paragraph(12, 22, heading, bold=True, size=15, within=within)
    about = (
        f"logit({first}) − logit({second}) is {decision.total:+.2f}, "
        f"of it biases {decision.bias:+.2f}"
    )
    y += canvas.paragraph(12, y, about, size=12, fill="dim", within=within) - 6
    largest = max(float(np.abs(shares).max()), 1e-12)
    for row in layout.rows:
        zero = y + 40 + HALF
        canvas.text(12, zero - 24, f"for {first}", size=12, within=layout.left - 20)
        canvas.text(12, zero + 32, f"for {second}", size=12, within=layout.left - 20)
        for t in row:
            share, x = float(shares[t]), layout.middle(row, t)
            height = abs(share) / largest * HALF
            canvas.text(x, y + 16, words[t], bold=True, anchor="middle", size=layout.font_size,
                        within=layout.size - 8)  # fmt: skip
            canvas.rect(x - 16, zero - (height if share > 0 else 0), 32, height,
                        FIRST if share > 0 else SECOND,
                        hint=f"{words[t]}: {share:+.3f}")  # fmt: skip
            label_y = zero - height - 4 if share > 0 else zero + height + 13
            canvas.text(x, label_y, f"{round(share, 1) + 0.0:+.1f}", size=11, anchor="middle")
        canvas.path(f"M{layout.left} {zero}H{layout.begin(row, row.stop)}", stroke="ink", width=1)
        y += 2 * HALF + 72
    canvas.height = y
    return canvas
