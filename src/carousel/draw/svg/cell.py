"""The cell as a diagram, with the numbers of one word in it.

The signs are those of Olah 2015, "Understanding LSTM Networks": boxes are layers with weights,
circles are pointwise operations, lines that join are concatenated and lines that fork are copied.
The belt (the cell state) runs along the top. Numbers are means over units (of the size, where
values have either sign), and a line is as heavy as what it carries.
"""

from __future__ import annotations

from collections.abc import Sequence

from carousel.cells import CELLS, GRU, LSTM
from carousel.draw.palette import GATE_COLOURS
from carousel.draw.svg.canvas import Canvas
from carousel.lens.names import check_layer
from carousel.lens.summary import measure_cell
from carousel.lens.tokens import display_words, likeliest_tokens_at
from carousel.lens.trace import Trace

WIDTH, HEIGHT, RNN_HEIGHT = 880.0, 440.0, 290.0
BELT = 104.0
BOX = (56.0, 34.0)
Points = Sequence[tuple[float, float]]


def draw_cell(trace: Trace, t: int, layer: int = -1) -> Canvas:
    """Draw the cell of one layer at one word.

    Args:
        trace: what a model did over one text.
        t: the word's position; 0 is the line start, -1 the last word.
        layer: the layer.

    Raises:
        LensError: no such layer.

    >>> import carousel
    >>> draw_cell(carousel.load().trace("krish likes pizza"), -1).title
    'The lstm cell at pizza'
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
        self.means = measure_cell(trace, t, layer)
        self.values, self.before = self.means.values, self.means.before
        self.words = display_words(trace)
        self.canvas = Canvas(
            WIDTH, height, title=f"The {trace.config.cell} cell at {self.words[t]}"
        )
        self.shapes = Canvas(0, 0, title="")
        self.canvas.rect(128, 60, 612, height - 120, "soft", radius=18, stroke="line")
        where = f", layer {layer}" if trace.config.layers > 1 else ""
        self.canvas.text(12, 24, f"{trace.config.cell.upper()}{where}", bold=True, size=15)

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

    def input(self, x: float, y: float) -> None:
        """The word (or the layer below) under the cell, and the size of what it sends up."""
        word = self.words[self.t]
        shown = f"layer {self.layer - 1}: {word}" if self.layer else word
        self.shapes.text(x, y, shown, bold=True, size=16, anchor="middle", within=240)
        self.number(x + 12, y - 34, "x", self.means.input)

    def output(self, x: float, y: float) -> None:
        """The likeliest next words (or the layer above) over the cell."""
        if self.layer < self.trace.config.layers - 1:
            self.shapes.text(x, y, f"to layer {self.layer + 1}", size=14, anchor="middle")
            return
        best = likeliest_tokens_at(self.trace, self.t, 2)
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
    _lstm_wires(d, cell)
    _lstm_shapes(d, cell)
    d.output(785, 30)


# Where the LSTM's parts stand, from left to right and from top to bottom.
F, I, G, O, READ = 240.0, 345.0, 440.0, 545.0, 635.0
WRITE, BOXES, BOTTOM = 185.0, 262.0, 330.0


def _lstm_wires(d: _Diagram, cell: LSTM) -> None:
    """The LSTM's lines, each as heavy as what it carries."""
    v, m = d.values, d.means
    # The word and the last hidden state join, and fork to every layer.
    both = m.joined(d.before["h"])
    for x in (I, G) if cell.coupled else (F, I, G):
        d.wire([(x, BOTTOM), (x, BOXES)], both)
    d.wire([(190, BOTTOM), (O, BOTTOM), (O, BOXES)], both)
    d.wire([(24, BOTTOM), (190, BOTTOM)], d.before["h"], "hidden")
    d.wire([(165, 404), (165, BOTTOM), (190, BOTTOM)], m.input, curve=22)
    # The belt.
    d.wire([(24, BELT), (F, BELT)], d.before["c"], "state")
    d.wire([(F, BELT), (G, BELT)], m.keep, "state")
    d.wire([(G, BELT), (856, BELT)], v["c"], "state", head=True)
    if cell.peephole:
        if not cell.coupled:
            d.wire([(195, BELT), (195, BOXES), (F - 28, BOXES)], None, dashed=True, head=True)
        x = 225 if cell.coupled else 292
        d.wire([(195, BELT), (195, 225), (x, 225), (x, BOXES), (I - 28, BOXES)], None,
               dashed=True, head=True)  # fmt: skip
        d.wire([(590, BELT), (590, BOXES), (O + 28, BOXES)], None, dashed=True, head=True)
    if cell.coupled:
        d.wire([(I, WRITE), (F, WRITE), (F, BELT + 13)], v["f"], GATE_COLOURS["f"], head=True)
    else:
        d.wire([(F, BOXES), (F, BELT + 13)], v["f"], GATE_COLOURS["f"], head=True)
    d.wire([(I, BOXES), (I, WRITE), (G - 13, WRITE)], v["i"], GATE_COLOURS["i"], head=True)
    d.wire([(G, BOXES), (G, WRITE + 13)], v["g"], GATE_COLOURS["g"], head=True)
    d.wire([(G, WRITE), (G, BELT + 13)], m.write, "state", head=True)
    # What is read from the belt.
    d.wire([(READ, BELT), (READ, 160)], v["c"], "state")
    d.wire([(READ, 160), (READ, 215 - 13)], m.squashed, "state", head=True)
    d.wire([(O, BOXES), (O, 215), (READ - 13, 215)], v["o"], GATE_COLOURS["o"], head=True)
    d.wire([(READ, 215), (READ, BOTTOM), (856, BOTTOM)], v["h"], "hidden", head=True)
    d.wire([(785, BOTTOM), (785, 40)], v["h"], "hidden", head=True, bridge=True)


