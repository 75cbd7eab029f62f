"""Everything of a text together: pages that need nothing from elsewhere, numbers for JSON."""

import json

import numpy as np
import pytest
from rich.text import Text

import carousel
from carousel.errors import FolderError, LensError, PredictionError, UntouchedWarning
from carousel.explain.explanation import Explanation
from carousel.explain.explanation_page import MAX_CELLS
from carousel.explain.visualization import MAX_NOTEBOOK_WORDS
from carousel.explain.wording import explain_contradiction
from drawn import ALL_CELLS, SVG, assert_tidy, parse
from front_door import parts

TEXT = "the cat likes pizza but the dog likes"
OTHER = "the cat likes pizza but a dog orders"
A = "krish likes pizza but he does not like burger so he orders"
B = "krish likes pizza but his friend likes burger so his friend orders"


def explain(lm, texts, **options):
    return Explanation.of(*parts(lm), texts, **options)


def drawings(page):
    """The page, and its drawings: of each, what it is for the windows' widths."""
    root = parse(page)
    return root, [list(figure.iter(f"{SVG}svg")) for figure in root.iter("figure")]


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("texts", [[TEXT], [TEXT, OTHER]])
def test_a_page_for_every_cell(cell, texts, make_model):
    found = explain(make_model(cell, layers=2), texts)
    root, pictures = drawings(found.to_html())
    assert len(root.findall(".//script")) == 1
    words = sum(len(trace) for trace in found.traces)
    belts = 0 if cell == "rnn" else 1
    shared = len(texts) - 1
    decided = len(found.decisions())
    assert len(pictures) == 2 * words + 2 * len(texts) * (1 + belts) + shared + decided
    assert all(pictures)
    for canvas in found.pictures():
        assert_tidy(canvas)
    json.dumps(found.table(), allow_nan=False)
    assert all(isinstance(line, Text) for line in found.lines(80))


def test_every_word_has_its_cell_without_a_script(make_model):
    root, _ = drawings(explain(make_model(), TEXT).to_html())
    (steps,) = (div for div in root.iter("div") if div.get("class") == "steps")
    assert [f.get("data-word") for f in steps] == ["⏎", *TEXT.split()]
    assert not any(f.get("hidden") for f in steps)


def test_text_is_escaped_everywhere(make_model):
    text = "<script>alert(1)</script> & \"it's\" ]]> <!-- 'x'"
    model = make_model(kind="whitespace", text=text)
    for found in (explain(model, text), explain(model, [text, text + " &"])):
        page = found.to_html()
        root, _ = drawings(page)
        assert page.count("<script>") == 1
        assert text in "".join(root.itertext())
        assert "<script>alert" not in page
        parse(found.picture().to_string())


def test_characters_and_byte_pairs(make_model):
    for kind, vocab in (("chars", None), ("bpe", 300)):
        model = make_model(kind=kind, vocab=vocab, text="the café\tis <open>\n" * 3)
        found = explain(model, "the café\tis")
        drawings(found.to_html())
        assert found.focus == ()


def test_two_texts_and_what_decides():
    found = explain(carousel.load(), [A, B])
    assert found.compare == ("pizza", "burger")
    assert found.patched is not None
    totals = [decision.total for _, decision in found.decisions()]
    assert totals[0] > 0 > totals[1]
    table = found.table()
    assert table["decision"][0]["logit_difference"] == totals[0]
    np.testing.assert_allclose(
        table["texts"][0]["layers"][0]["belt"], found.traces[0].belt().amounts()
    )


def test_clamps_before_and_after():
    model = carousel.load()
    found = explain(model, B, clamps=["forget=1@friend"], compare=("Pizza", "burger"))
    assert found.compare == ("pizza", "burger")
    assert found.traces[1]["f"][6].min() == 1
    assert found.table()["effect"]["kl_divergence"] == found.effect.divergence
    text = "\n".join(line.plain for line in found.lines(80))
    assert "the next word with forget=1@friend" in text
    assert "What the clamps change" in found.to_html()


def test_patching_that_would_take_too_long_is_left_out(make_model, monkeypatch):
    found = explain(make_model(), [TEXT, OTHER], compare=("pizza", "pie"))
    assert found.patched is not None
    monkeypatch.setattr("carousel.explain.explanation.MAX_PATCHING", 10)
    found = explain(make_model(), [TEXT, OTHER], compare=("pizza", "pie"))
    assert found.patched is None
    assert "too long to try" in found.to_html()
    assert "too long to try" in "\n".join(line.plain for line in found.lines())


def test_an_rnn_s_prediction_under_a_clamp(make_model):
    found = explain(make_model("rnn"), TEXT, clamps=["hidden=0@dog"], compare=("pizza", "pie"))
    assert found.decisions() == []
    assert found.effect.difference_after is not None


def test_long_texts_have_the_last_cells(make_model):
    found = explain(make_model(), "the cat " * 40)
    root, _ = drawings(found.to_html())
    (steps,) = (div for div in root.iter("div") if div.get("class") == "steps")
    assert len(steps) == MAX_CELLS
    assert f"(the last {MAX_CELLS} words)" in found.to_html()


