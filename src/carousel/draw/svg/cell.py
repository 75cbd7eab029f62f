"""The cell as the well-known diagram, with one word's numbers in it.

Boxes are layers with weights, circles are pointwise operations, lines that join are concatenated
and lines that fork are copied; the belt runs along the top. Numbers are means over units (of the
size, where values have either sign), and a line is as heavy as what it carries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carousel.cells import CELLS, GRU, LSTM
from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.gates import COLOUR, mean_and_spread
from carousel.draw.svg.words import guesses_at, words_of
from carousel.lens.names import check_layer, names_of
from carousel.lens.trace import Trace

WIDTH, HEIGHT, RNN_HEIGHT = 880.0, 440.0, 290.0
BELT = 104.0
BOX = (56.0, 34.0)
Points = Sequence[tuple[float, float]]


def draw_cell(trace: Trace, t: int, layer: int = -1) -> Canvas:
    """The cell of one layer at the word at position ``t``.

    Raises:
        LensError: no such layer.
    """
    layer = check_layer(trace.config, layer)
    t = range(len(trace))[t]
    cell = CELLS[trace.config.cell]
    diagram = _Diagram(trace, t, layer, HEIGHT if isinstance(cell, LSTM | GRU) else RNN_HEIGHT)
    if isinstance(cell, LSTM):
        _draw_lstm(diagram, cell)
    elif isinstance(cell, GRU):
        _draw_gru(diagram, cell)
    else:
        _draw_rnn(diagram)
    return diagram.finish()


class _Diagram:
    """Wires below, boxes and circles above them, numbers on top."""

    def __init__(self, trace: Trace, t: int, layer: int, height: float) -> None:
        self.trace, self.t, self.layer = trace, t, layer
        self.words = words_of(trace)
        self.canvas = Canvas(
            WIDTH, height, title=f"The {trace.config.cell} cell at {self.words[t]}"
        )
        self.shapes = Canvas(0, 0, title="")
        self.canvas.rect(128, 60, 612, height - 120, "soft", radius=18, stroke="line")
        where = f", layer {layer}" if trace.config.layers > 1 else ""
        self.canvas.text(12, 24, f"{trace.config.cell.upper()}{where}", bold=True, size=15)
        self.values = {name: self._mean(name) for name in names_of(trace.config)}

    def _mean(self, name: str, t: int | None = None) -> float:
        t = self.t if t is None else t
        return float(mean_and_spread(self.trace, name, self.layer)[0][t]) if t >= 0 else 0.0

    def before(self, name: str) -> float:
        """The mean size of a state before this word."""
        return self._mean(name, self.t - 1)

    def derived(self, name: str) -> float:
        """The mean size of ``keep`` or ``write``."""
        return float(np.abs(self.trace[name, self.layer][self.t]).mean())

    def wire(
        self, points: Points, value: float | None, colour: str = "ink", *, head: bool = False,
        bridge: bool = False, dashed: bool = False, curve: float = 10,
    ) -> None:  # fmt: skip
        """A line that carries ``value``; a bridge passes over the lines that it crosses."""
        width = 1.4 if value is None else 1.2 + 6 * min(1.0, abs(value))
        if bridge:
            self.canvas.line(points, width=width + 6, stroke="soft", curve=curve)
        self.canvas.line(points, width=width, stroke=colour, head=head, dashed=dashed, curve=curve)

    def box(self, x: float, y: float, sign: str, name: str) -> None:
        """A layer with weights, its middle at ``x, y``."""
        w, h = BOX
        self.shapes.rect(x - w / 2, y - h / 2, w, h, "ground", radius=5)
        self.shapes.rect(x - w / 2, y - h / 2, w, h, name, radius=5, opacity=0.35, stroke=name)
        self.shapes.text(x, y + 5, sign, anchor="middle", size=14, bold=True)

    def circle(self, x: float, y: float, sign: str) -> None:
        """A pointwise operation."""
        self.shapes.circle(x, y, 13 if len(sign) < 3 else 19, "ground")
        size = {1: 17.0, 2: 13.0}.get(len(sign), 12.0)
        self.shapes.text(x, y + size * 0.35, sign, anchor="middle", size=size)

    def number(
        self, x: float, y: float, name: str, value: float | None, anchor: str = "start"
    ) -> None:
        """A name and its value."""
        words = name if value is None else f"{name} {value:.2f}"
        self.shapes.text(x, y, words, size=13, anchor=anchor)  # type: ignore[arg-type]

    def joined(self, first: float, second: float | None) -> float | None:
        """The mean size of a hidden state and the input, concatenated."""
        if second is None:
            return None
        H = self.trace.config.hidden_size
        E = H if self.layer else self.trace.config.embedding_size
        return (first * H + second * E) / (H + E)

    def input(self, x: float, y: float) -> float | None:
        """The word (or the layer below) under the cell; the size of what it sends up."""
        trace = self.trace
        if self.layer:
            below = trace["h", self.layer - 1][self.t]
            shown, name = f"layer {self.layer - 1}: {self.words[self.t]}", "x"
        else:
            if trace.model is None:
                below = None
            else:
                below = trace.model.weights["embedding.weight"][trace.ids[self.t]]
            shown, name = self.words[self.t], "x"
        size = None if below is None else float(np.abs(below).mean())
        self.shapes.text(x, y, shown, bold=True, size=16, anchor="middle", within=240)
        self.number(x + 12, y - 34, name, size)
        return size

    def output(self, x: float, y: float) -> None:
        """The likeliest next words (or the layer above) over the cell."""
        if self.layer < self.trace.config.layers - 1:
            self.shapes.text(x, y, f"to layer {self.layer + 1}", size=14, anchor="middle")
            return
        best = guesses_at(self.trace, self.t, 2)
        if best:
            shown = f"{best[0].word} {best[0].probability:.0%}"
            self.shapes.text(x, y, shown, bold=True, size=16, anchor="middle", within=180)
            shown = f"or {best[1].word} {best[1].probability:.0%}"
            self.shapes.text(x - 116, y, shown, size=12, fill="dim", anchor="end", within=200)

    def finish(self) -> Canvas:
        """The whole drawing."""
        self.canvas.place(self.shapes, 0, 0)
        return self.canvas


def _draw_lstm(d: _Diagram, cell: LSTM) -> None:
    f, i, g, o, write = 240.0, 345.0, 440.0, 545.0, 185.0
    out, boxes, bottom = 635.0, 262.0, 330.0
    v = d.values
    keep, put = d.derived("keep"), d.derived("write")
    squashed = float(np.abs(np.tanh(d.trace["c", d.layer][d.t])).mean())
    x = d.input(165, 424)
    # The word and the last hidden state join, and fork to every layer.
    both = d.joined(d.before("h"), x)
    for at in (i, g) if cell.coupled else (f, i, g):
        d.wire([(at, bottom), (at, boxes)], both)
    d.wire([(190, bottom), (o, bottom), (o, boxes)], both)
    d.wire([(24, bottom), (190, bottom)], d.before("h"), "luggage-1")
    d.wire([(165, 404), (165, bottom), (190, bottom)], x, curve=22)
    # The belt.
    d.wire([(24, BELT), (f, BELT)], d.before("c"), "state")
    d.wire([(f, BELT), (g, BELT)], keep, "state")
    d.wire([(g, BELT), (856, BELT)], v["c"], "state", head=True)
    if cell.peephole:
        if not cell.coupled:
            d.wire([(195, BELT), (195, boxes), (f - 28, boxes)], None, dashed=True, head=True)
        at = 225 if cell.coupled else 292
        d.wire([(195, BELT), (195, 225), (at, 225), (at, boxes), (i - 28, boxes)], None,
               dashed=True, head=True)  # fmt: skip
        d.wire([(590, BELT), (590, boxes), (o + 28, boxes)], None, dashed=True, head=True)
    if cell.coupled:
        d.wire([(i, write), (f, write), (f, BELT + 13)], v["f"], COLOUR["f"], head=True)
        d.circle(i - 52, write, "1−")
    else:
        d.wire([(f, boxes), (f, BELT + 13)], v["f"], COLOUR["f"], head=True)
        d.box(f, boxes, "σ", COLOUR["f"])
    d.wire([(i, boxes), (i, write), (g - 13, write)], v["i"], COLOUR["i"], head=True)
    d.wire([(g, boxes), (g, write + 13)], v["g"], COLOUR["g"], head=True)
    d.wire([(g, write), (g, BELT + 13)], put, "state", head=True)
    # What is read from the belt.
    d.wire([(out, BELT), (out, 160)], v["c"], "state")
    d.wire([(out, 160), (out, 215 - 13)], squashed, "state", head=True)
    d.wire([(o, boxes), (o, 215), (out - 13, 215)], v["o"], COLOUR["o"], head=True)
    d.wire([(out, 215), (out, bottom), (856, bottom)], v["h"], "luggage-1", head=True)
    d.wire([(785, bottom), (785, 40)], v["h"], "luggage-1", head=True, bridge=True)
    for at, sign, name in ((i, "σ", "i"), (g, "tanh", "g"), (o, "σ", "o")):
        d.box(at, boxes, sign, COLOUR[name])
    for at, y, sign in ((f, BELT, "×"), (g, BELT, "+"), (g, write, "×"), (out, 215, "×")):
        d.circle(at, y, sign)
    d.circle(out, 160, "tanh")
    d.number(24, BELT - 14, "c before", d.before("c"))
    d.number((f + g) / 2, BELT - 14, "keep", keep, "middle")
    d.number(545, BELT - 14, "c", v["c"], "middle")
    d.number(f + 9, BELT + 46, "f", v["f"])
    d.number(i + 9, boxes - 28, "i", v["i"])
    d.number(g + 9, boxes - 28, "|g|", v["g"])
    d.number(g + 11, 145, "write", put)
    d.number(o - 8, 206, "o", v["o"], "end")
    d.number(out + 12, 194, "tanh c", squashed)
    d.number(24, bottom - 12, "h before", d.before("h"))
    d.number(856, bottom - 14, "h", v["h"], "end")
    d.output(785, 30)


def _draw_gru(d: _Diagram, cell: GRU) -> None:
    r, z, n, mix, reset = 290.0, 400.0, 560.0, 195.0, 152.0
    boxes, both, alone, into = 275.0, 334.0, 362.0, 318.0
    v = d.values
    before, keep, put = d.before("h"), d.derived("keep"), d.derived("write")
    x = d.input(230, 424)
    # The last state is copied: along the belt, to the gates, and through the reset gate to n.
    merged = d.joined(before, x)
    d.wire([(r, both), (r, boxes)], merged)
    d.wire([(255, both), (z, both), (z, boxes)], merged)
    d.wire([(165, BELT), (165, both), (255, both)], before, "luggage-1")
    d.wire([(230, 404), (230, both), (255, both)], x, curve=22)
    d.wire([(230, 380), (230, alone), (n, alone), (n, into)], x, curve=12)
    d.wire([(165, reset), (r - 13, reset)], before, "luggage-1", head=True)
    d.wire([(z, boxes), (z, BELT + 13)], v["z"], COLOUR["z"], head=True)
    gated = 505.0
    last = d.trace["h", d.layer][d.t - 1] if d.t else np.zeros(d.trace.config.hidden_size)
    carried = float(np.abs(d.trace["r", d.layer][d.t] * last).mean())
    d.wire([(r, reset), (gated, reset), (gated, 240)], carried, "luggage-1", bridge=True)
    d.wire([(gated, 240), (gated, into), (n, into)], carried, "luggage-1")
    d.wire([(n, into + 4), (n, boxes)], d.joined(carried, x))
    d.wire([(r, boxes), (r, reset + 13)], v["r"], COLOUR["r"], head=True)
    d.wire([(24, BELT), (z, BELT)], before, "luggage-1")
    d.wire([(z, BELT), (n, BELT)], keep, "luggage-1")
    d.wire([(n, BELT), (856, BELT)], v["h"], "luggage-1", head=True)
    d.wire([(z, mix), (n - 13, mix)], 1 - v["z"], COLOUR["z"], head=True, bridge=True)
    d.wire([(n, boxes), (n, mix + 13)], v["n"], COLOUR["n"], head=True)
    d.wire([(n, mix), (n, BELT + 13)], put, "luggage-1", head=True)
    d.wire([(785, BELT), (785, 40)], v["h"], "luggage-1", head=True)
    if cell.reset_after:
        d.box(222, reset, "R", "line")
    for at, sign, name in ((r, "σ", "r"), (z, "σ", "z"), (n, "tanh", "n")):
        d.box(at, boxes, sign, COLOUR[name])
    for at, y, sign in ((r, reset, "×"), (z, BELT, "×"), (n, BELT, "+"), (n, mix, "×")):
        d.circle(at, y, sign)
    d.circle(452, mix, "1−")
    d.number(24, BELT - 14, "h before", before)
    d.number((z + n) / 2, BELT - 14, "keep", keep, "middle")
    d.number(650, BELT - 14, "h", v["h"], "middle")
    d.number(r + 9, 225, "r", v["r"])
    d.number(z + 9, 242, "z", v["z"])
    d.number(452, mix - 18, "1−z", 1 - v["z"], "middle")
    d.number(n + 9, boxes - 28, "|n|", v["n"])
    d.number(n + 11, 148, "write", put)
    d.output(785, 30)


def _draw_rnn(d: _Diagram) -> None:
    middle, layer = 140.0, 430.0
    v = d.values
    x = d.input(230, 274)
    d.wire([(260, middle), (layer, middle)], d.joined(d.before("h"), x))
    d.wire([(24, middle), (260, middle)], d.before("h"), "luggage-1")
    d.wire([(230, 254), (230, middle), (260, middle)], x, curve=22)
    d.wire([(layer, middle), (856, middle)], v["h"], "luggage-1", head=True)
    d.wire([(785, middle), (785, 40)], v["h"], "luggage-1", head=True)
    d.box(layer, middle, "tanh", COLOUR["h"])
    d.number(24, middle - 14, "h before", d.before("h"))
    d.number(590, middle - 14, "h", v["h"], "middle")
    d.output(785, 30)
