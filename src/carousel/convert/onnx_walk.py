"""The way through an ONNX graph from its logits back to its token ids, part by part.

Each operator on the way must be one that a Carousel model has, or one that changes no value, such
as a Transpose. So nothing that a model computes is left out unseen.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np

from carousel.cells import CELLS
from carousel.convert.gate_order import ONNX, restack
from carousel.convert.onnx_file import OnnxFile, attributes
from carousel.convert.parts import Adaptive
from carousel.convert.recurrent import Layer
from carousel.errors import ConvertError

SHAPE_OPERATORS = ("Identity", "Dropout", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten")
"""What may stand between the parts, beside Transpose: it changes no value."""
RECURRENT = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
"""The recurrent operators, and the activations that Carousel's cells have."""
QUANTIZED = ("MatMulInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "QLinearMatMul",
             "DequantizeLinear", "MatMulIntegerToFloat", "MatMulNBits")  # fmt: skip


class Linear(NamedTuple):
    """``y = W x + b``."""

    weight: np.ndarray
    """``[N, K]``"""
    bias: np.ndarray | None
    """``[N]``"""


class GraphPath(NamedTuple):
    """What lies between the token ids and the logits."""

    embedding: np.ndarray
    """``[V, E]``"""
    cell: str
    layers: list[Layer]
    """From the first to the last."""
    linears: list[Linear]
    """What follows them, in order; empty where there is an adaptive softmax alone."""
    adaptive: Adaptive | None
    notes: list[str]


def find_path(file: OnnxFile) -> GraphPath:
    """The way to the first output of the graph that is made by linear layers over recurrent ones.

    Raises:
        ConvertError: there is none, or something on it is not in Carousel's models.
    """
    kinds = {node.op_type for node in file.graph.node}
    if quantized := kinds & set(QUANTIZED):
        raise ConvertError(
            f"the graph is quantized ({min(quantized)}): import the float32 graph that it was made "
            f"of; carousel quantize then makes the model int8"
        )
    if not kinds & RECURRENT.keys():
        written_out = ", ".join(sorted(kinds & {"Scan", "Loop", "Tanh", "Sigmoid"}))
        raise ConvertError(
            f"the graph has no RNN, GRU or LSTM operator (but {written_out or 'nothing alike'}): "
            f"export it with them (PyTorch's RNN: dynamo=False; Carousel: without gates, and with "
            f"carry_state)"
        )
    problems = []
    for output in file.graph.output:
        try:
            return _Walk(file).run(output.name)
        except _NotLogitsError as problem:
            problems.append(str(problem))
    raise ConvertError(problems[0] if problems else "the graph has no outputs")


class _NotLogitsError(Exception):
    """An output that is no logits, such as a state."""


