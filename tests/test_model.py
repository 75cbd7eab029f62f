"""The model: PyTorch's modules give the same logits; state in, state out."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import carousel
from carousel.cells import CELLS
from carousel.errors import FolderError
from carousel.lens.trace import Trace
from carousel.model import LanguageModel
from carousel.predict.word_index import word_index
from front_door import read_logits

FUSED = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


@pytest.mark.parametrize("cell", FUSED)
@settings(max_examples=12, deadline=None)
@given(
    tied=st.booleans(),
    biases=st.booleans(),
    layers=st.integers(1, 3),
    projection=st.sampled_from([0, 3]),
    seed=st.integers(0, 99),
)
def test_logits_equal_pytorch(make_model, cell, tied, biases, layers, projection, seed):
    sizes = {"layers": layers, "biases": biases}
    if not tied:
        sizes["projection_size"] = projection
    model = make_model(cell, tied=tied, seed=seed, **sizes)
    c, w = model.config, {k: torch.from_numpy(v) for k, v in model.model.weights.items()}
    net = FUSED[cell](c.embedding_size, c.hidden_size, layers, bias=biases)
    for layer in range(layers):
        for kind in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if biases else ())):
            getattr(net, f"{kind}_l{layer}").data = w[f"layers.{layer}.{kind}"]
    ids = np.random.default_rng(seed).integers(0, c.vocab_size, (7, 2))
    with torch.no_grad():
        y, _ = net(w["embedding.weight"][torch.from_numpy(ids)])
        if c.projection_size:
            y = y @ w["projection.weight"].T
        expected = y @ w["embedding.weight" if tied else "decoder.weight"].T + w["decoder.bias"]
    hidden, _ = model.model.read(ids, model.model.initial_state(2))[:2]
    np.testing.assert_allclose(model.model.logits(hidden), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_equal_reading_at_once(make_model, cell):
    model = make_model(cell, layers=2)
    ids = [2, 5, 3, 3, 7]
    at_once, end = read_logits(model, ids)
    _, state = read_logits(model, [])
    for token in ids:
        scores, state = model.model.step([token], state)
    np.testing.assert_allclose(scores[0], at_once, rtol=1e-5, atol=1e-6)
    for a, b in zip(state, end, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_reading_leaves_the_state_it_was_given(make_model):
    model = make_model()
    _, state = read_logits(model, [])
    before = [part.copy() for part in state]
    read_logits(model, [3, 4], state)
    for part, copy in zip(state, before, strict=True):
        np.testing.assert_array_equal(part, copy)
    with pytest.raises(ValueError, match="nothing to read"):
        read_logits(model, [], state)


def test_what_can_not_be_loaded(tmp_path):
    with pytest.raises(FolderError, match="is not there"):
        carousel.load(tmp_path / "none")
    with pytest.raises(FolderError, match="stories-lstm"):
        carousel.load("stories-transformer")


def test_repr_names_the_model(make_model):
    assert repr(make_model()).startswith("LanguageModel(lstm, 1 x 6 units, embedding 5, ")


def test_importing_loads_no_torch():
    code = (
        "import sys, carousel, carousel.cli, carousel.evaluate, carousel.predict.session, "
        "carousel.predict.generation, carousel.study.stories, carousel.draw.terminal.tables;"
        "heavy = {'torch', 'matplotlib', 'onnx', 'prompt_toolkit'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_words_are_told_from_marks(make_model):
    model = make_model(text="well , 3 _ it's\n")
    words = {
        model.tokenizer.token(int(i)) for i in np.flatnonzero(word_index(model.tokenizer).mask)
    }
    assert words == {"well", "it's"}
    assert isinstance(model, LanguageModel)


def test_the_public_names_are_there():
    for name in carousel.__all__:
        assert getattr(carousel, name) is not None
    assert carousel.Trace is Trace
    with pytest.raises(AttributeError, match="no attribute 'Tarce'"):
        carousel.Tarce  # noqa: B018