def _lstm_shapes(d: _Diagram, cell: LSTM) -> None:
    """The LSTM's boxes, circles and numbers."""
    v, m = d.values, d.means
    d.input(165, 424)
    if cell.coupled:
        d.circle(I - 52, WRITE, "1−")
    else:
        d.box(F, BOXES, "σ", GATE_COLOURS["f"])
    for x, sign, name in ((I, "σ", "i"), (G, "tanh", "g"), (O, "σ", "o")):
        d.box(x, BOXES, sign, GATE_COLOURS[name])
    for x, y, sign in ((F, BELT, "×"), (G, BELT, "+"), (G, WRITE, "×"), (READ, 215, "×")):
        d.circle(x, y, sign)
    d.circle(READ, 160, "tanh")
    d.number(24, BELT - 14, "c before", d.before["c"])
    d.number((F + G) / 2, BELT - 14, "keep", m.keep, "middle")
    d.number(545, BELT - 14, "c", v["c"], "middle")
    d.number(F + 9, BELT + 46, "f", v["f"])
    d.number(I + 9, BOXES - 28, "i", v["i"])
    d.number(G + 9, BOXES - 28, "|g|", v["g"])
    d.number(G + 11, 145, "write", m.write)
    d.number(O - 8, 206, "o", v["o"], "end")
    d.number(READ + 12, 194, "tanh c", m.squashed)
    d.number(24, BOTTOM - 12, "h before", d.before["h"])
    d.number(856, BOTTOM - 14, "h", v["h"], "end")


def _draw_gru(d: _Diagram, cell: GRU) -> None:
    _gru_wires(d)
    _gru_shapes(d, cell)
    d.output(785, 30)


# Where the GRU's parts stand.
R, Z, N, GATED = 290.0, 400.0, 560.0, 505.0
MIX, RESET, GRU_BOXES, JOIN, INPUT, INTO = 195.0, 152.0, 275.0, 334.0, 362.0, 318.0


