"""Models as ONNX graphs, for ONNX Runtime and others."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from carousel.adaptive_softmax import clusters
from carousel.cells import CELLS
from carousel.convert.foreign_file import check_replaceable_file
from carousel.convert.onnx_graph import IR_VERSION, OPSET, GraphBuilder, value
from carousel.convert.onnx_layers import CARRIED, add_fused_layer, add_open_layer
from carousel.errors import ConvertError
from carousel.storage.atomic import write_file
from carousel.storage.config import LINE_END_ID, Config
from carousel.storage.model_folder import read_folder
from carousel.storage.number_formats import to_float32
from carousel.storage.untie import untie

TOKENIZER_KEY = "tokenizer.json"
"""Under this key of the graph's metadata lies the model's tokenizer."""
MAX_BYTES = 2**31 - 1
"""The most that a file of Protocol Buffers may hold."""


def export_onnx(
    folder: str | Path,
    out: str | Path,
    *,
    gates: bool = False,
    dtype: Literal["float32", "int8"] = "float32",
    top_k: int | None = None,
    force: bool = False,
) -> None:
    """Write a model folder's model as an ONNX graph.

    The graph's inputs are ``tokens [T, B]`` of int64 and the state, ``h [L, B, H]`` and for LSTMs
    ``c [L, B, H]``. Its outputs are ``logits [T, B, V]`` (log-probabilities where the model has an
    adaptive softmax) and the state after the last token, ``h_out`` and ``c_out``. ``T`` and ``B``
    may have any length. All cells are represented exactly: coupled gates by
    ``σ(-a) = 1 - σ(a)``. Where each line is a text of its own, the graph sets the state to zero
    before each end of a line. The tokenizer lies in the metadata as ``tokenizer.json``.

    Args:
        folder: the model folder; matrices in fewer bits are widened.
        out: the ``.onnx`` file to write.
        gates: give every gate and state, too, ``[T, B, H]`` each, by its name in traces such as
            ``layers.0.f``. The layers are plain operators in a Scan then, and not one operator
            each. So they also are where each line is a text of its own.
        dtype: ``float32``, or ``int8`` for weights that ONNX Runtime's own tools quantize.
        top_k: give ``ids`` and ``log_probs``, ``[T, B, top_k]``, instead of ``logits``.
        force: replace a file that is there.

    Raises:
        ConvertError: a package is not installed, or the model is over 2 GiB.
        FolderError: the folder can't be read, or ``out`` can't be written or is there.

    ::

        export_onnx("models/notes", "notes.onnx", gates=True)
    """
    if dtype not in ("float32", "int8"):
        raise ConvertError(f"a graph is float32 or int8, not {dtype!r}")
    for package in ("onnx", *(["onnxruntime"] if dtype == "int8" else [])):
        if find_spec(package) is None:
            raise ConvertError(
                f"this format needs the package {package}: pip install 'carousel-lstm[onnx]'"
            )
    out = Path(out)
    check_replaceable_file(out, force=force)
    content = read_folder(folder)
    config = content.config
    if 4 * config.parameters > MAX_BYTES:
        raise ConvertError(f"{folder} has {config.parameters:,} parameters: more than ONNX holds")
    weights = {
        name: to_float32(weight) for name, weight in untie(content.weights, config.cutoffs).items()
    }
    # The tools quantize MatMul, Gather and LSTM: other cells are made of MatMul for them. No
    # operator of a whole layer sets its state to zero on the way.
    is_lstm = "c" in CELLS[config.cell].states
    is_open = gates or not config.carry_state or (dtype == "int8" and not is_lstm)
    graph = GraphBuilder()
    hidden = _add_layers(graph, config, weights, is_open=is_open)
    logits = _add_decoder(graph, config, weights, hidden)
    if top_k is not None:
        top_k = min(top_k, config.vocab_size)
        _add_top_k(graph, logits, top_k)
    model = _to_model(graph, config, top_k, gates=gates)
    model.metadata_props.add(key=TOKENIZER_KEY, value=content.tokenizer.to_json())
    if dtype == "int8":
        model = _quantize(model)
    import onnx

    onnx.checker.check_model(model)
    write_file(out, model.SerializeToString())


def _to_model(graph: GraphBuilder, config: Config, top_k: int | None, *, gates: bool) -> Any:
    """The finished model with its inputs and outputs."""
    from onnx import helper

    cell = CELLS[config.cell]
    state_shape: list[int | str | None] = [config.layers, "B", config.hidden_size]
    if top_k is None:
        answers = [value("logits", ["T", "B", config.vocab_size])]
    else:
        answers = [
            value("ids", ["T", "B", top_k], whole=True),
            value("log_probs", ["T", "B", top_k]),
        ]
    points = [
        value(f"layers.{layer}.{name}", ["T", "B", config.hidden_size])
        for layer in range(config.layers if gates else 0)
        for name in dict.fromkeys((*cell.gates, *cell.states))
    ]
    finished = graph.to_graph(
        "carousel",
        [
            value("tokens", ["T", "B"], whole=True),
            *(value(name, state_shape) for name in cell.states),
        ],
        [*answers, *(value(f"{name}_out", state_shape) for name in cell.states), *points],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        finished, producer_name="carousel", opset_imports=[opset], ir_version=IR_VERSION
    )


def _quantize(model: Any) -> Any:
    """The model with int8 weights, by ONNX Runtime's dynamic quantization."""
    import logging

    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        float_path, int8_path = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, float_path)
        logging.disable(logging.WARNING)  # it advises to optimize graphs that have no such parts
        try:
            quantize_dynamic(
                float_path,
                int8_path,
                op_types_to_quantize=["MatMul", "Gather", "LSTM"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"EnableSubgraph": True},
            )
        finally:
            logging.disable(logging.NOTSET)
        return onnx.load(int8_path)


