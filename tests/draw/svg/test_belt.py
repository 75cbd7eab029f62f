"""The belt picture: bands as thick as the account says, numbers as the trace has them."""

import re

import numpy as np
import pytest
from hypothesis import given, settings

from carousel.draw.svg.belt import GONE, HEIGHT, LEFT, THERE, draw_belt, full_belt
from carousel.draw.svg.columns import ColumnLayout
from carousel.errors import LensError
from drawn import ALL_CELLS, BELTS, SPECIAL, SVG, WORDS, assert_tidy, make_trace, parse, texts

SENTENCE = ["⏎", *["krish", "likes", "pizza", "but", "his", "friend", "likes", "burger", "so"]]


def ends(path):
    """The points at which a path's pieces end."""
    made = []
    for _, numbers in re.findall(r"([MLC])([-\d. ]+)", path):
        values = [float(value) for value in numbers.split()]
        made.append((values[-2], values[-1]))
    return made


@pytest.mark.parametrize("cell", BELTS)
def test_bands_are_as_thick_as_what_is_left(cell):
    trace = make_trace(SENTENCE, cell)
    amounts = trace.belt().amounts()
    scale = HEIGHT / amounts.sum(1).max()
    root = parse(draw_belt(trace).to_string())
    layout = ColumnLayout.fit(SENTENCE, 1180, left=LEFT, min_size=70, font_size=14)
    row = layout.rows[0]
    assert len(layout.rows) == 1
    bands = [p for p in root.iter(f"{SVG}path") if (p.find(f"{SVG}title")) is not None]
    seen = [s for s in range(len(SENTENCE)) if (amounts[:, s] * scale > 0.25).any()]
    assert len(bands) == len(seen) > 5
    for s, band in zip(seen, bands, strict=True):
        points = ends(band.get("d"))
        for t in range(s, len(SENTENCE)):
            x = layout.begin(row, t) + (THERE if t == s else GONE) * layout.size
            heights = [y for at, y in points if abs(at - x) < 0.06]
            thick = max(heights) - min(heights)
            assert thick == pytest.approx(amounts[t, s] * scale, abs=0.11)


def test_what_is_let_go_hangs_below():
    trace = make_trace(SENTENCE)
    amounts = trace.belt().amounts()
    scale = HEIGHT / amounts.sum(1).max()
    root = parse(draw_belt(trace).to_string())
    hints = {}
    for rect in root.iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is not None and title.text.startswith("friend lets go"):
            hints[title.text.rsplit(" of ", 1)[1]] = float(rect.get("height"))
    lost = (amounts[5, 3] - amounts[6, 3]) * scale
    assert hints["pizza's luggage"] == pytest.approx(lost, abs=0.06)


def test_numbers_are_the_trace_s():
    trace = make_trace(SENTENCE)
    amounts = trace.belt().amounts()
    shown = texts(draw_belt(trace, focus=("pizza",)))
    for gate in trace["f"].mean(1)[1:]:
        assert f"{gate:.2f}" in shown
    for gate in trace["i"].mean(1):
        assert f"{gate:.2f}" in shown
    start = shown.index("pizza left") + 1
    left = [f"{amounts[t, 3] / amounts[3, 3]:.0%}" for t in range(3, len(SENTENCE))]
    assert shown[start : start + len(left)] == left


def test_guesses_stand_under_their_words(make_model):
    trace = make_model().trace("the cat likes pizza")
    shown = texts(draw_belt(trace))
    assert all(best[0].word in shown for best in trace.next_words(1))


@settings(max_examples=25)
@given(words=WORDS)
def test_labels_never_overlap(words):
    assert_tidy(draw_belt(make_trace(["⏎", *words]), focus=tuple(words[:3])))


def test_odd_words_and_long_texts():
    for words in (SPECIAL, ["⏎"], ["⏎", *(["word"] * 80)]):
        canvas = draw_belt(make_trace(words), width=900)
        assert_tidy(canvas)
        assert canvas.width <= 900


def test_two_pictures_in_one_scale():
    traces = [make_trace(SENTENCE, seed=seed) for seed in (1, 2)]
    full = full_belt(traces)
    assert full == pytest.approx(max(t.belt().amounts().sum(1).max() for t in traces))
    tops = [min(y for band in re.findall(r'd="(M[^"]*Z)"', draw_belt(t, full=full).to_string())
                for _, y in ends(band)) for t in traces]  # fmt: skip
    assert min(tops) == pytest.approx(42, abs=0.2)
    assert max(tops) > 43


def test_every_layer(make_model):
    trace = make_model(layers=3).trace("the cat sat")
    pictures = {draw_belt(trace, layer).to_string() for layer in range(3)}
    assert len(pictures) == 3


def test_an_rnn_has_none():
    assert set(ALL_CELLS) - set(BELTS) == {"rnn"}
    with pytest.raises(LensError, match="no belt"):
        draw_belt(make_trace(SENTENCE, "rnn"))


def test_nothing_on_the_belt():
    trace = make_trace(SENTENCE)
    for values in trace.values.values():
        values[:] = 0
    canvas = draw_belt(trace, focus=("pizza",))
    assert not np.isnan(canvas.height)
    assert "nan" not in canvas.to_string()


def test_a_phone_s_width_has_whole_labels():
    canvas = draw_belt(make_trace(SENTENCE), focus=("pizza", "burger"), width=358)
    assert canvas.width <= 358
    assert_tidy(canvas)
    shown = texts(canvas)
    assert {"f keeps", "i adds", "burger", "pizza"} <= set(shown)
    # There is no room for "burger left", so that both words stand alone beside their shares.
    assert not any(text.endswith(" left") for text in shown)
