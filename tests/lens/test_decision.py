"""The decision: shares that add up to the logits' own difference."""

import pytest

import carousel
from carousel.errors import LensError
from carousel.lens.decision import measure_decision, words_to_compare

A = "krish likes pizza but he does not like burger so he orders"
B = "krish likes pizza but his friend likes burger so his friend orders"


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru"])
def test_shares_and_biases_add_up(name):
    model = carousel.load(name)
    trace = model.trace(A)
    decision = measure_decision(trace, ("pizza", "burger"))
    a, b = model.tokenizer.id("pizza"), model.tokenizer.id("burger")
    assert decision.total == pytest.approx(trace.logits[-1, a] - trace.logits[-1, b], abs=1e-3)
    winner = "pizza" if decision.total > 0 else "burger"
    assert decision.winner == winner
    turned = decision.for_winner()
    assert turned.sum() + (decision.bias if winner == "pizza" else -decision.bias) == pytest.approx(
        abs(decision.total)
    )


def test_a_word_s_own_luggage_can_speak_against_it():
    trace = carousel.load().trace(B)
    decision = measure_decision(trace, ("pizza", "burger"))
    place = trace.words.index("burger")
    assert decision.winner == "burger"
    assert decision.own_share() == pytest.approx(-decision.shares[place])
    other_way = measure_decision(trace, ("burger", "pizza"))
    assert other_way.winner == "burger"
    assert other_way.own_share() == pytest.approx(decision.own_share())
    assert measure_decision(trace, ("noodles", "pasta")).own_share() is None


def test_what_a_picture_should_tell_apart(make_model):
    model = carousel.load()
    a, b = model.trace(A), model.trace(B)
    gru, rnn = carousel.load("stories-gru"), carousel.load("stories-rnn")
    assert words_to_compare([gru.trace(A)]) == ("pizza", "burger")
    assert words_to_compare([gru.trace(B)]) == ("pizza", "burger")
    assert words_to_compare([rnn.trace(B)]) == ("pizza", "burger")
    # What the RNN thinks likeliest here does not stand in the text.
    assert rnn.next_words(A, k=1)[0].word not in A.split()
    assert words_to_compare([rnn.trace(A)]) is None
    assert words_to_compare([a]) == words_to_compare([b]) == ("pizza", "burger")
    assert words_to_compare([a, b]) == ("pizza", "burger")
    assert words_to_compare([b, a]) == ("burger", "pizza")
    assert words_to_compare([a, a]) is None
    assert words_to_compare([model.trace("krish likes pizza")]) is None
    assert words_to_compare([make_model(kind="chars").trace("the cat")]) is None


def test_an_rnn_cannot_say():
    with pytest.raises(LensError, match="no belt"):
        measure_decision(carousel.load("stories-rnn").trace(A), ("pizza", "burger"))
