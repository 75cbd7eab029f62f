"""Backends: the engine and NumPy give the same, at every gate, in blocks and under clamps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.cells import CELLS
from carousel.engine.extension import instruction_sets
from carousel.errors import EngineError
from carousel.inference import backend as module
from carousel.inference.model import RecurrentLM
from carousel.lens.names import full_names

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels were not built")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("length", [0, 1, 5, 23])
def test_the_engine_records_what_numpy_records(make_model, monkeypatch, cell, length):
    monkeypatch.setattr(module, "BLOCK", 7)
    engine = make_model(cell, layers=2, tied=True).model
    numpy = make_model(cell, layers=2, tied=True, backend="numpy").model
    ids = np.random.default_rng(length).integers(0, engine.config.vocab_size, (length, 3))
    names = full_names(engine.config)[::2]
    found = engine.read(ids, engine.initial_state(3), names)
    expected = numpy.read(ids, numpy.initial_state(3), names)
    assert list(found.values) == names
    for name in names:
        np.testing.assert_allclose(found.values[name], expected.values[name], atol=1e-5)
    np.testing.assert_allclose(found.hidden, expected.hidden, atol=1e-5)
    for ours, theirs in zip(found.state, expected.state, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("sizes", [{}, {"cutoffs": (8, 15), "tail_sizes": (3, 2)}])
@settings(max_examples=15, deadline=None)
@given(k=st.integers(1, 20), seed=st.integers(0, 99))
def test_the_likeliest_tokens_are_those_of_the_whole_softmax(make_model, sizes, k, seed):
    engine, numpy = (make_model(seed=seed, backend=b, **sizes).model for b in ("engine", "numpy"))
    hidden = np.random.default_rng(seed).normal(size=(3, 6)).astype(np.float32)
    logits = numpy.logits(hidden).astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = np.argsort(-log_probabilities, axis=1, kind="stable")[:, :k]
    for model in (engine, numpy):
        ids, values = model.top_k(hidden, k)
        np.testing.assert_array_equal(ids, expected)
        wanted = np.take_along_axis(log_probabilities, expected, axis=1)
        np.testing.assert_allclose(values, wanted, atol=1e-5)


@settings(deadline=None)
@given(
    st.integers(0, 3),
    st.lists(st.sampled_from([-np.inf, -2.0, -1.0, 0.0]), min_size=1, max_size=30),
    st.integers(1, 40),
)
def test_of_equals_the_lower_id_comes_first(rows, values, k):
    log_probs = np.array([np.roll(values, row) for row in range(rows)], dtype=np.float32)
    log_probs = log_probs.reshape(rows, len(values))
    ids, best = module.best_of(log_probs, k)
    np.testing.assert_array_equal(ids, np.argsort(-log_probs, axis=1, kind="stable")[:, :k])
    np.testing.assert_array_equal(best, np.take_along_axis(log_probs, ids, axis=1))


def test_a_backend_is_chosen_by_name(make_model):
    lm = make_model()
    assert make_model(backend="numpy").model.decoder is None
    assert make_model(backend="engine").model.decoder is not None
    with pytest.raises(EngineError, match="backend must be auto, engine or numpy, not 'cuda'"):
        RecurrentLM(lm.config, lm.model.stored, backend="cuda")


def test_without_kernels_the_engine_is_an_error_and_auto_a_warning(make_model, monkeypatch):
    monkeypatch.setattr("carousel.engine.extension._kernels", None)
    with pytest.raises(EngineError, match="can't be loaded"):
        assert make_model(backend="engine").model.decoder
    with pytest.warns(RuntimeWarning, match="NumPy does their work"):
        assert make_model().model.decoder is None
