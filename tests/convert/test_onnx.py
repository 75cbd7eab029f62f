"""Exported graphs in ONNX Runtime: the same logits and states as the model itself."""

import numpy as np
import pytest

from carousel.cells import CELLS
from carousel.convert.onnx import export_onnx
from carousel.convert.registry import FORMATS, export_model, import_model
from carousel.errors import ConvertError, FolderError
from carousel.model import LanguageModel
from trained_adaptive import train_adaptive

onnxruntime = pytest.importorskip("onnxruntime")


def run(path, tokens, state):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {"tokens": tokens, **dict(zip("hc", state, strict=False))}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def check(model, path, tokens):
    """Two reads, one after the other, from a state that is not zero."""
    core = model.model
    state = core.initial_state(tokens.shape[1])
    shape = (model.config.layers, tokens.shape[1], model.config.hidden_size)
    theirs = [np.zeros(shape, np.float32) for _ in core.cell.states]
    for part in (tokens, tokens[::-1].copy()):
        reading = core.read(part, state)
        state = reading.state
        outputs = run(path, part, theirs)
        theirs = [outputs[f"{name}_out"] for name in core.cell.states]
        ours = core.logits(reading.hidden)
        assert outputs["logits"].shape == ours.shape
        np.testing.assert_allclose(outputs["logits"], ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_every_cell(cell, tied, make_model, tmp_path):
    model = make_model(cell, tied=tied, layers=2, seed=3)
    model.save(tmp_path / "m")
    export_model("onnx", tmp_path / "m", tmp_path / "m.onnx")
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, (7, 3))
    check(model, tmp_path / "m.onnx", tokens)


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


def test_formats_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ConvertError, match="'onnx' can't be imported; these can: pytorch"):
        import_model("onnx", "a.onnx", "vocab.txt", tmp_path / "m")
    with pytest.raises(ConvertError, match="'pytorch' can't be exported; these can: onnx"):
        export_model("pytorch", tmp_path / "m", tmp_path / "m.pt")
    assert set(FORMATS) == {"pytorch", "onnx"}


def test_without_the_package_one_line_says_so(make_model, tmp_path, monkeypatch):
    make_model().save(tmp_path / "m")
    monkeypatch.setattr("carousel.convert.onnx.find_spec", lambda name: None)
    with pytest.raises(ConvertError, match=r"pip install 'carousel-lstm\[onnx\]'"):
        export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    assert isinstance(LanguageModel.load(tmp_path / "m"), LanguageModel)
