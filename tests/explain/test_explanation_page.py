"""The page of an explanation: it fits every window, and says what all its signs mean."""

import re

import numpy as np
import pytest

import carousel
from carousel.explain.explanation import Explanation
from carousel.explain.explanation_page import cell_steps
from carousel.explain.html_report import WIDTHS
from carousel.lens.names import cell_of
from drawn import ALL_CELLS, SVG, assert_tidy, parse
from front_door import parts

A = "krish likes pizza but he does not like burger so he orders"
B = "krish likes pizza but his friend likes burger so his friend orders"
PADDING = 32
"""Pixels that the page leaves free on both sides together."""


@pytest.fixture(scope="module")
def explanations():
    lm = carousel.load()
    compare = ("pizza", "burger")
    return {
        "one": Explanation.of(*parts(lm), B, compare=compare, name="stories-lstm"),
        "two": Explanation.of(*parts(lm), [A, B]),
        "clamped": Explanation.of(*parts(lm), B, clamps=["input=0@burger"], compare=compare),
    }


def signs(explanation):
    """The signs that the page explains, and their meanings."""
    root = parse(explanation.to_html())
    (meanings,) = root.iter("dl")
    return dict(zip(
        (e.text for e in meanings.iter("dt")), (e.text for e in meanings.iter("dd")), strict=True
    ))  # fmt: skip


@pytest.mark.parametrize("name", ["one", "two", "clamped"])
@pytest.mark.parametrize("window", [390, 800, 1100, 1440])
def test_every_window_shows_each_drawing_once_and_it_fits(name, window, explanations):
    page = explanations[name].to_html()
    root = parse(page)
    (here,) = (w for w, (low, high) in WIDTHS.items() if low <= window <= (high or window))
    assert re.search(
        rf"@media\(min-width:{WIDTHS[here][0]}px\)[^{{]*{{\.w{here}{{display:block}}", page
    )
    drawn = [figure for figure in root.iter("figure") if figure.get("data-word") is None]
    assert len(drawn) >= 3
    for figure in drawn:
        (shown,) = (div for div in figure if f"w{here}" in div.get("class").split())
        (svg,) = shown.iter(f"{SVG}svg")
        assert float(svg.get("width")) <= min(window - PADDING, 1180)


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_drawings_of_a_phone_s_width_are_tidy(cell, make_model):
    lm = make_model(cell, layers=2)
    words = "the cat likes pizza but the dog likes"
    explanations = [
        Explanation.of(*parts(lm), [words, words + " pie"], compare=("pizza", "pie")),
        Explanation.of(*parts(lm), words, clamps=["hidden=0@dog"], compare=("pizza", "pie")),
    ]
    for explanation in explanations:
        drawings = [draw(358) for draw in explanation.gate_drawings()]
        for canvas in [*drawings, *explanation.pictures(358)]:
            assert canvas.width <= 358
            assert_tidy(canvas)


def test_the_page_says_which_model_it_is_about(explanations):
    text = "".join(parse(explanations["one"].to_html()).itertext())
    config = explanations["one"].traces[0].config
    assert "Model: stories-lstm (LSTM, 1 layer of" in text
    assert f"{config.parameters:,} parameters" in text


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_the_legend_has_every_gate_and_state(cell, make_model):
    lm = make_model(cell)
    meanings = signs(Explanation.of(*parts(lm), "the cat likes zyx"))
    for name in cell_of(lm.config).names:
        assert name in meanings or f"|{name}|" in meanings
    assert ("luggage" in meanings) == cell_of(lm.config).has_belt
    assert "<…>" in meanings
    assert "KL" not in meanings
    assert all(meanings.values())


def test_the_legend_has_only_what_the_page_shows(explanations):
    one, clamped = signs(explanations["one"]), signs(explanations["clamped"])
    assert "⏎" in one
    assert "<…>" not in one
    assert "logit" in one
    assert set(clamped) - set(one) == {"KL"}


def test_next_words_and_the_rest_add_up(explanations):
    root = parse(explanations["one"].to_html())
    table = next(root.iter("table"))
    shares = [float(cells[-1].text[:-1]) for cells in table.iter("tr") if cells[0].tag == "td"]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    trace = explanations["one"].traces[0]
    best = trace.next_words(1)[-1][0]
    first = next(cells for cells in table.iter("tr") if cells[0].tag == "td")
    assert (first[0].text, first[-1].text) == (best.word, f"{best.probability:.1%}")


def test_a_cell_s_numbers_stand_below_its_diagram_too(make_model):
    trace = make_model("gru").trace("the cat likes")
    (figure, *_) = parse(cell_steps(trace, 0, 3))
    (numbers,) = figure.iter("p")
    assert f"z {trace['z'][3].mean():.2f}" in numbers.text
    assert f"|n| {np.abs(trace['n'][3]).mean():.2f}" in numbers.text
    assert f"keep {np.abs(trace['keep'][3]).mean():.2f}" in numbers.text


def test_what_clamps_change_is_in_the_page(explanations):
    effect = explanations["clamped"].effect
    text = "".join(parse(explanations["clamped"].to_html()).itertext())
    assert f"is {effect.divergence:.3f} nats" in text
    assert any(change.before - change.after > 0.1 for change in effect.changes)
    for change in effect.changes:
        assert f"{change.word}{change.before:.1%}{change.after:.1%}" in text
