"""The study of the context switch, on the shipped models and few stories."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from carousel.inference.model import RecurrentLM
from carousel.model import LanguageModel
from carousel.study import context_switch as study
from carousel.study.pairs import places, position, tell_pairs
from carousel.study.registry import conduct_study


@pytest.fixture
def small(monkeypatch):
    shipped = {cell: LanguageModel.load(f"stories-{cell}") for cell in ("rnn", "gru", "lstm")}
    monkeypatch.setattr(study, "story_models", lambda console, out, seeds: {1: shipped})
    monkeypatch.setattr(study, "GAPS", (4,))
    monkeypatch.setattr(study, "TEST_STORIES", 20)
    monkeypatch.setattr(study, "KNOWN_STORIES", 150)
    monkeypatch.setattr(study, "COUNTS", (10,))


def triple_seeds(table):
    """Make it as wide as three seeds are."""
    if isinstance(table, dict):
        for name, value in table.items():
            if name == "seeds" or (isinstance(value, list) and isinstance(value[0], dict)):
                table[name] = value * 3
            else:
                triple_seeds(value)


def test_the_study_from_end_to_end(small, tmp_path):
    said = io.StringIO()
    result = conduct_study(
        "context-switch",
        study,
        study.Arguments(tmp_path, seeds=1),
        out=tmp_path,
        console=Console(file=said, width=80),
    )
    folder = tmp_path / "context-switch"
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(result))
    for name in ("gates", "belt", "decision", "held"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
    triple_seeds(result)
    study.report(result, Console(file=said, width=80))
    text = said.getvalue()
    assert max(map(len, text.splitlines())) <= 80 + len(str(folder))
    assert "…" not in text
    lstm = result["cells"]["lstm"]
    left = lstm["left"]["switch"]["mean"]
    assert left[:2] == [0, 0]
    assert left[2] == 1 > left[3] > left[-1]
    # Up to "but" both stories are one.
    for name in ("gate", "left"):
        assert lstm[name]["same"]["mean"][:4] == lstm[name]["switch"]["mean"][:4]
    assert lstm["held"]["nothing"]["all"]["mean"][1] > 0.9
    assert set(result["cells"]["gru"]["held"]) == {
        "nothing", "z=1 at friend", "z=1 at likes", "z=1 at food 2", "z=1 his to food 2",
    }  # fmt: skip
    for found in lstm["units"]["friend / he"]:
        assert found["separation"] > found["shuffled_95"][2]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_decision_adds_up_to_the_logits(cell):
    model = LanguageModel.load(f"stories-{cell}")
    story = tell_pairs([4])[3].switch
    trace = model.trace(story.question)
    parts = study._decision(story, trace)
    assert len(parts) == len(places("switch"))
    a, b = model.tokenizer.id(story.answer), model.tokenizer.id(story.rival)
    bias = model.model.weights["decoder.bias"]
    gap = trace.logits[-1, a] - trace.logits[-1, b]
    start = trace.belt().decision(story.answer, story.rival)[0]
    assert parts.sum() + start + bias[a] - bias[b] == pytest.approx(float(gap), abs=1e-3)


def test_what_counts_as_falling_back():
    pairs = tell_pairs([4])[:12]
    stories = [pair.switch for pair in pairs]

    class Parrot(RecurrentLM):
        """Answers with the first food of the first story, whatever is asked."""

        def logits(self, hidden):
            scores = np.zeros((len(hidden), self.config.vocab_size))
            scores[:, shipped.tokenizer.id(stories[0].rival)] = 1
            return scores

    shipped = LanguageModel.load("stories-rnn")
    parrot = LanguageModel(Parrot(shipped.config, shipped.model.weights), shipped.tokenizer)
    back, right = study.outcome(parrot, stories).T
    word = stories[0].rival
    assert back.tolist() == [story.rival == word for story in stories]
    assert right.tolist() == [story.answer == word for story in stories]


def test_pairs_that_choose_units_do_not_begin_alike():
    pairs = tell_pairs(study.GAPS)
    rows = study._told_apart(pairs)
    begin = [pairs[row].switch.question.split()[:3] for row in rows]
    assert len({tuple(words) for words in begin}) == len(rows) > 20
    assert {position(pairs[row].switch, "friend") for row in rows} == {6}
