"""Exported graphs in ONNX Runtime: the same logits and states as the model itself."""

import numpy as np
import pytest

from carousel.cells import CELLS
from carousel.convert.onnx import export_onnx
from carousel.convert.registry import FORMATS, export_model, import_model
from carousel.errors import ConvertError, FolderError
from carousel.model import LanguageModel
from carousel.text.tokenizer import Tokenizer
from convert.variants import VARIANTS, make_variant
from trained_adaptive import train_adaptive

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run(path, tokens, state):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {"tokens": tokens, **dict(zip("hc", state, strict=False))}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def check(model, path, tokens, *, gates=False):
    """Two reads, one after the other, the second from a state that is not zero."""
    core = model.model
    state = core.initial_state(tokens.shape[1])
    shape = (model.config.layers, tokens.shape[1], model.config.hidden_size)
    theirs = [np.zeros(shape, np.float32) for _ in core.cell.states]
    points = [
        f"layers.{layer}.{name}"
        for layer in range(model.config.layers if gates else 0)
        for name in {*core.cell.gates, *core.cell.states}
    ]
    for part in (tokens, tokens[::-1].copy()):
        reading = core.read(part, state, points)
        state = reading.state
        outputs = run(path, part, theirs)
        theirs = [outputs.pop(f"{name}_out") for name in core.cell.states]
        ours = {"logits": core.logits(reading.hidden), **reading.values}
        assert outputs.keys() == ours.keys()
        for name, values in ours.items():
            assert outputs[name].shape == values.shape
            np.testing.assert_allclose(outputs[name], values, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("cell", "layers", "decoder"), VARIANTS)
def test_every_cell_depth_and_decoder(cell, layers, decoder, make_model, tmp_path):
    model = make_variant(make_model, cell, layers, decoder)
    model.save(tmp_path / "m")
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, (7, 3))
    for gates in (False, True):
        export_model("onnx", tmp_path / "m", tmp_path / "m.onnx", gates=gates, force=True)
        check(model, tmp_path / "m.onnx", tokens, gates=gates)
    # One graph for any length and any batch.
    check(model, tmp_path / "m.onnx", tokens[:1, :1], gates=True)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_each_line_may_be_a_text_of_its_own(cell, make_model, tmp_path):
    model = make_model(cell, layers=2, scale=0.5, carry_state=False)
    model.save(tmp_path / "m")
    tokens = np.array([[1, 5], [7, 9], [1, 3], [1, 1], [2, 8], [6, 1], [4, 4]])
    for gates in (False, True):
        export_onnx(tmp_path / "m", tmp_path / "m.onnx", gates=gates, force=True)
        check(model, tmp_path / "m.onnx", tokens, gates=gates)
    with pytest.raises(ConvertError, match="no RNN, GRU or LSTM operator"):
        import_model("onnx", tmp_path / "m.onnx", None, tmp_path / "back")


def operators(path):
    """The operators of a graph and of the bodies of its Scans."""
    graphs, found = [onnx.load(path).graph], []
    for graph in graphs:
        for node in graph.node:
            found.append(node.op_type)
            graphs += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return found


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_one_operator_a_layer_where_no_gate_is_asked_for(cell, make_model, tmp_path):
    make_model(cell, layers=2).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    kind = "RNN" if cell == "rnn" else "GRU" if cell.startswith("gru") else "LSTM"
    assert operators(tmp_path / "m.onnx").count(kind) == 2
    export_onnx(tmp_path / "m", tmp_path / "m.onnx", gates=True, force=True)
    assert operators(tmp_path / "m.onnx").count("Scan") == 2
    assert kind not in operators(tmp_path / "m.onnx")