def test_files(tmp_path, make_model):
    found = explain(make_model("rnn"), TEXT)
    found.write_html(tmp_path / "a.html")
    found.write_svg(tmp_path / "a.svg")
    found.write_png(tmp_path / "a.png")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == found.to_html()
    parse((tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FolderError, match="can't be written"):
        found.write_html(tmp_path)
    parse(found._repr_html_())


def test_numbers_of_the_table(make_model):
    model = make_model(layers=2)
    table = explain(model, TEXT).table()
    trace = model.trace(TEXT)
    (text,) = table["texts"]
    assert text["words"] == trace.words
    forget = text["layers"][1]["gates"]["forget"]
    np.testing.assert_allclose(forget["mean"], trace["f", 1].mean(1), rtol=1e-6)
    np.testing.assert_allclose(forget["spread"], trace["f", 1].std(1), rtol=1e-6)
    for unit, values in forget["units"].items():
        np.testing.assert_allclose(values, trace["f", 1][:, int(unit)], rtol=1e-6)
    assert text["next_words"][3][0] == trace.next_words(1)[3][0]._asdict()


def test_what_cannot_be_explained(make_model):
    model = make_model()
    with pytest.raises(LensError, match="one text or two, not 3"):
        explain(model, ["the", "cat", "sat"])
    with pytest.raises(LensError, match="clamps act on one text"):
        explain(model, [TEXT, OTHER], clamps=["forget=1"])
    with pytest.raises(LensError, match="'sushi' is not a word of the vocabulary"):
        explain(model, TEXT, compare=("sushi", "pie"))
    with pytest.raises(LensError, match="plain RNN has no belt"):
        explain(make_model("rnn"), TEXT, compare=("pizza", "pie"))
    with pytest.raises(PredictionError, match="none of the words"):
        explain(model, "zyx wvu")
    with pytest.raises(LensError, match=r"2,001 tokens, but at most 2,000 can be drawn"):
        explain(model, "the " * 2001)
    with pytest.warns(UntouchedWarning):
        explain(model, TEXT, clamps=["forget=1@99"])


@pytest.mark.parametrize("texts", [TEXT, [TEXT, OTHER]])
def test_a_notebook_shows_all_of_a_short_text(texts, make_model):
    found = explain(make_model(), texts)
    shown = parse(found._repr_html_())
    words = {label for svg in shown.iter(f"{SVG}text") for label in svg.itertext()}
    assert {"pizza", "likes"} <= words
    assert "Only the first" not in found._repr_html_()


def test_a_notebook_shows_the_first_words_of_a_long_text(make_model):
    lm = make_model()
    long = " ".join([TEXT] * 20)
    for texts in (long, [long, long + " pie"]):
        found = explain(lm, texts, compare=("pizza", "pie"))
        html = found._repr_html_()
        parse(html)
        assert f"Only the first {MAX_NOTEBOOK_WORDS} of 161 words" in html or len(texts) == 2
        assert len(html) < 1_000_000
    assert len(found.traces[0]) == 161
    (_, decision), *_ = found.decisions()
    shown = parse(html)
    written = {text.text for text in shown.iter(f"{SVG}text")}
    # The decision's drawing is of the last words, and its parts still add up to the difference.
    assert any(f"is {decision.total:+.2f}" in (text or "") for text in written)


def test_a_notebook_s_belt_of_60_words_holds_no_more(make_model):
    lm = make_model(kind="whitespace", text=" ".join(f"w{k}" for k in range(100)))
    html = explain(lm, " ".join(f"w{k}" for k in range(100)))._repr_html_()
    words = {text.text for text in parse(html).iter(f"{SVG}text")}
    assert {f"w{k}" for k in range(MAX_NOTEBOOK_WORDS - 1)} <= words


def test_belt_and_decision_that_disagree_are_explained():
    lm = carousel.load()
    found = explain(lm, B, compare=("pizza", "burger"))
    (_, decision), *_ = found.decisions()
    sentence = explain_contradiction(decision)
    assert decision.winner == "burger"
    assert decision.own_share() < 0
    assert f"burger's own luggage speaks against burger ({decision.own_share():+.1f})" in sentence
    strongest = decision.words[int(decision.for_winner().argmax())]
    assert f"later words carry it on, above all {strongest}" in sentence
    assert sentence in "".join(parse(found.to_html()).itertext())
    assert " ".join(sentence.split()) in " ".join(
        " ".join(line.plain for line in found.lines(80)).split()
    )


def test_belt_and_decision_that_agree_need_no_sentence(make_model):
    found = explain(make_model(), TEXT, compare=("pizza", "pie"))
    (_, decision), *_ = found.decisions()
    shares = np.zeros(len(decision.words))
    shares[decision.words.index("pizza")] = 2.0
    assert explain_contradiction(decision._replace(shares=shares, bias=0.0)) is None
    assert explain_contradiction(decision._replace(shares=-shares, bias=5.0)) is not None
    # The winner has no luggage of its own.
    assert explain_contradiction(decision._replace(shares=-shares, bias=0.0)) is None
