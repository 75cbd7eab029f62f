"""The study of going back, on the shipped models and few stories."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from carousel.lens.units import halves
from carousel.model import LanguageModel
from carousel.study import going_back as study
from carousel.study.pairs import places, trace_questions
from carousel.study.registry import conduct_study
from carousel.study.stories import tell_stories


@pytest.fixture
def small(monkeypatch):
    shipped = {cell: LanguageModel.load(f"stories-{cell}") for cell in ("rnn", "gru", "lstm")}
    monkeypatch.setattr(study, "story_models", lambda console, out, seeds: {1: shipped, 2: shipped})
    monkeypatch.setattr(study, "GAPS", (4,))
    monkeypatch.setattr(study, "TEST_STORIES", 60)
    monkeypatch.setattr(study, "KNOWN_STORIES", 150)
    monkeypatch.setattr(study, "COUNTS", (2, 10))


def test_the_study_from_end_to_end(small, tmp_path):
    said = io.StringIO()
    result = conduct_study(
        "going-back",
        study,
        study.Arguments(tmp_path, seeds=2),
        out=tmp_path,
        console=Console(file=said, width=80),
    )
    folder = tmp_path / "going-back"
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(result))
    for name in ("survival", "ablation"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
    assert "…" not in said.getvalue()
    cells = result["cells"]
    assert "left" not in cells["rnn"], "a plain RNN has no belt"
    for made in cells.values():
        assert len(made["read"]["mean"]) == len(places("return"))
        assert len(made["units"][0]) == study.BEST
    lstm = cells["lstm"]
    assert lstm["left"]["mean"][2] == 1 == lstm["left_found"]["mean"][2]
    # No word has told the first food before it stands there.
    assert lstm["read"]["mean"][0] < 0.4 < 0.9 < lstm["read"]["mean"][2]
    # The shipped GRU goes back; the LSTM gets at least every order of the friend right.
    assert cells["gru"]["before"]["mean"][0] > 0.9 < lstm["before"]["mean"][1]


def test_ablated_units_have_the_mean_of_that_word_and_others_are_left_alone():
    model = LanguageModel.load("stories-lstm")
    stories = list(tell_stories(20, seed=4, kinds=["return"], gaps=[4, 8], held_out=True))
    facts = np.array([" ".join(story.words[:8]) for story in stories])
    choosing = halves(facts, np.random.default_rng(0))
    look = study.look_inside(model, stories, stories, choosing)
    with model.clamp(study.ablation(model, look, 3)) as held:
        after = trace_questions(held, stories)
    before = trace_questions(model, stories)
    at, units = places("return").index("food2") + 1, look["order"][:3]
    mean = np.mean([t["c"][at] for t, chose in zip(before, choosing, strict=True) if chose], axis=0)
    others = np.setdiff1d(np.arange(96), units)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new["c"][at, units], mean[units], rtol=1e-5)
        np.testing.assert_allclose(new["c"][at, others], old["c"][at, others], atol=1e-5)
        np.testing.assert_allclose(new["c"][:at], old["c"][:at], atol=1e-5)


def test_both_answers_are_asked_for_where_they_stand():
    model = LanguageModel.load("stories-lstm")
    stories = list(tell_stories(15, seed=5, kinds=["return"], gaps=[4, 5], held_out=True))
    found = study.answers(model, stories)
    for story, (back, friend, confused) in zip(stories, found, strict=True):
        words = story.question.split()
        assert words[-5] == "orders"
        for text, answer, right in (
            (words, story.answer, back),
            (words, story.rival, confused),
            (words[: -study.FRIEND_ASKED], story.rival, friend),
        ):
            assert (model.next_words(" ".join(text), k=1)[0].word == answer) == right
