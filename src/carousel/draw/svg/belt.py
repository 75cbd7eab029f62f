"""The belt (the cell state) along a sentence: each word's luggage is a coloured band, as thick as
what is left of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from carousel.draw.palette import text_colour_on, word_colours
from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.columns import ColumnLayout
from carousel.draw.svg.text_width import fit, text_width
from carousel.lens.belt import Belt
from carousel.lens.names import cell_of
from carousel.lens.tokens import display_words, likeliest_tokens
from carousel.lens.trace import Trace

LEFT, HEIGHT, LINE = 126.0, 150.0, 19.0
MIN_WIDTH = 560.0
"""The width of the picture of a short text, so that its heading fits."""
# Shares of a word's column: where it lets go of luggage, and where it puts its own on.
LET_GO, GONE, PUT_ON, THERE = 0.06, 0.3, 0.36, 0.6
FAINT = 0.3
"""How strongly luggage is drawn that is not in focus."""


def draw_belt(
    trace: Trace,
    layer: int = -1,
    *,
    focus: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
    width: float = 1180,
    heading: str = "",
    full: float | None = None,
) -> Canvas:
    """Draw the memory of one layer along the words of a text.

    A band begins where a word puts luggage on, and narrows where a forget gate (GRU: ``z``) lets
    go. Its thickness is ``Σ_units |luggage|``, on one scale throughout. What is let go hangs below
    the belt, in the same scale. Long texts go on in further rows.

    Args:
        trace: what a model did over one text.
        layer: the layer.
        focus: words whose luggage stands out, with its share left written out.
        colours: the colour of each word, by its name in ``palette.COLOURS``; by default words in
            focus come first.
        width: how wide the drawing may get, in pixels.
        heading: the line above it.
        full: the amount that fills the belt's height, so that pictures can be compared; by default
            the most that there is in this text.

    Raises:
        LensError: for a plain RNN, which has no belt.

    >>> import carousel
    >>> trace = carousel.load().trace("krish likes pizza")
    >>> draw_belt(trace, focus=["pizza"]).to_string()[:4]
    '<svg'
    """
    picture = _Picture(trace.belt(layer), focus, colours, width, full)
    layout = picture.layout
    canvas = Canvas(
        max(layout.width, min(MIN_WIDTH, width)),
        0,
        title=f"The belt while reading: {' '.join(picture.words[1:])}",
    )
    heading = heading or "The belt: what is left of each word's luggage"
    y = 16 + canvas.paragraph(12, 22, heading, bold=True, size=15, within=canvas.width - 24)
    for row in layout.rows:
        canvas.place(picture.draw_row(row), 0, y)
        y += picture.row_height
    canvas.height = y
    return canvas


def full_belt(traces: Sequence[Trace], layer: int = -1) -> float:
    """The largest amount on the belt in any of the traces: ``full`` of ``draw_belt``."""
    return max(float(trace.belt(layer).amounts().sum(1).max()) for trace in traces)


class _Picture:
    """What the rows of one picture share."""

    def __init__(
        self,
        belt: Belt,
        focus: Sequence[str],
        colours: Mapping[str, str] | None,
        width: float,
        full: float | None,
    ) -> None:
        trace = belt.trace
        self.words = display_words(trace)
        self.layout = ColumnLayout.fit(self.words, width, left=LEFT, min_size=70, font_size=14)
        self.label_width = self.layout.left - 32
        self.label_size = min(12, self.layout.font_size - 0.5)
        self.amounts = belt.amounts()
        by_word = word_colours(self.words, focus) | dict(colours or {})
        self.colours = [by_word[word] for word in self.words]
        self.focus = [s for s, word in enumerate(self.words) if word in focus][:4]
        self.scale = HEIGHT / max(full or float(self.amounts.sum(1).max()), 1e-12)
        before = np.concatenate([np.zeros_like(self.amounts[:1]), self.amounts[:-1]])
        self.lost = np.maximum(before - self.amounts, 0)
        self.table = self._make_table(belt)
        self.ground = 42 + HEIGHT
        self.below = self.ground + max(26, 12 + float(self.lost.sum(1).max()) * self.scale)
        self.row_height = self.below + len(self.table) * LINE + 26

    def _make_table(self, belt: Belt) -> list[tuple[str, str, list[str]]]:
        """The table below the belt: of each row the name, its colour, and an entry a word."""
        trace = belt.trace
        lstm = cell_of(trace.config).memory == "c"
        kept = trace.kept(belt.layer).mean(1)
        added = trace["i", belt.layer].mean(1) if lstm else 1 - kept
        share = self.amounts / np.maximum(np.diag(self.amounts), 1e-12)
        table = [
            ("f keeps" if lstm else "z keeps", "forget", ["", *(f"{k:.2f}" for k in kept[1:])]),
            ("i adds" if lstm else "1−z adds", "input", [f"{a:.2f}" for a in added]),
        ]
        names = [f"{self.words[s]} left" for s in self.focus]
        if any(text_width(name, self.label_size) > self.label_width for name in names):
            names = [fit(self.words[s], self.label_width, self.label_size) for s in self.focus]
        for s, name in zip(self.focus, names, strict=True):
            left = [f"{share[t, s]:.0%}" if t >= s else "" for t in range(len(trace))]
            table.append((name, self.colours[s], left))
        guesses = likeliest_tokens(trace, 1)
        if guesses[0]:
            table.append(("next word", "", [best[0].word for best in guesses]))
            table.append(("", "", [f"{best[0].probability:.0%}" for best in guesses]))
        else:
            table.append(("", "", [""] * len(trace)))
        return table

    def draw_row(self, row: range) -> Canvas:
        """One row of words with its stretch of the belt."""
        canvas = Canvas(0, 0, title="")
        layout, ground = self.layout, self.ground
        right = layout.begin(row, row.stop)
        canvas.text(12, ground - 4, "the belt", fill="dim", size=12)
        canvas.text(12, ground + 20, "let go", fill="dim", size=12)
        for t in row:
            x = layout.begin(row, t)
            canvas.path(f"M{x} 24V{self.below - 6:.1f}", stroke="soft", width=1)
        for s in range(row.stop):
            self._draw_band(canvas, row, s)
        canvas.path(f"M{layout.left - 12} {ground}H{right + 12}", stroke="ink", width=2)
        for t in row:
            self._draw_word(canvas, row, t)
        for number, (name, colour, entries) in enumerate(self.table):
            y = self.below + (number + 1) * LINE
            if colour:
                canvas.rect(12, y - 9, 9, 9, colour, radius=2)
            canvas.text(26, y, name, size=self.label_size, fill="dim", within=self.label_width)
            for t in row:
                canvas.text(layout.middle(row, t), y, entries[t], anchor="middle", size=12,
                            within=layout.size - 6)  # fmt: skip
        self._label_bands(canvas, row)
        return canvas

    def _draw_word(self, canvas: Canvas, row: range, t: int) -> None:
        x, size = self.layout.begin(row, t), self.layout.size
        focused = t in self.focus
        canvas.text(x + size / 2, 16, self.words[t], bold=True, anchor="middle",
                    size=self.layout.font_size, within=size - 8)  # fmt: skip
        if focused:
            canvas.rect(x + size / 2 - 14, 20, 28, 3, self.colours[t], radius=1.5)
        # What this word lets go of, below the belt.
        y = self.ground + 3.0
        for s in range(t):
            height = self.lost[t, s] * self.scale
            if height > 0.2:
                strong = 0.9 if s in self.focus else FAINT if self.focus else 0.55
                canvas.rect(x + LET_GO * size, y, (GONE - LET_GO) * size, height, self.colours[s],
                            opacity=strong, hint=f"{self.words[t]} lets go of "
                            f"{self.lost[t, s]:.2f} of {self.words[s]}'s luggage")  # fmt: skip
            y += height
        if t:
            _sign(canvas, x + (LET_GO + GONE) / 2 * size, self.ground, "×", "forget")
        top = self.ground - self.amounts[t].sum() * self.scale
        _sign(canvas, x + (PUT_ON + THERE) / 2 * size, top - 9, "+", "input")

    def _draw_band(self, canvas: Canvas, row: range, s: int) -> None:
        """One word's luggage over a row of words, where anything is seen of it."""
        amounts, scale, size = self.amounts, self.scale, self.layout.size
        if not (amounts[row.start : row.stop, s] * scale > 0.25).any():
            return
        upper: list[tuple[float, float]] = []
        lower: list[tuple[float, float]] = []
        for t in range(max(s, row.start), row.stop):
            x = self.layout.begin(row, t)
            low = self.ground - amounts[t, :s].sum() * scale
            high = low - amounts[t, s] * scale
            if t == s:
                upper += [(x + PUT_ON * size, low), (x + THERE * size, high)]
                lower += [(x + PUT_ON * size, low), (x + THERE * size, low)]
                continue
            if t == row.start:
                # It comes from the row above as it left that.
                came = self.ground - amounts[t - 1, :s].sum() * scale
                upper.append((x - 12, came - amounts[t - 1, s] * scale))
                lower.append((x - 12, came))
            upper += [(x + LET_GO * size, upper[-1][1]), (x + GONE * size, high)]
            lower += [(x + LET_GO * size, lower[-1][1]), (x + GONE * size, low)]
        end = self.layout.begin(row, row.stop) + 12
        upper.append((end, upper[-1][1]))
        lower.append((end, lower[-1][1]))
        left = amounts[row[-1], s] / max(amounts[s, s], 1e-12)
        canvas.path(
            f"M{_curve(upper)}L{_curve(lower[::-1])}Z",
            fill=self.colours[s],
            opacity=FAINT if self.focus and s not in self.focus else 0.95,
            stroke="ground",
            width=0.8,
            hint=f"{self.words[s]}: {left:.0%} of what it put on is left at {self.words[row[-1]]}",
        )

    def _label_bands(self, canvas: Canvas, row: range) -> None:
        """Each band's word where it is thickest in this row, if there is room."""
        size = self.layout.size
        for s in range(row.stop):
            t = max(s, row.start)
            if self.amounts[t, s] * self.scale < 13:
                continue
            middle = self.ground - (self.amounts[t, :s].sum() + self.amounts[t, s] / 2) * self.scale
            faint = bool(self.focus) and s not in self.focus
            canvas.text(self.layout.begin(row, t) + 0.83 * size, middle + 4, self.words[s],
                        anchor="middle", size=11, within=0.62 * size,
                        fill="ink" if faint else text_colour_on(self.colours[s]))  # fmt: skip


def _sign(canvas: Canvas, x: float, y: float, sign: str, colour: str) -> None:
    """A pointwise operation, as the cell's diagram shows it."""
    canvas.circle(x, y, 6.5, "ground", colour)
    arms = "M-3 0H3M0 -3V3" if sign == "+" else "M-2.4 -2.4L2.4 2.4M2.4 -2.4L-2.4 2.4"
    mark = Canvas(0, 0, title="")
    mark.path(arms, stroke=colour, width=1.6)
    canvas.place(mark, x, y)


def _curve(points: list[tuple[float, float]]) -> str:
    """A path through points: level where the height stays, an S-curve where it changes."""
    (x0, y0), *rest = points
    path = [f"{x0:.1f} {y0:.1f}"]
    for x, y in rest:
        middle = (x0 + x) / 2
        path.append(
            f"L{x:.1f} {y:.1f}"
            if abs(y - y0) < 0.05
            else f"C{middle:.1f} {y0:.1f} {middle:.1f} {y:.1f} {x:.1f} {y:.1f}"
        )
        x0, y0 = x, y
    return "".join(path)
