"""Several models on one axis: the models' own probabilities, belts where there are any."""

import json

import numpy as np
import pytest

import carousel
from carousel.errors import LensError, PredictionError
from carousel.explain.model_comparison import ModelComparison
from carousel.explain.visualization import MAX_NOTEBOOK_WORDS
from drawn import assert_tidy, parse
from front_door import parts

A = "krish likes pizza but he does not like burger so he orders"
NAMES = ("stories-rnn", "stories-gru", "stories-lstm")


def compare(models, text, **options):
    return ModelComparison.of({name: parts(lm) for name, lm in models.items()}, text, **options)


@pytest.fixture(scope="module")
def shipped():
    return {name: carousel.load(name) for name in NAMES}


def test_curves_are_the_models_own_numbers(shipped):
    found = compare(shipped, A)
    assert found.compare == ("pizza", "burger")
    plots = {plot.caption: plot for plot in found.plots()}
    for name, model in shipped.items():
        trace = model.trace(A)
        p = trace.probabilities
        pizza = plots["how likely pizza is next"].curves[name]
        np.testing.assert_allclose(pizza, p[:, model.tokenizer.id("pizza")])
        came = plots["how likely the model found this word before it came"].curves[name]
        assert came[4] == pytest.approx(p[3, model.tokenizer.id("but")])
        assert np.isnan(came[0])
    left = plots["what is left of pizza's luggage (no belt: stories-rnn)"].curves
    assert list(left) == ["stories-gru", "stories-lstm"]
    amounts = shipped["stories-lstm"].trace(A).belt().amounts()
    np.testing.assert_allclose(left["stories-lstm"][3:], amounts[3:, 3] / amounts[3, 3])
    json.dumps(found.table(), allow_nan=False)


def test_drawn_everywhere(shipped):
    found = compare(shipped, A)
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
    found = compare(models, "the cat sat", compare=("pizza", "cat"))
    assert_tidy(found.draw())
    assert any(line.plain.startswith("…") for line in found.lines(80))


def test_models_that_read_differently(make_model):
    words, letters = make_model(), make_model(kind="chars")
    with pytest.raises(LensError, match="different tokens: a 3, b 11"):
        compare({"a": words, "b": letters}, "the cat sat")
    with pytest.raises(LensError, match="'sushi' is not a word of the vocabulary of a"):
        compare({"a": words, "b": words}, "the cat", compare=("sushi", "cat"))
    with pytest.raises(LensError, match="at most 2,000 can be drawn"):
        compare({"a": words, "b": words}, "the " * 2001)
    with pytest.raises(PredictionError):
        compare({"a": words, "b": words}, "zyx")


def test_the_page_names_every_model_and_its_size(shipped):
    text = "".join(parse(compare(shipped, A).to_html()).itertext())
    assert "Models: stories-rnn (RNN, 1 layer of" in text
    for name, lm in shipped.items():
        assert f"{name} ({lm.config.cell.upper()}, 1 layer of {lm.config.hidden_size} units" in text
        assert f"{lm.config.parameters:,} parameters" in text


def test_a_notebook_shows_the_first_words_of_a_long_text(make_model):
    models = {"a": make_model(), "b": make_model("rnn")}
    found = compare(models, "the cat sat on a mat " * 30, compare=("pizza", "cat"))
    html = found._repr_html_()
    parse(html)
    assert f"Only the first {MAX_NOTEBOOK_WORDS} of 181 words" in html
    assert "Only the first" not in compare(models, "the cat sat")._repr_html_()
    assert len(html) < len(found.draw().to_string())


def test_a_phone_s_width(shipped):
    drawing = compare(shipped, A).draw(358)
    assert drawing.width <= 358
    assert_tidy(drawing)
    words = [label.words for label in drawing.labels]
    assert "stories-lstm" in words
    assert not any(word.endswith("…") for word in words)
