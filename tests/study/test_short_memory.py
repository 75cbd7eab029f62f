"""Short memory, on models whose memory is known, and the whole study with little of everything."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from carousel.model import LanguageModel
from carousel.study import short_memory, short_memory_report
from carousel.study.intervals import wilson
from carousel.study.registry import conduct_study
from carousel.study.short_memory import decider_gradients, summarise
from carousel.study.short_memory_report import half_distance
from carousel.study.stories import tell_stories

CELLS = ("rnn", "gru", "lstm")


def test_half_distance_of_a_power_is_its_own():
    assert half_distance(0.8 ** np.arange(30)) == pytest.approx(np.log(0.5) / np.log(0.8))


def test_a_model_without_recurrence_owes_all_to_the_last_word():
    model = LanguageModel.load("stories-rnn")
    weights = {name: weight.copy() for name, weight in model.model.weights.items()}
    for name in weights:
        if "weight_hh" in name:
            weights[name][:] = 0
    forgetful = LanguageModel.from_weights(model.config, weights, model.tokenizer)
    stories = list(tell_stories(20, seed=5, held_out=True))
    reach, share = decider_gradients(forgetful, stories)
    assert reach.max() == 0 == share.max()
    reach, share = decider_gradients(model, stories)
    assert reach.min() > 0
    assert (share > 0).all()
    assert (share < 1).all()


def test_stories_of_all_lengths_at_once_are_as_one_by_one():
    model = LanguageModel.load("stories-gru")
    stories = list(tell_stories(12, seed=6, held_out=True))
    together = np.array(decider_gradients(model, stories))
    alone = np.concatenate([decider_gradients(model, [story]) for story in stories], axis=1)
    np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_the_seeds_are_counted_together():
    rows = [
        {"cell": "rnn", "seed": seed, "gap": 4, "right": right, "stories": 10, "distance": 9.0,
         "reach": right / 2, "share": 0.1}
        for seed, right in ((1, 4), (2, 8))
    ]  # fmt: skip
    found = summarise([*rows, rows[0] | {"gap": 0}, rows[0] | {"cell": "gru"}], "rnn", 4)
    assert found["accuracy"] == 0.6
    assert found["wilson"] == wilson(12, 20)
    assert found["seeds_from_to"] == (0.4, 0.8)
    assert found["reach"] == (3, 2, 4)


def test_the_study_with_little_of_everything(tmp_path, monkeypatch):
    models = {cell: LanguageModel.load(f"stories-{cell}") for cell in CELLS}
    monkeypatch.setattr(short_memory, "story_models", lambda *given: {1: models, 2: models})
    for name, count in (("STORIES", 4), ("GRADIENT_STORIES", 3), ("REPLACED_STORIES", 1),
                        ("REPLACEMENTS", 1), ("TESTED_GAPS", (0, 8))):  # fmt: skip
        monkeypatch.setattr(short_memory, name, count)
    monkeypatch.setattr(short_memory_report, "TESTED_GAPS", (0, 8))
    said = io.StringIO()
    result = conduct_study(
        "short-memory",
        short_memory,
        short_memory.Arguments(tmp_path, seeds=2),
        out=tmp_path,
        console=Console(file=said, width=100),
    )
    folder = tmp_path / "short-memory"
    told = json.loads((folder / "results.json").read_text())
    assert told == json.loads(json.dumps(result))
    assert (folder / "short-memory.png").stat().st_size > 10_000
    assert len(result["by_gap"]) == 3 * 2
    assert {row["stories"] for row in result["by_seed"]} == {20}
    for cell in CELLS:
        assert cell.upper() in said.getvalue()
        before = np.array(result["profile"][cell]["before"])
        assert before.shape == (2, 20)
        np.testing.assert_array_equal(before[:, 0], 1)
    # What the literature says of the plain RNN holds before training.
    assert half_distance(result["profile"]["rnn"]["before"][0]) < 3
