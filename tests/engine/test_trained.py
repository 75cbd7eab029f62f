"""The engine on trained weights: every shortcut gives what the whole computation gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from carousel.engine.decoder import Decoder
from carousel.engine.extension import instruction_sets
from carousel.model import LanguageModel
from carousel.storage.number_formats import DTYPES, cast_weights
from carousel.study.stories import tell_stories
from trained_adaptive import train_adaptive

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels are not built")


@pytest.fixture(scope="module")
def adaptive():
    model, before, after, softmax = train_adaptive()
    assert after < before - 1, "it has learned something"
    return model, softmax


def states_after_stories(decoder, tokenizer, sessions=24):
    """The states of sessions that have each read some words of a story, ``[B, S]``."""
    stories = [tokenizer.encode(story.text) for story in tell_stories(sessions, seed=5)]
    length = min(map(len, stories))
    tokens = np.array([story[:length] for story in stories]).T
    lengths = np.random.default_rng(0).integers(1, length, sessions)
    states = decoder.initial_state(sessions)
    for row, words in enumerate(lengths):
        states[row] = decoder.steps(tokens[:words, row], decoder.initial_state())[0]
    return states


def check_shortcuts(decoder, states, full):
    """``full [B, V]``: log-probabilities of the whole computation."""
    V = full.shape[1]
    for k in (1, 3, 10, V):
        ids, log_probs = decoder.top_k(states, k)
        order = np.argsort(-full, axis=1, kind="stable")[:, :k]
        wanted = np.take_along_axis(full, order, axis=1)
        np.testing.assert_allclose(log_probs, wanted, rtol=1e-4, atol=2e-5)
        # Words as likely as each other to rounding may change places.
        found = np.take_along_axis(full, ids, axis=1)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)
        assert all(len(set(row)) == k for row in ids.tolist())
        ranked = np.take_along_axis(full, decoder.rank(states, k), axis=1)
        np.testing.assert_allclose(ranked, wanted, rtol=1e-4, atol=2e-5)
    tokens = np.random.default_rng(1).integers(0, V, len(states))
    picked = full[np.arange(len(states)), tokens]
    np.testing.assert_allclose(decoder.log_prob(states, tokens), picked, rtol=1e-4, atol=2e-5)


def log_softmax(logits):
    return torch.log_softmax(torch.from_numpy(logits).double(), 1).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_trained_adaptive_softmax(adaptive, dtype):
    model, softmax = adaptive
    decoder = Decoder(replace(model.config, dtype=dtype), cast_weights(model.model.weights, dtype))
    states = states_after_stories(decoder, model.tokenizer)
    full = decoder.logits(states)
    check_shortcuts(decoder, states, full.astype(np.float64))
    hidden = decoder.unpack(states).h[-1]
    with torch.no_grad():
        theirs = softmax.log_prob(torch.from_numpy(np.ascontiguousarray(hidden))).numpy()
    bound = {"float32": 1e-4, "bfloat16": 0.1, "int8": 0.3}[dtype]
    np.testing.assert_allclose(full, theirs, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru", "stories-rnn"])
def test_a_trained_flat_softmax(name, dtype):
    model = LanguageModel.load(name)
    decoder = Decoder(replace(model.config, dtype=dtype), cast_weights(model.model.weights, dtype))
    states = states_after_stories(decoder, model.tokenizer)
    check_shortcuts(decoder, states, log_softmax(decoder.logits(states)))