class _Walk:
    """One way back through the graph. What it meets it collects from the last part to the first."""

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        self.linears: list[Linear] = []
        self.adaptive: Adaptive | None = None
        self.layers: list[Layer] = []
        self.cells: list[str] = []
        self.bias: np.ndarray | None = None
        """A bias that was added; a product must come before it."""
        self.embedding: np.ndarray | None = None
        self.notes: list[str] = []

    def run(self, name: str) -> GraphPath:
        """The whole way from an output."""
        seen: set[str] = set()
        while self.embedding is None:
            if name in seen:
                raise ConvertError("the graph runs in a circle")
            seen.add(name)
            name = self._step(name)
        self._find_ids(name)
        if not self.layers:
            raise _NotLogitsError("there is no RNN, GRU or LSTM between the ids and the logits")
        if len(set(self.cells)) > 1:
            raise ConvertError(f"layers of several cells ({', '.join(sorted(set(self.cells)))})")
        return GraphPath(
            self.embedding,
            self.cells[0],
            self.layers[::-1],
            self.linears[::-1],
            self.adaptive,
            self.notes,
        )

    def _step(self, name: str) -> str:
        """Take the node that makes a value, and return the value that it is made of."""
        found = self.file.producer(name)
        if found is None:
            raise _NotLogitsError(f"{name!r} is an input of the graph, with no embedding behind it")
        node, number = found
        kind = node.op_type
        started = bool(self.linears or self.adaptive or self.layers)
        if self.bias is not None and kind not in (*SHAPE_OPERATORS, "MatMul"):
            raise ConvertError(f"Add follows {kind}: only a linear layer has a bias")
        if kind in SHAPE_OPERATORS or kind == "Transpose":
            return self._pass(node)
        if kind in ("Softmax", "LogSoftmax") and not started:
            return self._softmax(node)
        if kind == "Add" and not self.layers:
            return self._add(node)
        if kind in ("MatMul", "Gemm") and not self.layers:
            return self._linear(node)
        if kind == "Concat" and not started:
            return self._adaptive(node)
        if kind in RECURRENT and (started or self.adaptive):
            return self._recurrent(node, number)
        if kind in ("Gather", "Slice"):
            return self._gather(node)
        self._refuse(node, started=started)

    def _refuse(self, node: Any, *, started: bool) -> NoReturn:
        reason = (
            f"the graph has {node.op_type} on the way to its logits, which Carousel's models do not"
        )
        raise ConvertError(reason) if started else _NotLogitsError(reason)

    def _pass(self, node: Any) -> str:
        """An operator that changes no value, if it leaves the last axis what it is."""
        if node.op_type == "Transpose":
            order = attributes(node).get("perm")
            if order is None or order[-1] != len(order) - 1:
                raise ConvertError("a Transpose moves the units between the layers")
        if node.op_type == "Reshape":
            size = self._last_size(node.input[1])
            widths = [w for w in (self._width(), -1) if w is not None]
            if self._width() is not None and size not in widths:
                raise ConvertError(f"a Reshape makes rows of {size} units between the layers")
        return str(node.input[0])

    def _width(self) -> int | None:
        """How many units the next part gives, by what reads them; None where nothing does yet."""
        if self.layers:
            return int(self.layers[-1]["weight_ih"].shape[1])
        if self.bias is not None:
            return len(self.bias)
        if self.linears:
            return int(self.linears[-1].weight.shape[1])
        return None if self.adaptive is None else int(self.adaptive.head.shape[1])

    def _last_size(self, name: str) -> int:
        """The last size that a Reshape asks for: its shape may be put together as it runs."""
        shape = self.file.constant(name)
        if shape is None and (found := self.file.producer(name)) and found[0].op_type == "Concat":
            shape = self.file.constant(found[0].input[-1])
        if shape is None or shape.size == 0:
            raise ConvertError("a Reshape between the layers has a shape that can't be told")
        return int(shape.ravel()[-1])

    def _softmax(self, node: Any) -> str:
        before = self.file.producer(node.input[0])
        flat = before is not None and before[0].op_type == "Gemm"
        if attributes(node).get("axis", -1) not in ((-1, 1, 2) if flat else (-1, 2)):
            raise ConvertError(f"a {node.op_type} is not over the words")
        return str(node.input[0])

    def _add(self, node: Any) -> str:
        arrays = [self.file.constant(name) for name in node.input]
        constants = [number for number, array in enumerate(arrays) if array is not None]
        if len(constants) != 1 or (bias := arrays[constants[0]]) is None or bias.ndim != 1:
            raise _NotLogitsError("the graph adds something else than a bias to its logits")
        if self.bias is not None:
            raise ConvertError("the graph adds two biases, one after the other")
        self.bias = bias
        return str(node.input[1 - constants[0]])

    def _linear(self, node: Any) -> str:
        weight, given = self.file.constant(node.input[1]), attributes(node)
        bias, self.bias = self.bias, None
        if weight is None or weight.ndim != 2:
            raise _NotLogitsError(
                f"a {node.op_type} is no linear layer: its weight is not constant"
            )
        if node.op_type == "MatMul" or not given.get("transB", 0):
            weight = weight.T
        if node.op_type == "Gemm":
            scales = (given.get("alpha", 1.0), given.get("beta", 1.0))
            if given.get("transA", 0) or scales != (1.0, 1.0) or bias is not None:
                raise ConvertError("a Gemm is no linear layer: it scales or turns its input")
            if len(node.input) > 2 and node.input[2]:
                bias = self.file.constant(node.input[2])
                bias = None if bias is None else bias.reshape(-1)
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ConvertError(f"a bias of {len(bias)} values follows {len(weight)} units")
        if (width := self._width()) not in (None, len(weight)):
            raise ConvertError(f"a linear layer gives {len(weight)} units where {width} are read")
        self.linears.append(Linear(weight, bias))
        return str(node.input[0])

    def _gather(self, node: Any) -> str:
        """The embedding; or the last position alone, which the logits are made of."""
        table = self.file.constant(node.input[0])
        if node.op_type == "Gather" and table is not None:
            if not self.layers:
                raise _NotLogitsError("there is no RNN, GRU or LSTM between the ids and the logits")
            width = self._width()
            if table.ndim != 2 or attributes(node).get("axis", 0) or table.shape[1] != width:
                raise ConvertError(f"the embedding is not a table of {width} values a row")
            self.embedding = table
            return str(node.input[1])
        if self.layers or not (self.linears or self.adaptive):
            self._refuse(node, started=bool(self.layers))
        index = self.file.constant(node.input[1])
        if index is None or index.size != 1:
            raise ConvertError(f"a {node.op_type} takes positions that can't be told")
        stacked = self.file.producer(node.input[0])
        if stacked is not None and stacked[0].op_type == "Concat":  # the states of all layers
            names = list(stacked[0].input)
            if int(index.ravel()[0]) not in (-1, len(names) - 1):
                raise ConvertError("the logits are made of a state that is not the last layer's")
            return str(names[-1])
        if int(index.ravel()[0]) != -1:
            raise ConvertError(f"a {node.op_type} takes another position than the last")
        return str(node.input[0])

    def _recurrent(self, node: Any, number: int) -> str:
        kind, given = node.op_type, attributes(node)
        names = [activation.decode().lower() for activation in given.get("activations", [])]
        refused = {
            "is bidirectional: it reads the words to be predicted, so it is no next-word model": (
                given.get("direction", b"forward") != b"forward"
            ),
            f"has the activations {', '.join(names)}, not {', '.join(RECURRENT[kind])}": (
                bool(names) and tuple(names) != RECURRENT[kind]
            ),
            "clips its gates": "clip" in given,
            "couples its gates by input_forget": bool(given.get("input_forget", 0)),
            "has its batch first (layout 1)": bool(given.get("layout", 0)),
            "gives its cell state to the logits": number == 2,
            "gives its last state to another layer": number == 1 and bool(self.layers),
        }
        for reason, holds in refused.items():
            if holds:
                raise ConvertError(f"{kind} {node.name} {reason}")
        x, *rest = [str(name) for name in node.input]
        w, r, b, lengths, h, c, p = (rest + [""] * 7)[:7]
        if lengths:
            self.notes.append(f"the lengths that {kind} is given are left out: it reads all words")
        for state in (h, c):
            self._check_state(kind, state)
        cell = {"RNN": "rnn", "LSTM": "lstm-peephole" if p else "lstm"}.get(kind, "gru")
        if kind == "GRU" and not given.get("linear_before_reset", 0):
            cell = "gru-reset-before"
        self.cells.append(cell)
        self.layers.append(self._layer(kind, cell, given.get("hidden_size", 0), w, r, b, p))
        return x

    def _layer(self, kind: str, cell: str, size: int, w: str, r: str, b: str, p: str) -> Layer:
        """The weights of one layer, gates in our order, after their shapes have been checked."""
        theirs, ours = ONNX[kind.lower()], CELLS[cell].stacked
        rows = len(ours) * size
        arrays = {name: self.file.constant(name) for name in (w, r, b, p) if name}
        if any(array is None for array in arrays.values()):
            raise ConvertError(f"the weights of {kind} are not constants")
        given = {name: array for name, array in arrays.items() if array is not None}
        width = given[w].shape[-1] if w in given else 0
        shapes = {w: (1, rows, width), r: (1, rows, size), b: (1, 2 * rows), p: (1, 3 * size)}
        for name, array in given.items():
            if array.shape != shapes[name] or 0 in array.shape:
                raise ConvertError(f"{kind}: {name} has shape {list(array.shape)}")
        if w not in given or r not in given:
            raise ConvertError(f"{kind} lacks its weights")
        bias = given[b][0] if b else np.zeros(2 * rows, np.float32)
        layer = {
            "weight_ih": restack(given[w][0], theirs, ours),
            "weight_hh": restack(given[r][0], theirs, ours),
            "bias_ih": restack(bias[:rows], theirs, ours),
            "bias_hh": restack(bias[rows:], theirs, ours),
        }
        if p:
            layer["weight_ch"] = restack(given[p][0], ONNX["peephole"], ("i", "f", "o"))
        reader = self._width()
        if reader not in (None, size):
            raise ConvertError(f"{kind} has {size} units where {reader} are read")
        return layer

    def _check_state(self, kind: str, name: str) -> None:
        """The state before the first word must be zero, or the caller's."""
        for _ in range(len(self.file.graph.node) + 1):
            if not name or name in self.file.inputs:
                return
            array = self.file.constant(name)
            found = self.file.producer(name)
            if array is not None:
                if array.any():
                    break
                return
            if found is None:
                break
            if found[0].op_type == "ConstantOfShape":
                value = attributes(found[0]).get("value")
                if value is not None and (any(value.float_data) or any(value.raw_data)):
                    break
                return
            if not found[0].input:
                break
            name = str(found[0].input[0])
        raise ConvertError(f"{kind} begins with a state that is not zero, which Carousel has not")

    def _find_ids(self, name: str) -> None:
        """The embedding must read the graph's own input."""
        while (found := self.file.producer(name)) is not None:
            if found[0].op_type not in (*SHAPE_OPERATORS, "Transpose"):
                raise ConvertError(f"{found[0].op_type} changes the ids before the embedding")
            name = str(found[0].input[0])
        if name not in self.file.inputs:
            raise ConvertError("the embedding reads no input of the graph")

    def _adaptive(self, node: Any) -> str:
        """An adaptive softmax as Carousel writes it: words of the head, then of each cluster."""
        head_part, *clusters = [str(name) for name in node.input]
        hidden, tails = set(), []
        for name in clusters:
            add = self._made_by(name, "Add")
            softmax = self._made_by(add.input[0], "LogSoftmax")
            outer = self._made_by(softmax.input[0], "MatMul")
            inner = self._made_by(outer.input[0], "MatMul")
            matrices = [self.file.constant(product.input[1]) for product in (inner, outer)]
            if any(matrix is None or matrix.ndim != 2 for matrix in matrices):
                raise _NotLogitsError("a cluster of words has no constant weights")
            tails.append((matrices[0].T, matrices[1].T))  # type: ignore[union-attr]
            hidden.add(str(inner.input[0]))
        split = self._made_by(head_part, "Split")
        softmax = self._made_by(split.input[0], "LogSoftmax")
        add = self._made_by(softmax.input[0], "Add")
        product = self._made_by(add.input[0], "MatMul")
        weight, bias = self.file.constant(product.input[1]), self.file.constant(add.input[1])
        hidden.add(str(product.input[0]))
        if weight is None or bias is None or weight.ndim != 2 or len(hidden) != 1 or not tails:
            raise _NotLogitsError("a Concat is no adaptive softmax of Carousel's")
        adaptive = Adaptive(weight.T, bias, tuple(tails))
        parts = self.file.constant(split.input[1]) if len(split.input) > 1 else None
        expected = [adaptive.head_words, *[1] * len(tails)]
        if parts is None or parts.tolist() != expected or bias.shape != (len(adaptive.head),):
            raise ConvertError("the parts of the adaptive softmax are not as large as they say")
        self.adaptive = adaptive
        return hidden.pop()

    def _made_by(self, name: str, kind: str) -> Any:
        found = self.file.producer(name)
        if found is None or found[0].op_type != kind:
            raise _NotLogitsError("a Concat is no adaptive softmax of Carousel's")
        return found[0]