def _add_layers(
    graph: GraphBuilder, config: Config, weights: Mapping[str, np.ndarray], *, is_open: bool
) -> str:
    """From ``tokens`` to what the last layer gives, ``[T, B, H]``."""
    cell, layers = CELLS[config.cell], config.layers
    graph.constant("one_each", [1] * layers)
    for state in cell.states:
        parts = [f"{state}{layer}" for layer in range(layers)]
        graph.add("Split", [state, "one_each"], parts, axis=0)
    embedding = graph.constant("embedding", weights["embedding.weight"])
    hidden = graph.add("Gather", [embedding, "tokens"], ["x0"])
    if not config.carry_state:
        _add_line_starts(graph)
    add_layer = add_open_layer if is_open else add_fused_layer
    for layer in range(layers):
        states = [f"{name}{layer}" for name in cell.states]
        hidden = add_layer(graph, config, weights, layer, hidden, states)
    for state_name in cell.states:
        parts = [f"{state_name}{layer}_out" for layer in range(layers)]
        graph.add("Concat", parts, [f"{state_name}_out"], axis=0)
    return hidden


def _add_line_starts(graph: GraphBuilder) -> None:
    """``carried [T, B, 1]``: 0 for tokens that end a line, and 1 for all others."""
    from onnx import TensorProto

    graph.constant("end_of_line", [LINE_END_ID])
    graph.constant("last", [-1])
    ends = graph.add("Equal", ["tokens", "end_of_line"], ["ends"])
    goes_on = graph.add("Not", [ends], ["goes_on"])
    numbers = graph.add("Cast", [goes_on], ["goes_on_as_number"], to=TensorProto.FLOAT)
    graph.add("Unsqueeze", [numbers, "last"], [CARRIED])


def _add_decoder(
    graph: GraphBuilder, config: Config, weights: Mapping[str, np.ndarray], hidden: str
) -> str:
    """From the last layer's ``[T, B, H]`` to ``logits [T, B, V]``."""
    if config.projection_size:
        matrix = graph.constant("projection", weights["projection.weight"].T)
        hidden = graph.linear(hidden, matrix, None, "projected")
    if config.cutoffs:
        return _add_adaptive_softmax(graph, config, weights, hidden)
    name = "embedding.weight" if config.tied else "decoder.weight"
    matrix = graph.constant("decoder", weights[name].T)
    bias = graph.constant("decoder_bias", weights["decoder.bias"])
    return graph.linear(hidden, matrix, bias, "logits")


def _add_adaptive_softmax(
    graph: GraphBuilder, config: Config, weights: Mapping[str, np.ndarray], hidden: str
) -> str:
    """``log p``: the head's words as they are, a cluster's words by the cluster's probability."""
    matrix = graph.constant("head", weights["decoder.head.weight"].T)
    bias = graph.constant("head_bias", weights["decoder.head.bias"])
    scores = graph.linear(hidden, matrix, bias, "head_scores")
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
            x = graph.linear(x, matrix, None, f"tail{number}_{half}_x")
        tail = graph.add("LogSoftmax", [x], [f"tail{number}"], axis=-1)
        log_probs.append(graph.add("Add", [tail, f"cluster{number}"], [f"log_probs{number}"]))
    return graph.add("Concat", log_probs, ["logits"], axis=-1)


def _add_top_k(graph: GraphBuilder, logits: str, k: int) -> None:
    """The best tokens' ``ids`` and ``log_probs``: no softmax is made of the others."""
    graph.constant("k", [k])
    graph.constant("last_axis", [-1])
    graph.add("TopK", [logits, "k"], ["best", "ids"], axis=-1)
    graph.add("ReduceLogSumExp", [logits, "last_axis"], ["normalizer"], keepdims=1)
    graph.add("Sub", ["best", "normalizer"], ["log_probs"])
