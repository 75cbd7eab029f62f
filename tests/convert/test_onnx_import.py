"""ONNX graphs of others and of our own, taken over; what is no such graph is refused."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from carousel.convert.onnx import export_onnx
from carousel.convert.onnx_import import import_onnx
from carousel.errors import CarouselError
from convert.variants import VARIANTS, make_variant

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

VOCAB = ["<unk>", "<eos>", "the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran"]
V, E, H = len(VOCAB), 5, 6
IDS = np.array([[1, 4, 3, 10], [2, 5, 9, 1]])
"""``[B, T]``"""


def our_logits(model, ids=IDS):
    reading = model.model.read(ids.T, model.model.initial_state(len(ids)))
    return model.model.logits(reading.hidden).swapaxes(0, 1)


@pytest.mark.parametrize(("cell", "layers", "decoder"), VARIANTS)
def test_our_own_graphs_come_back(cell, layers, decoder, make_model, tmp_path):
    model = make_variant(make_model, cell, layers, decoder)
    model.save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    back, _ = import_onnx(tmp_path / "m.onnx", None, tmp_path / "back")
    assert back.tokenizer.to_json() == model.tokenizer.to_json()
    config, given = back.config, model.config
    # Coupled gates are exported as an LSTM, a tied adaptive softmax as one that is not.
    assert config.cell == given.cell.replace("cifg", "lstm")
    assert config.tied == (given.tied and not given.cutoffs)
    assert (config.layers, config.cutoffs) == (given.layers, given.cutoffs)
    np.testing.assert_allclose(our_logits(back), our_logits(model), rtol=0, atol=1e-5)


class Model(nn.Module):
    """A PyTorch model whose logits come of all positions, the last one, or the last state."""

    def __init__(self, kind, read, layers=2, batch_first=True, **more):
        super().__init__()
        self.kind, self.read = kind, read
        self.embedding = nn.Embedding(V, E)
        self.rnn = getattr(nn, kind)(E, H, layers, batch_first=batch_first, **more)
        self.drop, self.middle = nn.Dropout(0.1), nn.Linear(H, 4)
        self.decoder = nn.Linear(4, V)

    def forward(self, ids, *state):
        given = (state if self.kind == "LSTM" else state[0]) if state else None
        y, after = self.rnn(self.embedding(ids), given)
        if self.read == "last":
            y = y[:, -1]
        elif self.read == "state":
            y = (after[0] if self.kind == "LSTM" else after)[-1]
        logits = self.decoder(self.middle(self.drop(y)))
        if self.read == "softmax":
            return torch.softmax(logits, -1)
        return (logits, after) if state else logits


def export(model, path, state=(), dynamo=False):
    ids = torch.tensor(IDS if model.rnn.batch_first else IDS.T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own
        if dynamo:
            torch.onnx.export(model.eval(), (ids, *state), path, dynamo=True, verbose=False)
        else:
            axes = {"ids": {0: "B", 1: "T"}}
            torch.onnx.export(
                model.eval(), (ids, *state), path, dynamo=False, input_names=["ids"],
                dynamic_axes=axes,
            )  # fmt: skip


def check(model, path, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB))
    ours, notes = import_onnx(path, tmp_path / "vocab.txt", tmp_path / "out", force=True)
    read, model.read = model.read, "all"
    with torch.no_grad():
        ids = torch.tensor(IDS if model.rnn.batch_first else IDS.T)
        expected = model(ids).numpy()
    model.read = read
    expected = expected if model.rnn.batch_first else expected.swapaxes(0, 1)
    np.testing.assert_allclose(our_logits(ours), expected, rtol=0, atol=1e-5)
    return ours, notes


@pytest.mark.parametrize("read", ["all", "last", "state", "softmax"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_pytorchs_exporter(kind, read, tmp_path):
    torch.manual_seed(0)
    model = Model(kind, read)
    export(model, tmp_path / "m.onnx")
    ours, _ = check(model, tmp_path / "m.onnx", tmp_path)
    assert (ours.config.cell, ours.config.layers) == (kind.lower(), 2)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_pytorchs_exporter_with_the_state_given(kind, tmp_path):
    model = Model(kind, "all", batch_first=False, bias=False)
    state = (torch.zeros(2, len(IDS), H),) * (2 if kind == "LSTM" else 1)
    export(model, tmp_path / "m.onnx", state)
    check(model, tmp_path / "m.onnx", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("read", ["all", "last", "state", "softmax"])
def test_pytorchs_newer_exporter(kind, read, tmp_path):
    pytest.importorskip("onnxscript")
    model = Model(kind, read)
    export(model, tmp_path / "m.onnx", dynamo=True)
    check(model, tmp_path / "m.onnx", tmp_path)


def test_pytorchs_newer_exporter_writes_an_rnn_out(tmp_path):
    pytest.importorskip("onnxscript")
    export(Model("RNN", "all"), tmp_path / "m.onnx", dynamo=True)
    refused(tmp_path / "m.onnx", tmp_path, "dynamo=False")


def refused(path, tmp_path, *said):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB))
    with pytest.raises(CarouselError) as caught:
        import_onnx(path, tmp_path / "vocab.txt", tmp_path / "out")
    for part in said:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("how", [{"gates": True}, {"dtype": "int8"}])
def test_graphs_with_gates_or_in_int8_are_refused(cell, how, make_model, tmp_path):
    make_model(cell).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx", **how)
    refused(tmp_path / "m.onnx", tmp_path, "quantized" if "dtype" in how else "without gates")


# A graph in parts, as tf2onnx makes one of Keras's Embedding, LSTM and Dense: batch first, the
# ids cast from float, the layer's output turned and squeezed, the product of the Dense layer on
# flat rows.


def keras_graph(kind="LSTM", more=(), last="probabilities", **changes):
    rng = np.random.default_rng(1)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    arrays = {
        "table": rng.normal(size=(V, E)),
        "W": rng.normal(size=(1, gates * H, E)),
        "R": rng.normal(size=(1, gates * H, H)),
        "B": rng.normal(size=(1, 2 * gates * H)),
        "kernel": rng.normal(size=(H, V)),
        "bias": rng.normal(size=V),
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    arrays["axis"], arrays["flat"] = np.array([1]), np.array([-1, H])
    arrays |= changes.pop("arrays", {})
    attributes = {"hidden_size": H} | changes.pop("attributes", {})
    nodes = [
        ("Cast", ["ids"], ["whole"], {"to": TensorProto.INT32}),
        ("Gather", ["table", "whole"], ["x"], {}),
        ("Transpose", ["x"], ["x_t"], {"perm": [1, 0, 2]}),
        (kind, ["x_t", "W", "R", "B"], ["y"], attributes),
        ("Squeeze", ["y", "axis"], ["y_s"], {}),
        ("Transpose", ["y_s"], ["y_t"], {"perm": [1, 0, 2]}),
        ("Reshape", ["y_t", "flat"], ["rows"], {}),
        ("MatMul", ["rows", "kernel"], ["product"], {}),
        ("Add", ["product", "bias"], ["logits"], {}),
        ("Softmax", ["logits"], ["probabilities"], {"axis": -1}),
    ]
    nodes = [changes.get(node[2][0], node) for node in nodes] + list(more)
    graph = helper.make_graph(
        [helper.make_node(kind, *parts, **given) for kind, *parts, given in nodes if kind],
        "tf2onnx",
        [helper.make_tensor_value_info("ids", TensorProto.FLOAT, ["B", "T"])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_graph_as_keras_models_become(kind, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    model = keras_graph(kind)
    onnx.save(model, tmp_path / "m.onnx")
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB))
    ours, _ = import_onnx(tmp_path / "m.onnx", tmp_path / "vocab.txt", tmp_path / "out")
    assert ours.config.cell == {"GRU": "gru-reset-before"}.get(kind, kind.lower())
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"ids": IDS.astype(np.float32)})
    logits = our_logits(ours).reshape(-1, V)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(1, keepdims=True), expected, atol=1e-5)


def f(*shape, value=0.5):
    return np.full(shape, value, np.float32)


NOT_OURS = {
    "a nonlinearity": ({"logits": ("Relu", ["product"], ["logits"], {})}, "Relu"),
    "a residual": ({"logits": ("Add", ["product", "product"], ["logits"], {})}, "something else"),
    "turned units": (
        {"y_t": ("Transpose", ["y_s"], ["y_t"], {"perm": [0, 2, 1]})}, "moves the units"),
    "rows of another size": ({"arrays": {"flat": np.array([-1, 3])}}, "rows of 3 units"),
    "both ways": ({"attributes": {"direction": "bidirectional"}}, "bidirectional"),
    "backward": ({"attributes": {"direction": "reverse"}}, "reads the words to be predicted"),
    "other activations": (
        {"attributes": {"activations": ["HardSigmoid", "Tanh", "Tanh"]}}, "hardsigmoid"),
    "clipped": ({"attributes": {"clip": 3.0}}, "clips its gates"),
    "coupled": ({"attributes": {"input_forget": 1}}, "input_forget"),
    "batch first": ({"attributes": {"layout": 1}}, "layout 1"),
    "a first state": (
        {"y": ("LSTM", ["x_t", "W", "R", "B", "", "h", "h"], ["y"], {"hidden_size": H}),
         "arrays": {"h": f(1, 1, H)}}, "a state that is not zero"),
    "units that lie": ({"attributes": {"hidden_size": 10**9}}, "has shape"),
    "weights of another shape": ({"arrays": {"R": f(1, 4 * H, H + 1)}}, "R has shape"),
    "no weights": ({"arrays": {"W": f(1, 0, E)}}, "has shape"),
    "a decoder of other width": ({"arrays": {"kernel": f(H + 1, V)}}, "rows of 6 units"),
    "a decoder of other rows": (
        {"arrays": {"kernel": f(H, V + 1), "bias": f(V + 1)}}, "the decoder has 12 rows"),
    "an embedding of other rows": ({"arrays": {"table": f(V + 1, E)}}, "embedding has 12 rows"),
    "an embedding of other width": ({"arrays": {"table": f(V, E + 1)}}, "not a table of 5"),
    "not finite": ({"arrays": {"bias": f(V, value=np.nan)}}, "bias holds a value that is not"),
    "whole numbers": ({"arrays": {"kernel": np.ones((H, V), np.int8)}}, "no tensor of floats"),
    "ids that are changed": (
        {"whole": ("Add", ["ids", "ids"], ["whole"], {})}, "Add changes the ids"),
    "no embedding": ({"x": ("Identity", ["whole"], ["x"], {})}, "no embedding behind it"),
    "no layers": ({"y_t": ("Identity", ["x"], ["y_t"], {})}, "no RNN, GRU or LSTM between"),
    "no operator": ({"y": ("Identity", ["x_t"], ["y"], {})}, "no RNN, GRU or LSTM operator"),
    "a middle position": (
        {"rows": ("Gather", ["y_t", "axis"], ["rows"], {"axis": 1})}, "another position"),
    "a circle": ({"x_t": ("Identity", ["y_s"], ["x_t"], {})}, ""),
    "a softmax over time": (
        {"probabilities": ("Softmax", ["logits"], ["probabilities"], {"axis": 0})}, "not over"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), NOT_OURS.values(), ids=NOT_OURS)
def test_graphs_that_are_not_our_models(changes, said, tmp_path):
    (tmp_path / "m.onnx").write_bytes(keras_graph(**changes).SerializeToString())
    refused(tmp_path / "m.onnx", tmp_path, "m.onnx", said)


def changed(change):
    model = keras_graph()
    change({tensor.name: tensor for tensor in model.graph.initializer})
    return model.SerializeToString()


def claim(tensors):
    tensors["table"].dims[0] = 10**12


def negative(tensors):
    tensors["table"].dims[:] = [-V, -E]


def overlong(tensors):
    tensors["table"].raw_data = tensors["table"].raw_data + bytes(4)


FILES = {
    "empty": (b"", "is not an ONNX graph"),
    "text": (b"hello there, this is no graph", "is not an ONNX graph"),
    "cut short": (keras_graph().SerializeToString()[:-40], "is not an ONNX graph"),
    "a claim of a terabyte": (changed(claim), "holds another size"),
    "a negative size": (changed(negative), "negative size"),
    "more than its size": (changed(overlong), "holds another size"),
    "a million empty nodes": (
        b"\x3a" + b"\x80\x89\x7a" + b"\x0a\x00" * 1_000_000, "more nodes and names"),
    "nested without end": (b"\x3a\x80\x80\x08" * 40, "is not an ONNX graph"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "said"), FILES.values(), ids=FILES)
def test_files_that_lie(data, said, tmp_path):
    (tmp_path / "m.onnx").write_bytes(data)
    refused(tmp_path / "m.onnx", tmp_path, "m.onnx", said)


def test_every_cut_of_a_file_is_one_line(tmp_path):
    whole = keras_graph().SerializeToString()
    for size in range(0, len(whole) - 1, 211):
        (tmp_path / "m.onnx").write_bytes(whole[:size])
        refused(tmp_path / "m.onnx", tmp_path, "m.onnx")


def with_external(tmp_path, location="weights.bin", **entries):
    """A graph whose decoder lies beside it."""
    model = keras_graph()
    (tensor,) = [t for t in model.graph.initializer if t.name == "kernel"]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    return data


def test_weights_beside_the_graph(tmp_path):
    data = with_external(tmp_path, offset=8, length=4 * H * V)
    (tmp_path / "weights.bin").write_bytes(bytes(8) + data)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB))
    ours, _ = import_onnx(tmp_path / "m.onnx", tmp_path / "vocab.txt", tmp_path / "out")
    expected = np.frombuffer(data, np.float32).reshape(H, V).T
    np.testing.assert_array_equal(ours.model.weights["decoder.weight"], expected)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link", "", "none", "folder"])
def test_weights_outside_the_folder_are_refused(location, tmp_path):
    place = tmp_path / "inner"
    (place / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(4 * H * V))
    (place / "link").symlink_to(tmp_path / "secret")
    with_external(place, location)
    refused(place / "m.onnx", place, "which is no file in the graph's folder")


@pytest.mark.parametrize(
    "entries", [{"offset": 10**15}, {"offset": -4}, {"length": 10**15}, {"offset": "x"}]
)
def test_weights_beside_the_graph_that_lie(entries, tmp_path):
    data = with_external(tmp_path, **entries)
    (tmp_path / "weights.bin").write_bytes(data)
    refused(tmp_path / "m.onnx", tmp_path, "kernel")


def test_a_vocabulary_is_asked_for(tmp_path):
    onnx.save(keras_graph(), tmp_path / "m.onnx")
    with pytest.raises(CarouselError, match="holds no vocabulary: name a file with --vocab"):
        import_onnx(tmp_path / "m.onnx", None, tmp_path / "out")
