"""Models as ONNX graphs, for ONNX Runtime and others."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from carousel.adaptive_softmax import clusters
from carousel.cells import CELLS, GRU, LSTM
from carousel.convert.gate_order import ONNX, restack
from carousel.errors import ConvertError, FolderError
from carousel.storage.atomic import write_file
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder
from carousel.storage.number_formats import to_float32
from carousel.storage.untie import untie

OPSET = 18
IR_VERSION = 9
MAX_BYTES = 2**31 - 1
"""The most that a file of Protocol Buffers may hold."""


def export_onnx(
    folder: str | Path, out: str | Path, *, top_k: int | None = None, force: bool = False
) -> None:
    """Write a model folder's model as an ONNX graph, in float32.

    The graph's inputs are ``tokens [T, B]`` of int64 and the state, ``h [L, B, H]`` and for LSTMs
    ``c [L, B, H]``. Its outputs are ``logits [T, B, V]`` (log-probabilities where the model has an
    adaptive softmax) and the state after the last token, ``h_out`` and ``c_out``. All cells are
    represented exactly: coupled gates by ``σ(-a) = 1 - σ(a)``.

    Args:
        folder: the model folder; matrices in fewer bits are widened.
        out: the ``.onnx`` file to write.
        top_k: give ``ids`` and ``log_probs``, ``[T, B, top_k]``, instead of ``logits``.
        force: replace a file that is there.

    Raises:
        ConvertError: the package ``onnx`` is not installed, or the model is over 2 GiB.
        FolderError: the folder can't be read, or ``out`` can't be written or is there.
    """
    if find_spec("onnx") is None:
        raise ConvertError(
            "only the package onnx writes this format: pip install 'carousel-lstm[onnx]'"
        )
    import onnx

    out = Path(out)
    if out.exists() and not force:
        raise FolderError(f"{out} exists and is kept: choose another name, or use --force")
    config, stored = read_folder(folder)[1:3]
    if 4 * config.parameters > MAX_BYTES:
        raise ConvertError(f"{folder} has {config.parameters:,} parameters: more than ONNX holds")
    weights = {name: to_float32(weight) for name, weight in untie(stored, config.cutoffs).items()}
    graph = _Graph()
    hidden = _add_layers(graph, config, weights)
    logits = _add_decoder(graph, config, weights, hidden)
    if top_k is not None:
        _add_top_k(graph, logits, min(top_k, config.vocab_size))
    model = graph.to_model(config, top_k)
    onnx.checker.check_model(model)
    write_file(out, model.SerializeToString())


class _Graph:
    """Nodes and constants of a graph that is being made."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, values: np.ndarray | Sequence[int]) -> str:
        """Keep an array, whole numbers as int64, and return its name."""
        array = np.asarray(values)
        self.constants[name] = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        return name

    def add(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> str:
        """Add a node and return the name of its first output."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))
        return outputs[0]

    def to_model(self, config: Config, top_k: int | None) -> Any:
        """The finished model."""
        from onnx import TensorProto, helper, numpy_helper

        states = CELLS[config.cell].states
        state_shape = [config.layers, "B", config.hidden_size]

        def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
            return helper.make_tensor_value_info(name, kind, shape)

        if top_k is None:
            answers = [value("logits", ["T", "B", config.vocab_size])]
        else:
            shape = ["T", "B", min(top_k, config.vocab_size)]
            answers = [value("ids", shape, TensorProto.INT64), value("log_probs", shape)]
        graph = helper.make_graph(
            self.nodes,
            "carousel",
            [
                value("tokens", ["T", "B"], TensorProto.INT64),
                *(value(name, state_shape) for name in states),
            ],
            [*answers, *(value(f"{name}_out", state_shape) for name in states)],
            [
                numpy_helper.from_array(np.ascontiguousarray(array), name)
                for name, array in self.constants.items()
            ],
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def _add_layers(graph: _Graph, config: Config, weights: dict[str, np.ndarray]) -> str:
    """From ``tokens`` to what the last layer gives, ``[T, B, H]``."""
    cell, layers, size = CELLS[config.cell], config.layers, config.hidden_size
    kind = "LSTM" if isinstance(cell, LSTM) else "GRU" if isinstance(cell, GRU) else "RNN"
    attributes = {"hidden_size": size}
    if isinstance(cell, GRU):
        attributes["linear_before_reset"] = int(cell.reset_after)
    graph.constant("axis_0", [0])
    graph.constant("axis_1", [1])
    graph.constant("one_each", [1] * layers)
    for state in cell.states:
        parts = [f"{state}{layer}" for layer in range(layers)]
        graph.add("Split", [state, "one_each"], parts, axis=0)
    embedding = graph.constant("embedding", weights["embedding.weight"])
    hidden = graph.add("Gather", [embedding, "tokens"], ["x0"])
    for layer in range(layers):
        names = _layer_weights(graph, config, weights, layer)
        states = [f"{name}{layer}" for name in cell.states]
        peepholes = [names[3]] if names[3] else []
        inputs = [hidden, *names[:3], "", *states, *peepholes]
        outputs = [f"y{layer}", *(f"{name}_out" for name in states)]
        graph.add(kind, inputs, outputs, **attributes)
        hidden = graph.add("Squeeze", [f"y{layer}", "axis_1"], [f"x{layer + 1}"])
    for state_name in cell.states:
        parts = [f"{state_name}{layer}_out" for layer in range(layers)]
        graph.add("Concat", parts, [f"{state_name}_out"], axis=0)
    return hidden


def _layer_weights(
    graph: _Graph, config: Config, weights: dict[str, np.ndarray], layer: int
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


def _add_decoder(graph: _Graph, config: Config, weights: dict[str, np.ndarray], hidden: str) -> str:
    """From the last layer's ``[T, B, H]`` to ``logits [T, B, V]``."""
    if config.projection_size:
        matrix = graph.constant("projection", weights["projection.weight"].T)
        hidden = graph.add("MatMul", [hidden, matrix], ["projected"])
    if config.cutoffs:
        return _add_adaptive_softmax(graph, config, weights, hidden)
    name = "embedding.weight" if config.tied else "decoder.weight"
    matrix = graph.constant("decoder", weights[name].T)
    bias = graph.constant("decoder_bias", weights["decoder.bias"])
    return graph.add("Add", [graph.add("MatMul", [hidden, matrix], ["scores"]), bias], ["logits"])


def _add_adaptive_softmax(
    graph: _Graph, config: Config, weights: dict[str, np.ndarray], hidden: str
) -> str:
    """``log p``: the head's words as they are, a cluster's words by the cluster's probability."""
    matrix = graph.constant("head", weights["decoder.head.weight"].T)
    bias = graph.constant("head_bias", weights["decoder.head.bias"])
    scores = graph.add("Add", [graph.add("MatMul", [hidden, matrix], ["head_x"]), bias], ["head_a"])
    graph.add("LogSoftmax", [scores], ["head_log_probs"], axis=-1)
    head_words = config.cutoffs[0]
    graph.constant("parts", [head_words, *[1] * len(config.cutoffs)])
    numbers = range(len(clusters(config.vocab_size, config.cutoffs)))
    parts = ["words", *(f"cluster{number}" for number in numbers)]
    graph.add("Split", ["head_log_probs", "parts"], parts, axis=-1)
    log_probs = ["words"]
    for number in numbers:
        x = hidden
        for half in (0, 1):
            name = f"decoder.tail.{number}.{half}.weight"
            matrix = graph.constant(f"tail{number}_{half}", weights[name].T)
            x = graph.add("MatMul", [x, matrix], [f"tail{number}_{half}_x"])
        tail = graph.add("LogSoftmax", [x], [f"tail{number}"], axis=-1)
        log_probs.append(graph.add("Add", [tail, f"cluster{number}"], [f"log_probs{number}"]))
    return graph.add("Concat", log_probs, ["logits"], axis=-1)


def _add_top_k(graph: _Graph, logits: str, k: int) -> None:
    """The best tokens' ``ids`` and ``log_probs``: no softmax is made of the others."""
    graph.constant("k", [k])
    graph.constant("last_axis", [-1])
    graph.add("TopK", [logits, "k"], ["best", "ids"], axis=-1)
    graph.add("ReduceLogSumExp", [logits, "last_axis"], ["normalizer"], keepdims=1)
    graph.add("Sub", ["best", "normalizer"], ["log_probs"])
