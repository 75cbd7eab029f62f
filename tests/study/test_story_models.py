"""The studies' models: trained once, used again, trained anew where the recipe is another."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from carousel.study import demo, story_models
from carousel.study.story_models import RECORD

FAST = {"epochs": 0.02}


@pytest.fixture
def few(monkeypatch):
    for name, count in (("STORIES", 600), ("VALIDATION_STORIES", 50)):
        monkeypatch.setattr(demo, name, count)
        monkeypatch.setattr(story_models, name, count)


def make(out, seeds=1, **overrides):
    said = io.StringIO()
    made = story_models.story_models(Console(file=said), out, seeds, FAST | overrides)
    return made, said.getvalue()


def test_trained_once_and_used_again(few, tmp_path, monkeypatch):
    made, said = make(tmp_path)
    assert "seed 1 of 1" in said
    assert {cell: model.config.cell for cell, model in made[1].items()} == {
        cell: cell for cell in ("rnn", "gru", "lstm")
    }
    again, said = make(tmp_path)
    assert said == ""
    for cell, model in again[1].items():
        for name, weight in model.weights.items():
            np.testing.assert_array_equal(weight, made[1][cell].weights[name])

    trained = []
    monkeypatch.setattr(story_models, "train_side_by_side", lambda *given: trained.append(given[4]))
    make(tmp_path, seeds=1, learning_rate=0.001)
    assert trained == [1], "another recipe"
    record = tmp_path / "models" / "seed-1" / RECORD
    assert "0.001" in json.loads(record.read_text())["settings"]["gru"]
    record.unlink()
    make(tmp_path, seeds=1, learning_rate=0.001)
    assert trained == [1, 1], "left half trained"
    (tmp_path / "models" / "seed-1" / "stories-gru" / "model.safetensors").write_bytes(b"")
    with pytest.raises(Exception, match="stories-gru"):
        make(tmp_path, seeds=1, learning_rate=0.001)
    assert trained == [1, 1, 1], "a damaged model"
