"""The gates' strips: the trace's numbers, the units that move most, tidy labels."""

import numpy as np
import pytest
from hypothesis import given, settings

from carousel.draw.svg.gates import draw_gates
from carousel.lens.names import cell_of
from carousel.lens.summary import most_moved_units
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


def test_hints_hold_the_units_values():
    trace = make_trace(SENTENCE)
    unit = most_moved_units(trace["f"], 1)[0]
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
