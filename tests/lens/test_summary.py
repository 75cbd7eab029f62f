"""A trace in few numbers: each is what the trace itself says."""

import numpy as np
import pytest

from carousel.lens.summary import (
    aligned_words,
    compared_gates,
    first_words,
    luggage_left,
    mean_and_spread,
    measure_cell,
    most_moved_units,
    probability_before,
    probability_next,
    state_change,
    summarize_trace,
)
from drawn import ALL_CELLS, BELTS, make_trace

SENTENCE = ["⏎", *["krish", "likes", "pizza", "but", "his", "friend"]]
TEXT = "the cat likes pizza but the dog likes pie"


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
    assert most_moved_units(values, 2) == [1, 3]
    assert most_moved_units(values, 9) == [1, 3, 0, 2, 4]
    assert most_moved_units(values[:1], 1) == [0]


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_the_first_words_are_what_a_shorter_text_gives(cell, make_model):
    lm = make_model(cell, layers=2)
    short, alone = first_words(lm.trace(TEXT), 4), lm.trace("the cat likes")
    assert short.words == alone.words
    for point, values in alone.values.items():
        np.testing.assert_allclose(short.values[point], values, atol=1e-6)
    np.testing.assert_allclose(short.logits, alone.logits, atol=1e-5)
    assert first_words(alone, 4) is alone


@pytest.mark.parametrize("cell", BELTS)
def test_what_a_cell_carries(cell, make_model):
    lm = make_model(cell, layers=2)
    trace = lm.trace(TEXT)
    first, last = measure_cell(trace, 0, 0), measure_cell(trace, -1)
    assert first.before["h"] == 0.0
    assert last.keep == pytest.approx(np.abs(trace["keep", 1][-1]).mean())
    assert last.write == pytest.approx(np.abs(trace["write", 1][-1]).mean())
    assert last.before["h"] == pytest.approx(np.abs(trace["h", 1][-2]).mean())
    assert last.input == pytest.approx(np.abs(trace["h", 0][-1]).mean())
    embedding = lm.model.weights["embedding.weight"][trace.ids[0]]
    assert first.input == pytest.approx(np.abs(embedding).mean())
    joined = np.concatenate([trace["h", 1][-2], trace["h", 0][-1]])
    assert last.joined(last.before["h"]) == pytest.approx(np.abs(joined).mean(), rel=1e-5)
    assert measure_cell(make_trace(SENTENCE, cell), 2).input is None


def test_curves(make_model):
    trace = make_model().trace(TEXT)
    p, h = trace.probabilities, trace["h"]
    before = probability_before(trace)
    assert np.isnan(before[0])
    np.testing.assert_allclose(before[1:], [p[t - 1, trace.ids[t]] for t in range(1, len(trace))])
    np.testing.assert_array_equal(probability_next(trace, "pie"), p[:, trace.ids[-1]])
    left = luggage_left(trace, 4)
    assert np.isnan(left[:4]).all()
    assert left[4] == 1
    amounts = trace.belt().amounts()
    np.testing.assert_allclose(left[4:], amounts[4:, 4] / amounts[4, 4])
    change = state_change(trace)
    assert change[0] == pytest.approx(np.abs(h[0]).mean())
    assert change[3] == pytest.approx(np.abs(h[3] - h[2]).mean())


def test_two_texts_as_they_are_written(make_model):
    found = make_model("gru", layers=2).compare("the cat sat", "the sat")
    first, second = aligned_words(found)
    assert first == ["⏎", "the", "cat", "sat"]
    assert second == ["⏎", "the", "–", "sat"]
    names = compared_gates(found)
    assert [name for name, _, _ in names][:2] == ["r reset 0", "z update 0"]
    assert {(gate, layer) for _, gate, layer in names} == {
        (gate, layer) for gate in range(4) for layer in range(2)
    }


def test_a_summary_is_plain_data(make_model):
    trace = make_model("rnn").trace("the cat")
    table = summarize_trace(trace, units=2, k=1)
    assert table["words"] == trace.words
    (layer,) = table["layers"]
    assert layer["belt"] is None
    assert len(layer["gates"]["hidden"]["units"]) == 2
    assert [len(best) for best in table["next_words"]] == [1, 1, 1]
