"""Several models on one axis: the models' own probabilities, belts where there are any."""

import json

import numpy as np
import pytest

import carousel
from carousel.errors import LensError, PredictionError
from carousel.explain.model_comparison import SideBySide
from drawn import assert_tidy, parse

A = "krish likes pizza but he does not like burger so he orders"
NAMES = ("stories-rnn", "stories-gru", "stories-lstm")


@pytest.fixture(scope="module")
def shipped():
    return {name: carousel.load(name) for name in NAMES}


def test_curves_are_the_models_own_numbers(shipped):
    found = SideBySide.of(shipped, A)
    assert found.compare == ("pizza", "burger")
    panels = {panel.caption: panel for panel in found.panels()}
    for name, model in shipped.items():
        trace = model.trace(A)
        p = trace.probabilities
        pizza = panels["how likely pizza is next"].curves[name]
        np.testing.assert_allclose(pizza, p[:, model.tokenizer.id("pizza")])
        came = panels["how likely the model found this word before it came"].curves[name]
        assert came[4] == pytest.approx(p[3, model.tokenizer.id("but")])
        assert np.isnan(came[0])
    left = panels["what is left of pizza's luggage (no belt: stories-rnn)"].curves
    assert list(left) == ["stories-gru", "stories-lstm"]
    amounts = shipped["stories-lstm"].trace(A).belt().amounts()
    np.testing.assert_allclose(left["stories-lstm"][3:], amounts[3:, 3] / amounts[3, 3])
    json.dumps(found.table(), allow_nan=False)


def test_drawn_everywhere(shipped):
    found = SideBySide.of(shipped, A)
    for width in (600, 1180):
        assert_tidy(found.draw(width))
    parse(found.picture().to_string())
    page = parse(found.to_html())
    assert len([div for div in page.iter("div") if div.get("class") == "steps"]) == 3
    for width in (80, 160):
        lines = [line.plain for line in found.lines(width)]
        assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…tories-lstm" not in text
    assert text.count("stories-rnn") >= 4


def test_many_models_with_long_names(make_model):
    models = {f"{'m' * 60}{k}": make_model(seed=k) for k in range(5)}
    found = SideBySide.of(models, "the cat sat", compare=("pizza", "cat"))
    assert_tidy(found.draw())
    assert any(line.plain.startswith("…") for line in found.lines(80))


def test_models_that_read_differently(make_model):
    words, letters = make_model(), make_model(kind="chars")
    with pytest.raises(LensError, match="different tokens: a 3, b 11"):
        SideBySide.of({"a": words, "b": letters}, "the cat sat")
    with pytest.raises(LensError, match="'sushi' is not a word of the vocabulary of a"):
        SideBySide.of({"a": words, "b": words}, "the cat", compare=("sushi", "cat"))
    with pytest.raises(LensError, match="at most 2,000 can be drawn"):
        SideBySide.of({"a": words, "b": words}, "the " * 2001)
    with pytest.raises(PredictionError):
        SideBySide.of({"a": words, "b": words}, "zyx")
