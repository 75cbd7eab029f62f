"""ONNX's RNN, GRU and LSTM nodes, run on Carousel's cells or by its engine."""

import numpy as np
from onnx import helper, numpy_helper

from carousel.cells import CELLS, GRU, LSTM, RNN, HiddenState, LSTMState, Weights
from carousel.convert.gate_order import ONNX, restack
from carousel.engine.decoder import Decoder
from carousel.storage.config import Config
from carousel.unroll import unroll


def run_node(model, inputs, run=unroll):
    """The node's outputs by position, for the inputs (arrays or None) in the node's order.

    ``run(cell, [weights], words, state)`` reads one sequence, as ``unroll`` does.
    """
    (node,) = model.graph.node
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    named = dict(
        zip(("X", "W", "R", "B", "lens", "h", "c", "P"), [*inputs, *[None] * 8], strict=False)
    )
    if node.op_type != "LSTM":
        named["c"] = named["P"] = None
    x = named["X"]
    batchwise = attributes.get("layout", 0) == 1
    if batchwise:
        x = x.swapaxes(0, 1)
        for key in ("h", "c"):
            named[key] = None if named[key] is None else named[key].swapaxes(0, 1)
    T, B, _ = x.shape
    H = attributes["hidden_size"]
    directions = named["W"].shape[0]
    lengths = named["lens"] if named["lens"] is not None else np.full(B, T)
    y = np.zeros((T, directions, B, H), x.dtype)
    last = {"h": np.zeros((directions, B, H), x.dtype), "c": np.zeros((directions, B, H), x.dtype)}
    for d in range(directions):
        backward = d == 1 or attributes.get("direction", b"forward") == b"reverse"
        cell, weights = _layer(node.op_type, attributes, named, d, H)
        for b in range(B):
            n = int(lengths[b])
            words = x[:n, b : b + 1]
            parts = [
                np.zeros((1, 1, H), x.dtype) if named[k] is None else named[k][None, d, b : b + 1]
                for k in cell.states
            ]
            state = (LSTMState if node.op_type == "LSTM" else HiddenState)(*parts)
            out, state = run(cell, [weights], words[::-1] if backward else words, state)
            y[:n, d, b] = (out[::-1] if backward else out)[:, 0]
            for key, part in zip(cell.states, state, strict=True):
                last[key][d, b] = part[0, 0]
    if batchwise:
        y = y.transpose(2, 0, 1, 3)
        last = {key: part.swapaxes(0, 1) for key, part in last.items()}
    return {"Y": y, "Y_h": last["h"], "Y_c": last["c"]}


def run_engine(isa):
    """``unroll`` of one layer by the engine: the vectors are its embedding, and it reads them."""

    def run(cell, weights, x, state):
        T, _, E = x.shape
        H = state.h.shape[-1]
        config = Config(
            cell=next(name for name, known in CELLS.items() if known == cell),
            vocab_size=max(T, 1), embedding_size=E, hidden_size=H, layers=1, tied=False,
        )  # fmt: skip
        given = {f"layers.0.{k}": w for k, w in weights[0]._asdict().items() if w is not None}
        table = np.zeros((max(T, 1), E), np.float32)
        table[:T] = x[:, 0]
        given["embedding.weight"] = table
        given["decoder.weight"] = np.zeros((max(T, 1), H), np.float32)
        given["decoder.bias"] = np.zeros(max(T, 1), np.float32)
        decoder = Decoder(config, given, isa=isa)
        out, after = decoder.read(np.arange(T), decoder.pack(state))
        return out, decoder.unpack(after)

    return run


def _layer(kind, attributes, named, d, H):
    theirs, ours = ONNX[kind.lower()], CELLS[kind.lower()].stacked
    w, r = (restack(named[name][d], theirs, ours) for name in "WR")
    bias = named["B"][d] if named["B"] is not None else np.zeros(2 * len(ours) * H, w.dtype)
    b_w, b_r = (restack(half, theirs, ours) for half in np.split(bias, 2))
    if kind == "RNN":
        return RNN(), Weights(w, r, b_w, b_r)
    if kind == "GRU":
        after = bool(attributes.get("linear_before_reset", 0))
        return GRU(reset_after=after), Weights(w, r, b_w, b_r)
    assert not attributes.get("input_forget", 0)
    peep = named["P"]
    if peep is not None:
        peep = restack(peep[d], ONNX["peephole"], ("i", "f", "o"))
    return LSTM(peephole=peep is not None), Weights(w, r, b_w, b_r, peep)


def load_data_set(pair):
    """Inputs and expected outputs of a test case, as arrays."""

    def array(value):
        return value if isinstance(value, np.ndarray) else numpy_helper.to_array(value)

    inputs, outputs = pair
    return [array(v) for v in inputs], [array(v) for v in outputs]