def _gru_wires(d: _Diagram) -> None:
    """The GRU's lines, each as heavy as what it carries."""
    v, m, before = d.values, d.means, d.before["h"]
    # The last state is copied: along the belt, to the gates, and through the reset gate to n.
    both = m.joined(before)
    d.wire([(R, JOIN), (R, GRU_BOXES)], both)
    d.wire([(255, JOIN), (Z, JOIN), (Z, GRU_BOXES)], both)
    d.wire([(165, BELT), (165, JOIN), (255, JOIN)], before, "hidden")
    d.wire([(230, 404), (230, JOIN), (255, JOIN)], m.input, curve=22)
    d.wire([(230, 380), (230, INPUT), (N, INPUT), (N, INTO)], m.input, curve=12)
    d.wire([(165, RESET), (R - 13, RESET)], before, "hidden", head=True)
    d.wire([(Z, GRU_BOXES), (Z, BELT + 13)], v["z"], GATE_COLOURS["z"], head=True)
    d.wire([(R, RESET), (GATED, RESET), (GATED, 240)], m.reset, "hidden", bridge=True)
    d.wire([(GATED, 240), (GATED, INTO), (N, INTO)], m.reset, "hidden")
    d.wire([(N, INTO + 4), (N, GRU_BOXES)], m.joined(m.reset or 0.0))
    d.wire([(R, GRU_BOXES), (R, RESET + 13)], v["r"], GATE_COLOURS["r"], head=True)
    d.wire([(24, BELT), (Z, BELT)], before, "hidden")
    d.wire([(Z, BELT), (N, BELT)], m.keep, "hidden")
    d.wire([(N, BELT), (856, BELT)], v["h"], "hidden", head=True)
    d.wire([(Z, MIX), (N - 13, MIX)], 1 - v["z"], GATE_COLOURS["z"], head=True, bridge=True)
    d.wire([(N, GRU_BOXES), (N, MIX + 13)], v["n"], GATE_COLOURS["n"], head=True)
    d.wire([(N, MIX), (N, BELT + 13)], m.write, "hidden", head=True)
    d.wire([(785, BELT), (785, 40)], v["h"], "hidden", head=True)


def _gru_shapes(d: _Diagram, cell: GRU) -> None:
    """The GRU's boxes, circles and numbers."""
    v, m = d.values, d.means
    d.input(230, 424)
    if cell.reset_after:
        d.box(222, RESET, "R", "line")
    for x, sign, name in ((R, "σ", "r"), (Z, "σ", "z"), (N, "tanh", "n")):
        d.box(x, GRU_BOXES, sign, GATE_COLOURS[name])
    for x, y, sign in ((R, RESET, "×"), (Z, BELT, "×"), (N, BELT, "+"), (N, MIX, "×")):
        d.circle(x, y, sign)
    d.circle(452, MIX, "1−")
    d.number(24, BELT - 14, "h before", d.before["h"])
    d.number((Z + N) / 2, BELT - 14, "keep", m.keep, "middle")
    d.number(650, BELT - 14, "h", v["h"], "middle")
    d.number(R + 9, 225, "r", v["r"])
    d.number(Z + 9, 242, "z", v["z"])
    d.number(452, MIX - 18, "1−z", 1 - v["z"], "middle")
    d.number(N + 9, GRU_BOXES - 28, "|n|", v["n"])
    d.number(N + 11, 148, "write", m.write)


def _draw_rnn(d: _Diagram) -> None:
    middle, layer = 140.0, 430.0
    h, before = d.values["h"], d.before["h"]
    d.wire([(260, middle), (layer, middle)], d.means.joined(before))
    d.wire([(24, middle), (260, middle)], before, "hidden")
    d.wire([(230, 254), (230, middle), (260, middle)], d.means.input, curve=22)
    d.wire([(layer, middle), (856, middle)], h, "hidden", head=True)
    d.wire([(785, middle), (785, 40)], h, "hidden", head=True)
    d.box(layer, middle, "tanh", GATE_COLOURS["h"])
    d.input(230, 274)
    d.number(24, middle - 14, "h before", before)
    d.number(590, middle - 14, "h", h, "middle")
    d.output(785, 30)