@pytest.mark.parametrize("gates", [False, True])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_int8_by_onnx_runtimes_own_tools(cell, gates, make_model, tmp_path):
    model = make_model(cell, layers=2, scale=0.3, embedding_size=40, hidden_size=64)
    model.save(tmp_path / "m")
    sizes = {}
    for dtype in ("float32", "int8"):
        path = tmp_path / f"{dtype}.onnx"
        export_onnx(tmp_path / "m", path, dtype=dtype, gates=gates)
        # Without the tokenizer, which is of one size in both.
        proto = onnx.load(path)
        del proto.metadata_props[:]
        sizes[dtype] = proto.ByteSize()
    assert sizes["int8"] < 0.4 * sizes["float32"]
    found = operators(path)
    assert {"MatMulInteger", "DynamicQuantizeLSTM"} & set(found)
    assert not {"RNN", "GRU", "LSTM", "MatMul"} & set(found)
    with pytest.raises(ConvertError, match=r"is quantized .*: import the float32 graph"):
        import_model("onnx", path, None, tmp_path / "back")
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, (9, 2))
    zeros = [np.zeros((2, 2, 64), np.float32) for _ in model.model.cell.states]
    outputs = run(path, tokens, zeros)
    reading = model.model.read(tokens, model.model.initial_state(2))
    ours = model.model.logits(reading.hidden)
    # A share of what the logits themselves vary by.
    assert np.sqrt(np.mean((outputs["logits"] - ours) ** 2)) < 0.1 * ours.std()


def test_the_tokenizer_lies_in_the_metadata(make_model, tmp_path):
    model = make_model()
    model.save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx", dtype="int8")
    entries = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert Tokenizer.from_json(entries["tokenizer.json"]).tokens() == model.tokenizer.tokens()


@pytest.mark.parametrize("cell", ["gru", "cifg-peephole"])
@pytest.mark.parametrize("sizes", [{"biases": False}, {"projection_size": 5}])
def test_without_biases_and_with_a_projection(cell, sizes, make_model, tmp_path):
    model = make_model(cell, **sizes)
    model.save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    check(model, tmp_path / "m.onnx", np.array([[1], [2], [0]]))


def test_an_adaptive_softmax(tmp_path):
    model = train_adaptive(steps=3)[0]
    model.save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    check(model, tmp_path / "m.onnx", np.array([[1, 2], [3, 0]]))


def test_the_best_tokens_only(make_model, tmp_path):
    model = make_model()
    model.save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx", top_k=3)
    state = model.model.initial_state(1)
    hidden = model.model.read(np.array([[2]]), state).hidden
    logits = model.model.logits(hidden)[0, 0]
    shape = (model.config.layers, 1, model.config.hidden_size)
    zeros = [np.zeros(shape, np.float32)] * 2
    outputs = run(tmp_path / "m.onnx", np.array([[2]]), zeros)
    best = np.argsort(-logits)[:3]
    np.testing.assert_array_equal(outputs["ids"][0, 0], best)
    log_probs = logits - np.log(np.exp(logits).sum())
    np.testing.assert_allclose(outputs["log_probs"][0, 0], log_probs[best], atol=1e-5)


def test_what_is_there_is_kept_unless_forced(make_model, tmp_path):
    make_model().save(tmp_path / "m")
    (tmp_path / "m.onnx").write_text("mine")
    with pytest.raises(FolderError, match="exists and is kept"):
        export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "mine"
    export_onnx(tmp_path / "m", tmp_path / "m.onnx", force=True)
    assert (tmp_path / "m.onnx").stat().st_size > 1000


def test_formats_and_options_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ConvertError, match="'gguf' can't be imported; these can: pytorch"):
        import_model("gguf", "a.gguf", "vocab.txt", tmp_path / "m")
    with pytest.raises(ConvertError, match="'keras' can't be exported; these can: pytorch, onnx"):
        export_model("keras", tmp_path / "m", tmp_path / "m.keras")
    with pytest.raises(ConvertError, match="pytorch has no option --gates"):
        export_model("pytorch", tmp_path / "m", tmp_path / "m.pt", gates=True)
    with pytest.raises(ConvertError, match="onnx has no option --decoder"):
        import_model("onnx", "a.onnx", "vocab.txt", tmp_path / "m", decoder="fc")
    assert FORMATS.keys() >= {"pytorch", "onnx", "keras"}


def test_without_the_package_one_line_says_so(make_model, tmp_path, monkeypatch):
    make_model().save(tmp_path / "m")
    monkeypatch.setattr("carousel.convert.onnx.find_spec", lambda name: None)
    with pytest.raises(ConvertError, match=r"pip install 'carousel-lstm\[onnx\]'"):
        export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    assert isinstance(LanguageModel.load(tmp_path / "m"), LanguageModel)
