"""The decision: shares that add up to the logits' own difference."""

import io

import pytest
from rich.console import Console

import carousel
from carousel.draw.svg.decision import common_focus, draw_decision, measure_decision, show_decision
from carousel.errors import LensError
from drawn import assert_tidy, texts

A = "krish likes pizza but he does not like burger so he orders"
B = "krish likes pizza but his friend likes burger so his friend orders"


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru"])
def test_shares_and_biases_add_up(name):
    model = carousel.load(name)
    trace = model.trace(A)
    decision = measure_decision(trace, ("pizza", "burger"))
    a, b = model.tokenizer.id("pizza"), model.tokenizer.id("burger")
    assert decision.total == pytest.approx(trace.logits[-1, a] - trace.logits[-1, b], abs=1e-3)
    shown = texts(draw_decision(decision))
    for share in decision.shares:
        assert f"{round(float(share), 1) + 0.0:+.1f}" in shown
    assert any(f"{decision.total:+.2f}" in text for text in shown)


def test_bars_in_a_terminal():
    decision = measure_decision(carousel.load().trace(B), ("pizza", "burger"))
    file = io.StringIO()
    Console(file=file, width=80).print(*show_decision(decision, 80), sep="\n")
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == len(decision.words) + 2
    for word, share, line in zip(decision.words, decision.shares, lines[1:], strict=False):
        assert line.split()[:2] == [word, f"{share:+.2f}"]
        assert ("█" in line) <= (share > 0)
        assert ("▒" in line) <= (share < 0)


def test_tidy_at_any_length():
    model = carousel.load()
    for text in ("", "krish", " ".join([B] * 6)):
        assert_tidy(draw_decision(measure_decision(model.trace(text), ("pizza", "burger"))))


def test_what_a_picture_should_tell_apart(make_model):
    model = carousel.load()
    a, b = model.trace(A), model.trace(B)
    gru, rnn = carousel.load("stories-gru"), carousel.load("stories-rnn")
    assert common_focus([gru.trace(A)]) == common_focus([gru.trace(B)]) == ("pizza", "burger")
    assert common_focus([rnn.trace(B)]) == ("pizza", "burger")
    # What the RNN thinks likeliest here does not stand in the text.
    assert rnn.next_words(A, k=1)[0].word not in A.split()
    assert common_focus([rnn.trace(A)]) is None
    assert common_focus([a]) == common_focus([b]) == ("pizza", "burger")
    assert common_focus([a, b]) == ("pizza", "burger")
    assert common_focus([b, a]) == ("burger", "pizza")
    assert common_focus([a, a]) is None
    assert common_focus([model.trace("krish likes pizza")]) is None
    assert common_focus([make_model(kind="chars").trace("the cat")]) is None


def test_an_rnn_cannot_say():
    with pytest.raises(LensError, match="no belt"):
        measure_decision(carousel.load("stories-rnn").trace(A), ("pizza", "burger"))
