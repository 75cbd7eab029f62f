"""The cell's diagram: this word's numbers, for every cell, tidy."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.cells import CELLS, LSTM
from carousel.draw.svg.cell import draw_cell
from carousel.errors import LensError
from carousel.lens.names import cell_of
from drawn import ALL_CELLS, SPECIAL, assert_tidy, make_trace, parse, texts

SENTENCE = ["⏎", *["krish", "likes", "pizza"]]


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("t", [0, 2, -1])
def test_numbers_are_this_word_s(cell, t):
    trace = make_trace(SENTENCE, cell, units=7)
    shown = texts(draw_cell(trace, t))
    for name in cell_of(trace.config).names:
        values = trace[name][t]
        signed = name in "gnch"
        mean = np.abs(values).mean() if signed else values.mean()
        label = f"|{name}|" if name in "gn" else name
        assert f"{label} {mean:.2f}" in shown
    if cell != "rnn":
        for name in ("keep", "write"):
            assert f"{name} {np.abs(trace[name][t]).mean():.2f}" in shown
    memory = "c" if isinstance(CELLS[cell], LSTM) else "h"
    at = range(4)[t]
    before = np.abs(trace[memory][at - 1]).mean() if at else 0.0
    assert f"{memory} before {before:.2f}" in shown


BOXES = {"rnn": 1, "gru": 4, "gru-reset-before": 3, "lstm": 4, "cifg": 3, "lstm-peephole": 4}


@pytest.mark.parametrize(("cell", "boxes"), BOXES.items())
def test_a_box_for_each_layer_with_weights(cell, boxes):
    shown = texts(draw_cell(make_trace(SENTENCE, cell), 1))
    # The LSTM's round tanh of the belt is no layer.
    round_tanh = isinstance(CELLS[cell], LSTM)
    assert sum(text in ("σ", "tanh", "R") for text in shown) - round_tanh == boxes


def test_peepholes_are_dashed_lines():
    count = {
        cell: draw_cell(make_trace(SENTENCE, cell), 1).to_string().count("dasharray")
        for cell in ("lstm", "lstm-peephole", "cifg-peephole")
    }
    assert count == {"lstm": 0, "lstm-peephole": 3, "cifg-peephole": 2}


@given(mean=st.floats(0, 1, width=32))
def test_a_line_is_as_heavy_as_what_it_carries(mean):
    trace = make_trace(SENTENCE)
    trace.values["layers.0.f"][2] = mean
    svg = draw_cell(trace, 2).to_string()
    widths = re.findall(r'stroke="#D55E00" stroke-width="([\d.]+)"', svg)
    assert float(widths[0]) == pytest.approx(1.2 + 6 * mean, abs=0.06)


def test_input_and_guesses_come_from_the_model(make_model):
    model = make_model(layers=2)
    trace = model.trace("the cat likes")
    below = np.abs(model.weights["embedding.weight"][trace.ids[2]]).mean()
    lower, upper = texts(draw_cell(trace, 2, 0)), texts(draw_cell(trace, 2, 1))
    assert f"x {below:.2f}" in lower
    assert "to layer 1" in lower
    assert f"x {np.abs(trace['h', 0][2]).mean():.2f}" in upper
    best = trace.next_words(1)[2][0]
    assert f"{best.word} {best.probability:.0%}" in upper


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_labels_never_overlap(cell):
    trace = make_trace(SPECIAL, cell, layers=2)
    for values in trace.values.values():
        values *= 100  # wide numbers
    for t in range(len(SPECIAL)):
        for layer in (0, 1):
            canvas = draw_cell(trace, t, layer)
            parse(canvas.to_string())
            assert_tidy(canvas)


def test_a_layer_that_is_not_there():
    with pytest.raises(LensError, match="no layer 3"):
        draw_cell(make_trace(SENTENCE), 0, 3)
