"""The neural cache, against the paper's equations by hand and against the model without it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import softmax_by_hand
from carousel.inference.backend import BLOCK
from carousel.inference.neural_cache import CacheBackend
from carousel.inference.state import take_sequences
from carousel.softmax import log_softmax
from carousel.storage.adaptation import CacheParameters


def with_cache(model, **parameters):
    return model.with_backend(CacheBackend(model.backend, CacheParameters(**parameters)))


def random_ids(model, T, B=1, seed=0):
    return np.random.default_rng(seed).integers(0, model.config.vocab_size, (T, B))


def by_hand(model, ids, theta, lambda_, size):
    """``p(w)`` after each of ``ids [T]``, by equations 2 and 3 of the paper, in float64."""
    hidden = model.read(ids[:, None], model.initial_state()).hidden[:, 0].astype(np.float64)
    rows = []
    for t in range(len(ids)):
        p = np.array(softmax_by_hand(model.logits(hidden[t].astype(np.float32))))
        # The vector h_i stands with the word that came after it.
        remembered = list(range(max(0, t - size), t))
        if remembered:
            powers = np.exp([theta * hidden[t] @ hidden[i] for i in remembered])
            cached = np.zeros(len(p))
            for i, power in zip(remembered, powers, strict=True):
                cached[ids[i + 1]] += power / powers.sum()
            p = (1 - lambda_) * p + lambda_ * cached
        rows.append(p)
    return np.array(rows)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 99),
    theta=st.sampled_from([0.0, 0.3, 2.0]),
    lambda_=st.sampled_from([0.05, 0.5, 0.9]),
    size=st.integers(1, 30),
    length=st.integers(1, 40),
    tied=st.booleans(),
)
def test_equals_the_equations(make_model, seed, theta, lambda_, size, length, tied):
    plain = make_model(seed=seed % 5, tied=tied).model
    ids = random_ids(plain, length, seed=seed)[:, 0]
    model = with_cache(plain, theta=theta, lambda_=lambda_, size=size)
    reading = model.read(ids[:, None], model.initial_state())
    p = np.exp(model.logits(reading.hidden)[:, 0].astype(np.float64))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(p, by_hand(plain, ids, theta, lambda_, size), atol=2e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_with_lambda_0_it_is_the_model_bit_for_bit(make_model, cell, backend):
    plain = make_model(cell=cell, backend=backend).model
    model = with_cache(plain, lambda_=0.0, size=5)
    ids = random_ids(plain, 20, 3)
    ours = model.read(ids, model.initial_state(3))
    theirs = plain.read(ids, plain.initial_state(3))
    np.testing.assert_array_equal(model.logits(ours.hidden), plain.logits(theirs.hidden))
    rows = ours.hidden.reshape(60, -1), theirs.hidden.reshape(60, -1)
    for one, two in zip(model.top_k(rows[0], 4), plain.top_k(rows[1], 4), strict=True):
        np.testing.assert_array_equal(one, two)
    targets = random_ids(plain, 60, seed=1)[:, 0]
    np.testing.assert_array_equal(
        model.log_probs(rows[0], targets), plain.log_probs(rows[1], targets)
    )


def test_word_by_word_is_one_reading(make_model):
    model = with_cache(make_model().model, size=7, lambda_=0.4)
    ids = random_ids(model, 150, 2)
    whole = model.read(ids, model.initial_state(2))
    state, hidden = model.initial_state(2), []
    for first in range(0, 150, 3):
        reading = model.read(ids[first : first + 3], state)
        state = reading.state
        hidden.append(reading.hidden)
    np.testing.assert_allclose(np.concatenate(hidden), whole.hidden, atol=1e-5)
    np.testing.assert_array_equal(state.words, whole.state.words)
    np.testing.assert_allclose(state.keys, whole.state.keys, atol=1e-6)


def test_one_score_is_that_of_the_whole_distribution(make_model):
    model = with_cache(make_model().model, size=9, lambda_=0.3)
    ids = random_ids(model, 40)
    hidden = model.read(ids, model.initial_state()).hidden[:, 0]
    targets = random_ids(model, 40, seed=1)[:, 0]
    whole = model.logits(hidden)
    expected = whole[np.arange(40), targets]
    np.testing.assert_allclose(model.log_probs(hidden, targets), expected, atol=1e-5)
    best, log_probs = model.top_k(hidden, 3)
    np.testing.assert_array_equal(best, np.argsort(-whole, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(
        log_probs, np.take_along_axis(log_softmax(whole), best, 1), atol=1e-5
    )


def test_sequences_have_caches_of_their_own(make_model):
    model = with_cache(make_model().model, size=6, lambda_=0.5)
    ids = random_ids(model, 12, 3)
    together = model.read(ids, model.initial_state(3))
    alone = model.read(ids[:, 1:2], model.initial_state(1))
    np.testing.assert_allclose(together.hidden[:, 1:2], alone.hidden, atol=1e-5)
    taken = take_sequences(together.state, [1, 1])
    assert taken.words.shape == (6, 2)
    np.testing.assert_array_equal(taken.words[:, 0], alone.state.words[:, 0])


def test_with_theta_0_it_counts_the_words_of_the_text(make_model):
    model = make_model()
    adapted = model.adapt(CacheParameters(theta=0.0, lambda_=0.3, size=50))
    text = "the cat likes burger and the dog likes burger so he likes"
    chances = [
        {p.word: p.probability for p in m.next_words(text, k=99)}["burger"]
        for m in (model, adapted)
    ]
    assert chances[1] == pytest.approx(0.7 * chances[0] + 0.3 * 2 / 12, rel=1e-4)


def test_it_goes_around_held_gates(make_model):
    plain = make_model()
    with plain.clamp("forget", 0.0) as held:
        adapted = held.adapt(CacheParameters(lambda_=0.0))
        assert adapted.next_words("the cat", k=3) == held.next_words("the cat", k=3)
        assert adapted.next_words("the cat", k=3) != plain.next_words("the cat", k=3)


def test_a_long_text_is_read_in_blocks(make_model):
    model = with_cache(make_model().model, size=3)
    ids = random_ids(model, 2 * BLOCK + 5)
    np.testing.assert_array_equal(
        model.read(ids, model.initial_state()).state.words[:, 0], ids[-3:, 0]
    )


def test_states_of_other_models_are_refused(make_model):
    plain = make_model().model
    model = with_cache(plain)
    with pytest.raises(TypeError, match="without a cache"):
        model.read(random_ids(plain, 2), plain.initial_state())
    with pytest.raises(TypeError, match="adapts"):
        plain.read(random_ids(plain, 2), model.initial_state())
