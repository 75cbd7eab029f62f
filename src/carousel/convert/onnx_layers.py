"""Recurrent layers in ONNX: one operator each, or a Scan over plain operators with all gates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from carousel.cells import CELLS, GRU, LSTM
from carousel.convert.gate_order import ONNX, restack
from carousel.convert.onnx_graph import GraphBuilder, value
from carousel.storage.config import Config

CARRIED = "carried"
"""``[T, B, 1]``: 0 where the state is set to zero before a token is read, and 1 elsewhere."""


def add_fused_layer(
    graph: GraphBuilder,
    config: Config,
    weights: Mapping[str, np.ndarray],
    layer: int,
    x: str,
    states: list[str],
) -> str:
    """Add a layer as one RNN, GRU or LSTM operator.

    Coupled gates have no operator of their own: ``f = 1 - σ(a) = σ(-a)`` makes them an LSTM.

    Args:
        graph: the graph that the layer is added to.
        config: the model's configuration.
        weights: its weights in float32, by their names on disk.
        layer: the layer's number.
        x: the name of its input, ``[T, B, E]``.
        states: the names of its initial states, ``[1, B, H]`` each. The states after the last word
            get these names with ``_out`` behind.

    Returns:
        The name of the layer's hidden states, ``[T, B, H]``.
    """
    cell = CELLS[config.cell]
    kind = "LSTM" if isinstance(cell, LSTM) else "GRU" if isinstance(cell, GRU) else "RNN"
    attributes = {"hidden_size": config.hidden_size}
    if isinstance(cell, GRU):
        attributes["linear_before_reset"] = int(cell.reset_after)
    *matrices, peepholes = _fused_weights(graph, config, weights, layer)
    inputs = [x, *matrices, "", *states, *([peepholes] if peepholes else [])]
    graph.add(kind, inputs, [f"y{layer}", *(f"{name}_out" for name in states)], **attributes)
    direction = graph.constant("axis_1", [1])  # there is one
    return graph.add("Squeeze", [f"y{layer}", direction], [f"x{layer + 1}"])


def _fused_weights(
    graph: GraphBuilder, config: Config, weights: Mapping[str, np.ndarray], layer: int
) -> tuple[str, str, str, str]:
    """The names of a layer's W, R, B and P (empty where there are none)."""
    cell, size = CELLS[config.cell], config.hidden_size
    coupled = isinstance(cell, LSTM) and cell.coupled
    kind = {1: "rnn", 3: "gru", 4: "lstm"}[len(cell.stacked) + coupled]
    ours = (*cell.stacked, "f") if coupled else cell.stacked

    def stack(name: str) -> np.ndarray:
        gates = weights.get(f"layers.{layer}.{name}")
        if gates is None:  # no biases
            gates = np.zeros(len(cell.stacked) * size, np.float32)
        if coupled:  # f = 1 - σ(a_i) = σ(-a_i)
            gates = np.concatenate([gates, -gates[:size]])
        return restack(gates, ours, ONNX[kind])[None]

    bias = np.concatenate([stack("bias_ih"), stack("bias_hh")], axis=1)
    peepholes = weights.get(f"layers.{layer}.weight_ch")
    if peepholes is not None:
        order = ("i", "o", "f") if coupled else ("i", "f", "o")
        if coupled:
            peepholes = np.concatenate([peepholes, -peepholes[:size]])
        peepholes = restack(peepholes, order, ONNX["peephole"])[None]
    return (
        graph.constant(f"W{layer}", stack("weight_ih")),
        graph.constant(f"R{layer}", stack("weight_hh")),
        graph.constant(f"B{layer}", bias),
        "" if peepholes is None else graph.constant(f"P{layer}", peepholes),
    )


def add_open_layer(
    graph: GraphBuilder,
    config: Config,
    weights: Mapping[str, np.ndarray],
    layer: int,
    x: str,
    states: list[str],
) -> str:
    """Add a layer as a Scan over plain operators: the lines of ``cells.py``, one word at a time.

    Arguments and result are those of ``add_fused_layer``. Beside them, every gate and state is a
    value of the graph, ``[T, B, H]``, by its name in traces, such as ``layers.0.f``. A model that
    does not carry its state over the end of a line needs a value ``CARRIED`` in the graph.
    """
    cell, size = CELLS[config.cell], config.hidden_size
    rows = len(cell.stacked) * size
    prefix = f"layers.{layer}"
    own = {
        name: weights[f"{prefix}.{name}"]
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ch")
        if f"{prefix}.{name}" in weights
    }
    weight_ih = graph.constant(f"{prefix}.weight_ih", own["weight_ih"].T)
    bias_ih = graph.constant(f"{prefix}.bias_ih", own["bias_ih"]) if "bias_ih" in own else None
    read = graph.linear(x, weight_ih, bias_ih, f"{prefix}.read")
    body = GraphBuilder()
    scanned_inputs, given = [read], {f"{prefix}.step.x": rows}
    if not config.carry_state:
        scanned_inputs.append(CARRIED)
        given[f"{prefix}.step.carried"] = 1
        for name in cell.states:
            inputs = [f"{prefix}.step.{name}.given", f"{prefix}.step.carried"]
            body.add("Mul", inputs, [f"{prefix}.step.{name}.before"])
    before_step = "before" if config.carry_state else "given"
    step = _Step(body, f"{prefix}.step.", own, size)
    if isinstance(cell, LSTM):
        step.lstm(cell)
    elif isinstance(cell, GRU):
        step.gru(cell)
    else:
        step.rnn()
    points = [*cell.gates, *(name for name in ("c", "h") if name in cell.states)]
    scanned = body.to_graph(
        f"{prefix}.step",
        [
            *(value(f"{step.prefix}{name}.{before_step}", ["B", size]) for name in cell.states),
            *(value(name, ["B", width]) for name, width in given.items()),
        ],
        [
            *(value(f"{step.prefix}{name}.after", ["B", size]) for name in cell.states),
            *(value(f"{step.prefix}{name}", ["B", size]) for name in points),
        ],
    )
    one_layer = graph.constant("axis_0", [0])
    before = [graph.add("Squeeze", [name, one_layer], [f"{name}.flat"]) for name in states]
    after = [f"{name}_out.flat" for name in states]
    outputs = [*after, *(f"{prefix}.{name}" for name in points)]
    inputs = [*before, *scanned_inputs]
    graph.add("Scan", inputs, outputs, body=scanned, num_scan_inputs=len(scanned_inputs))
    for name in states:
        graph.add("Unsqueeze", [f"{name}_out.flat", one_layer], [f"{name}_out"])
    return f"{prefix}.h"


