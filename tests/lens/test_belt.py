"""The belt: the account adds up, and what is derived from it is what its words say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.errors import LensError
from carousel.lens.clamp import Clamp
from carousel.lens.trace import Trace, trace_text
from front_door import parts

TEXT = "the cat likes pizza but the dog likes pie so she orders"
BELTS = ["lstm", "lstm-peephole", "cifg", "cifg-peephole", "gru", "gru-reset-before"]


@settings(max_examples=15, deadline=None)
@given(
    cell=st.sampled_from(BELTS),
    layers=st.integers(1, 4),
    seed=st.integers(0, 99),
    length=st.integers(0, 60),
)
def test_the_account_adds_up(make_model, cell, layers, seed, length):
    model = make_model(cell, layers=layers, seed=seed, hidden_size=11)
    words = np.random.default_rng(seed).choice(TEXT.split(), length)
    trace = model.trace(" ".join(words), logits=False)
    for layer in range(layers):
        belt = trace.belt(layer)
        assert belt.error() < 1e-5
        # Nothing but what the gates wrote is on it: no gap was filled in.
        np.testing.assert_array_equal(belt.put, trace["write", layer])
        total = belt.luggage().sum(1)
        np.testing.assert_allclose(total, belt.memory, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 4])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_two_thousand_words_add_up(make_model, cell, layers):
    model = make_model(cell, layers=layers, hidden_size=16)
    words = np.random.default_rng(0).choice(TEXT.split(), 2000)
    trace = model.trace(" ".join(words), logits=False)
    for layer in range(layers):
        belt = trace.belt(layer)
        assert belt.error() < 1e-5
        np.testing.assert_array_equal(belt.put, trace["write", layer])


def test_the_rnn_has_none(make_model):
    with pytest.raises(LensError, match="a plain RNN has no belt"):
        make_model("rnn").trace(TEXT).belt()


def test_the_sums_over_units(make_model):
    belt = make_model().trace(TEXT).belt()
    np.testing.assert_allclose(belt.amounts(), np.abs(belt.luggage()).sum(2))
    np.testing.assert_allclose(belt.luggage()[4, :5], belt.luggage_at(4))
    np.testing.assert_allclose(belt.luggage()[-1], belt.luggage_at(-1))


def with_gates(forget, put):
    """A trace of one unit whose gates are given."""
    forget, put = np.array(forget), np.array(put)
    c, now = [], 0.0
    for f, w in zip(forget, put, strict=True):
        now = f * now + w
        c.append(now)
    model_free = {
        "layers.0.f": forget[:, None], "layers.0.i": np.ones((len(put), 1)),
        "layers.0.g": put[:, None], "layers.0.o": np.ones((len(put), 1)),
        "layers.0.c": np.array(c)[:, None], "layers.0.h": np.tanh(np.array(c))[:, None],
    }  # fmt: skip
    from carousel.storage.config import Config

    config = Config(cell="lstm", vocab_size=3, embedding_size=1, hidden_size=1, layers=1, tied=True)
    words = [str(at) for at in range(len(put))]
    return Trace(config, words, np.arange(len(put)), model_free, None)


def test_retention_and_half_lives_in_closed_form():
    belt = with_gates([1.0, 0.5, 0.8, 0.5], [2.0, -1.0, 0.5, 1.0]).belt()
    np.testing.assert_allclose(belt.luggage_at(3)[:, 0], [0.4, -0.4, 0.25, 1.0])
    retention = belt.retention()
    np.testing.assert_allclose(retention[0], [1, 0.5, 0.4, 0.2])
    np.testing.assert_allclose(retention[1, :3], [1, 0.8, 0.4])
    assert np.isnan(retention[1, 3])
    assert belt.half_life_of_words() == [2.0, 2.0, np.inf, np.inf]
    mean = np.log([1, 0.5, 0.8, 0.5]).mean()
    np.testing.assert_allclose(belt.half_life_of_units(), [np.log(0.5) / mean])
    kept = with_gates([1.0, 1.0], [1.0, 0.0]).belt()
    assert kept.half_life_of_units()[0] > 1e9


@pytest.mark.parametrize("cell", BELTS)
@pytest.mark.parametrize("tied", [True, False])
def test_the_shares_of_a_decision_add_up_to_it(make_model, cell, tied):
    model = make_model(cell, layers=2, tied=tied)
    trace = model.trace(TEXT)
    a, b = model.tokenizer.id("burger"), model.tokenizer.id("pizza")
    bias = model.model.weights["decoder.bias"]
    for at in (-1, 4):
        shares = trace.belt().decision("burger", "pizza", at)
        difference = trace.logits[at, a] - trace.logits[at, b]
        assert shares.sum() + bias[a] - bias[b] == pytest.approx(difference, abs=1e-5)
    with pytest.raises(LensError, match="only the last layer"):
        trace.belt(0).decision("burger", "pizza")
    with pytest.raises(LensError, match="'burgre' is not a word of the vocabulary"):
        trace.belt().decision("burgre", "pizza")


def test_what_a_hand_puts_on_counts_as_its_words(make_model):
    model = make_model()
    with model.clamp(Clamp("cell", 3.0, at=2, units=[1])) as held:
        belt = trace_text(*parts(held), TEXT).belt()
    assert belt.error() < 1e-5
    assert belt.luggage_at(2)[:, 1].sum() == pytest.approx(3.0, rel=1e-5)
    assert abs(belt.put[2, 1]) > 1.5 > np.abs(np.delete(belt.put, 2, 0)[:, 1]).max()


@pytest.mark.parametrize("tied", [True, False])
def test_a_decision_within_a_cluster_is_shared_out(make_model, tied):
    sizes = {"hidden_size": 5, "cutoffs": (6, 12), "tail_sizes": (5, 5)}
    model = make_model(tied=tied, **sizes)
    trace = model.trace(TEXT)
    words = model.tokenizer.tokens()
    for pair in ((2, 5), (6, 11), (12, len(words) - 1)):
        a, b = pair
        shares = trace.belt().decision(words[a], words[b])
        difference = trace.logits[-1, a] - trace.logits[-1, b]
        bias = model.model.weights["decoder.head.bias"]
        constant = bias[a] - bias[b] if b < 6 else 0.0
        assert shares.sum() + constant == pytest.approx(difference, abs=1e-5)
    with pytest.raises(LensError, match="different clusters"):
        trace.belt().decision(words[2], words[7])
