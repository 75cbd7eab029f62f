"""The decision's picture: every share is written, whatever the text's length."""

import pytest

import carousel
from carousel.draw.svg.decision import draw_decision
from carousel.lens.decision import measure_decision
from drawn import assert_tidy, texts

A = "krish likes pizza but he does not like burger so he orders"
B = "krish likes pizza but his friend likes burger so his friend orders"


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru"])
def test_every_share_and_the_difference_are_written(name):
    decision = measure_decision(carousel.load(name).trace(A), ("pizza", "burger"))
    shown = texts(draw_decision(decision))
    for share in decision.shares:
        assert f"{round(float(share), 1) + 0.0:+.1f}" in shown
    assert any(f"{decision.total:+.2f}" in text for text in shown)


def test_tidy_at_any_length():
    model = carousel.load()
    for text in ("", "krish", " ".join([B] * 6)):
        assert_tidy(draw_decision(measure_decision(model.trace(text), ("pizza", "burger"))))