class _Step:
    """One step of a cell in plain operators; the lines follow those of ``cells.py``.

    Args:
        body: the graph of the step. Its inputs are ``x``, what the input gives to all gates
            (``[B, G*H]``), and ``h.before`` (and ``c.before``); its outputs the gates, and
            ``h.after`` (and ``c.after``).
        prefix: what the names of its values begin with.
        weights: the layer's weights by name.
        size: ``H``.
    """

    def __init__(
        self, body: GraphBuilder, prefix: str, weights: Mapping[str, np.ndarray], size: int
    ) -> None:
        self.body, self.prefix, self.weights, self.size = body, prefix, weights, size
        self._values = 0

    def _op(self, operator: str, *inputs: str, name: str | None = None) -> str:
        """A node with one output, which is called ``name`` or gets a name of its own."""
        self._values += 1
        output = self.prefix + (name or f"value{self._values}")
        return self.body.add(operator, inputs, [output])

    def _constant(self, name: str, values: np.ndarray) -> str:
        return self.body.constant(self.prefix + name, values)

    def _state(self, name: str) -> str:
        return f"{self.prefix}{name}.before"

    def _project(self, x: str, rows: slice, name: str) -> str:
        """``R h + b_hh`` of some rows, ``[B, rows]``."""
        weight = self._constant(f"{name}.weight", self.weights["weight_hh"][rows].T)
        product = self._op("MatMul", x, weight)
        if "bias_hh" not in self.weights:
            return product
        bias = self._constant(f"{name}.bias", self.weights["bias_hh"][rows])
        return self._op("Add", product, bias)

    def _split(self, x: str, parts: int) -> list[str]:
        if parts == 1:
            return [x]
        self._values += 1
        names = [f"{self.prefix}value{self._values}.{part}" for part in range(parts)]
        lengths = self._constant(f"sizes{self._values}", np.full(parts, self.size))
        self.body.add("Split", [x, lengths], names, axis=-1)
        return names

    def _finish(self, *states: str) -> None:
        for name in states:
            self._op("Identity", self.prefix + name, name=f"{name}.after")

    def rnn(self) -> None:
        """``h = tanh(x + R h)``."""
        read = self._project(self._state("h"), slice(None), "hh")
        self._op("Tanh", self._op("Add", f"{self.prefix}x", read), name="h")
        self._finish("h")

    def gru(self, cell: GRU) -> None:
        """The gates ``r, z, n`` and ``h``, in either reset convention."""
        h, size = self._state("h"), self.size
        x_r, x_z, x_n = self._split(f"{self.prefix}x", 3)
        gates = slice(None) if cell.reset_after else slice(2 * size)
        h_r, h_z, *h_n = self._split(self._project(h, gates, "hh"), 3 if cell.reset_after else 2)
        r = self._op("Sigmoid", self._op("Add", x_r, h_r), name="r")
        z = self._op("Sigmoid", self._op("Add", x_z, h_z), name="z")
        if cell.reset_after:
            reset = self._op("Mul", r, h_n[0])
        else:
            reset = self._project(self._op("Mul", r, h), slice(2 * size, None), "hn")
        n = self._op("Tanh", self._op("Add", x_n, reset), name="n")
        rest = self._op("Sub", self._constant("one", np.ones(1, np.float32)), z)
        self._op("Add", self._op("Mul", rest, n), self._op("Mul", z, h), name="h")
        self._finish("h")

    def lstm(self, cell: LSTM) -> None:
        """The gates ``i, f, g, o``, ``c`` and ``h``, with peepholes and coupled gates."""
        c_before = self._state("c")
        read = self._project(self._state("h"), slice(None), "hh")
        parts = self._split(self._op("Add", f"{self.prefix}x", read), len(cell.stacked))
        a = dict(zip(cell.stacked, parts, strict=True))
        peepholes: dict[str, str] = {}
        if cell.peephole:
            order = [gate for gate in cell.stacked if gate != "g"]
            pieces = np.split(self.weights["weight_ch"], len(order))
            peepholes = {
                gate: self._constant(f"peephole.{gate}", piece)
                for gate, piece in zip(order, pieces, strict=True)
            }

        def sigmoid(gate: str, memory: str) -> str:
            total = a[gate]
            if gate in peepholes:
                total = self._op("Add", total, self._op("Mul", peepholes[gate], memory))
            return self._op("Sigmoid", total, name=gate)

        i = sigmoid("i", c_before)
        if cell.coupled:
            one = self._constant("one", np.ones(1, np.float32))
            f = self._op("Sub", one, i, name="f")
        else:
            f = sigmoid("f", c_before)
        g = self._op("Tanh", a["g"], name="g")
        kept, written = self._op("Mul", f, c_before), self._op("Mul", i, g)
        c = self._op("Add", kept, written, name="c")
        self._op("Mul", sigmoid("o", c), self._op("Tanh", c), name="h")
        self._finish("h", "c")
