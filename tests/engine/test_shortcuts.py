"""Predictions that leave rows unread are those of the whole computation, ties included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.engine.decoder import Decoder
from carousel.engine.extension import instruction_sets
from carousel.inference.model import RecurrentLM
from carousel.model import LanguageModel
from carousel.pretrained import PRETRAINED
from carousel.storage.config import Config
from carousel.storage.number_formats import DTYPES, cast_weights

SETS = instruction_sets()
pytestmark = pytest.mark.skipif(not SETS, reason="the kernels are not built")


def make(dtype, V, H, seed, *, spread=1.0, doubles=0, levels=0, cutoffs=(), tail_sizes=()):
    """A decoder on random weights; ``doubles`` of its rows are copies of others."""
    config = Config(
        cell="rnn", vocab_size=V, embedding_size=3, hidden_size=H, layers=1, tied=False,
        dtype=dtype, cutoffs=cutoffs, tail_sizes=tail_sizes,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(scale=spread, size=shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    if levels:
        weights = {name: np.rint(weight * levels) / levels for name, weight in weights.items()}
    for rows in ("decoder.weight", "decoder.bias", "decoder.head.weight", "decoder.head.bias"):
        if rows in weights:
            copies = np.random.default_rng(seed).integers(0, len(weights[rows]), (2, doubles))
            weights[rows][copies[0]] = weights[rows][copies[1]]
    return config, cast_weights({n: w.astype(np.float32) for n, w in weights.items()}, dtype)


def best(scores, k):
    """The ids of the k largest, of equals the lower first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("isa", SETS)
@settings(max_examples=25, deadline=None)
@given(
    dtype=st.sampled_from(["float32", "bfloat16", "int8"]),
    V=st.integers(1, 700),
    H=st.integers(1, 40),
    k=st.integers(1, 12),
    seed=st.integers(0, 999),
    doubles=st.sampled_from([0, 5, 300]),
    levels=st.sampled_from([0, 1, 4]),
    spread=st.sampled_from([0.01, 1, 20]),
)
def test_top_k_and_rank_are_those_of_all_scores(isa, dtype, V, H, k, seed, doubles, levels, spread):
    config, stored = make(dtype, V, H, seed, doubles=doubles, levels=levels, spread=spread)
    decoder = Decoder(config, stored, isa=isa)
    state = np.random.default_rng(seed + 1).uniform(-1, 1, (1, H)).astype(np.float32)
    k = min(k, V)
    scores = decoder.logits(state)
    ids, log_probs = decoder.top_k(state, k)
    np.testing.assert_array_equal(ids, best(scores, k))
    np.testing.assert_array_equal(decoder.rank(state, k), ids)
    wide = scores.astype(np.float64)
    top = wide.max()
    normaliser = top + np.log(np.exp(wide - top).sum())
    expected = np.take_along_axis(wide, ids, axis=1) - normaliser
    np.testing.assert_allclose(log_probs, expected, rtol=1e-5, atol=1e-6 * (1 + abs(top)))
    np.testing.assert_allclose(
        decoder.log_prob(state, ids[:, 0]), log_probs[:, 0], rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("isa", SETS)
@settings(max_examples=20, deadline=None)
@given(
    dtype=st.sampled_from(["float32", "bfloat16", "int8"]),
    bounds=st.sets(st.integers(1, 299), min_size=1, max_size=4),
    k=st.integers(1, 40),
    seed=st.integers(0, 999),
    spread=st.sampled_from([0.1, 1, 3]),
    doubles=st.sampled_from([0, 20]),
)
def test_clusters_that_can_not_win_stay_closed(isa, dtype, bounds, k, seed, spread, doubles):
    cutoffs = tuple(sorted(bounds))
    tail_sizes = tuple(range(2, 2 + len(cutoffs)))
    config, stored = make(
        dtype, 300, 18, seed, spread=spread, doubles=doubles, cutoffs=cutoffs,
        tail_sizes=tail_sizes,
    )  # fmt: skip
    decoder = Decoder(config, stored, isa=isa)
    state = np.random.default_rng(seed).uniform(-1, 1, (3, 18)).astype(np.float32)
    everything = decoder.logits(state)
    np.testing.assert_allclose(np.exp(everything.astype(np.float64)).sum(axis=1), 1, rtol=1e-4)
    if dtype != "int8":
        model = RecurrentLM(config, stored, backend="numpy")
        np.testing.assert_allclose(everything, model.logits(state), rtol=1e-5, atol=2e-5)
    ids, log_probs = decoder.top_k(state, k)
    expected = np.take_along_axis(everything, best(everything, k), axis=1)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-5, atol=1e-5)
    # The ids are the best ones too, but for words whose probabilities differ by rounding alone.
    np.testing.assert_allclose(
        np.take_along_axis(everything, ids, axis=1), log_probs, rtol=1e-5, atol=1e-5
    )
    equal = np.diff(log_probs, axis=1) == 0
    assert (np.diff(ids, axis=1)[equal] > 0).all()
    np.testing.assert_array_equal(decoder.rank(state, k), ids)
    np.testing.assert_allclose(
        decoder.log_prob(state, ids[:, 0]), log_probs[:, 0], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru", "stories-rnn"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_trained_models_rank_alike(name, dtype):
    model = LanguageModel.load(PRETRAINED / name)
    decoder = Decoder(model.config, cast_weights(model.model.weights, dtype))
    ids = model.tokenizer.encode("on sunday i want to eat pizza on monday i want to eat burger")
    state = decoder.initial_state()
    for token in ids:
        state = decoder.step([token], state)
        expected = best(decoder.logits(state), 5)
        np.testing.assert_array_equal(decoder.rank(state, 5), expected)
        np.testing.assert_array_equal(decoder.top_k(state, 5)[0], expected)


def test_all_words_equal_come_in_order():
    config, stored = make("float32", 600, 7, 0, spread=0)
    decoder = Decoder(config, stored)
    state = np.ones((2, 7), np.float32)
    for ids in (decoder.top_k(state, 600)[0], decoder.rank(state, 600)):
        np.testing.assert_array_equal(ids, np.arange(600)[None].repeat(2, 0))


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [40, 200, 700, 3001])
def test_rows_read_from_either_end_give_the_same(isa, dtype, V):
    """Every second call reads a decoder from its last row on; equal rows lie all over it."""
    config, stored = make(dtype, V, 12, seed=4, doubles=4 * V)
    decoder = Decoder(config, stored, isa=isa)
    for B in (1, 3):
        state = np.random.default_rng(B).normal(size=(B, 12)).astype(np.float32)
        found = [decoder.top_k(state, 9) for _ in range(4)]
        for ids, log_probs in found[1:]:
            np.testing.assert_array_equal(ids, found[0][0])
            np.testing.assert_array_equal(log_probs, found[0][1])
        scores = decoder.logits(state)
        order = best(scores, 9)
        np.testing.assert_array_equal(found[0][0], order)
        exact = scores - np.log(np.exp(scores.astype(np.float64)).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(
            found[0][1], np.take_along_axis(exact, order, axis=1), rtol=1e-6, atol=1e-6
        )
