"""The gates' strips: the trace's numbers, the units that move most, tidy labels."""

import numpy as np
import pytest
from hypothesis import given, settings

from carousel.draw.svg.gates import draw_gates, mean_and_spread, most_moved
from carousel.lens.names import cell_of
from drawn import ALL_CELLS, SPECIAL, WORDS, assert_tidy, make_trace, parse, texts

SENTENCE = ["⏎", *["krish", "likes", "pizza", "but", "his", "friend"]]


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_means_of_every_gate_are_written(cell):
    trace = make_trace(SENTENCE, cell, units=9)
    shown = texts(draw_gates(trace))
    for name, long in cell_of(trace.config).names.items():
        values = trace[name]
        sizes = np.abs(values) if name in "gnch" else values
        assert any(text in shown for text in (f"{name} {long}", f"|{name}| {long}"))
        for mean in sizes.mean(1):
            assert f"{mean:.2f}" in shown


def test_mean_and_spread_by_hand():
    trace = make_trace(SENTENCE)
    means, spreads = mean_and_spread(trace, "f", 0)
    np.testing.assert_allclose(means, trace["f"].mean(1))
    np.testing.assert_allclose(spreads, trace["f"].std(1))
    means, _ = mean_and_spread(trace, "g", 0)
    np.testing.assert_allclose(means, np.abs(trace["g"]).mean(1))


def test_the_units_that_move_most():
    values = np.zeros((4, 5))
    values[0, 0] = 9
    values[2, 3], values[3, 1] = 1, -2
    assert most_moved(values, 2) == [1, 3]
    assert most_moved(values, 9) == [1, 3, 0, 2, 4]
    assert most_moved(values[:1], 1) == [0]


def test_hints_hold_the_units_values():
    trace = make_trace(SENTENCE)
    unit = most_moved(trace["f"], 1)[0]
    value = trace["f"][4, unit]
    assert f"f unit {unit} at but: {value:+.3f}" in draw_gates(trace, units=1).to_string()


@settings(max_examples=10)
@given(words=WORDS)
def test_labels_never_overlap(words):
    assert_tidy(draw_gates(make_trace(["⏎", *words], "gru")))


@pytest.mark.parametrize("units", [0, 3])
def test_odd_words(units):
    canvas = draw_gates(make_trace(SPECIAL, layers=2), 1, units=units, width=700)
    assert_tidy(canvas)
    parse(canvas.to_string())
