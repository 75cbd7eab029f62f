"""The studies' models: trained once, used again, trained anew where the recipe is another."""

import io
import json
import shutil

import pytest
from rich.console import Console

from carousel.errors import FolderError
from carousel.pretrained import PRETRAINED
from carousel.study import story_models
from carousel.study.story_models import RECORD


@pytest.fixture
def trained(monkeypatch):
    """The seeds trained so far; training is taken for granted, and gives the shipped models."""
    seeds = []

    def write(out, seed):
        out.mkdir(parents=True, exist_ok=True)
        return out / "train", out / "valid"

    def train(console, folders, train_file, valid_file, seed, overrides):
        seeds.append(seed)
        for path in folders.values():
            shutil.copytree(PRETRAINED / path.name, path, dirs_exist_ok=True)

    monkeypatch.setattr(story_models, "write_stories", write)
    monkeypatch.setattr(story_models, "train_side_by_side", train)
    return seeds


def make(out, seeds=1, overrides=None):
    said = io.StringIO()
    # Another seed of the weights than any shipped model has, so that there is something to train.
    made = story_models.story_models(
        Console(file=said), out, seeds, {"seed": 7} | (overrides or {})
    )
    return made, said.getvalue()


def test_the_pretrained_models_are_seed_1_while_the_recipe_is_theirs(trained, tmp_path):
    said = io.StringIO()
    made = story_models.story_models(Console(file=said), tmp_path, 2)
    assert trained == [2]
    for cell, model in made[1].items():
        assert model.path == PRETRAINED / f"stories-{cell}"
    assert made[2]["gru"].path == tmp_path / "models" / "seed-2" / "stories-gru"
    story_models.story_models(Console(file=said), tmp_path, 1, {"epochs": 4.0})
    assert trained == [2, 1]


def test_trained_once_and_used_again(trained, tmp_path):
    made, said = make(tmp_path, seeds=2)
    assert trained == [1, 2]
    assert "seed 1 of 2" in said
    assert list(made) == [1, 2]
    assert {cell: model.config.cell for cell, model in made[1].items()} == {
        cell: cell for cell in ("rnn", "gru", "lstm")
    }
    assert made[2]["gru"].path == tmp_path / "models" / "seed-2" / "stories-gru"
    _, said = make(tmp_path, seeds=2)
    assert (trained, said) == ([1, 2], "")
    make(tmp_path, seeds=3)
    assert trained == [1, 2, 3]


def test_another_recipe_is_trained_anew(trained, tmp_path, monkeypatch):
    make(tmp_path)
    make(tmp_path, overrides={"learning_rate": 0.001})
    assert trained == [1, 1]
    record = json.loads((tmp_path / "models" / "seed-1" / RECORD).read_text())
    assert "learning_rate = 0.001" in record["settings"]["gru"]
    make(tmp_path)
    monkeypatch.setattr(story_models, "STORIES", 10)
    make(tmp_path)
    assert trained == [1, 1, 1, 1]


def test_half_trained_and_damaged_models_are_trained_anew(trained, tmp_path, monkeypatch):
    make(tmp_path)
    folder = tmp_path / "models" / "seed-1"
    (folder / "stories-gru" / "model.safetensors").write_bytes(b"")
    make(tmp_path)
    (folder / RECORD).write_text("{")
    make(tmp_path)
    assert trained == [1, 1, 1]

    def breaks(*given):
        raise FolderError("a training process died")

    monkeypatch.setattr(story_models, "train_side_by_side", breaks)
    with pytest.raises(FolderError):
        make(tmp_path, overrides={"epochs": 0.1})
    assert not (folder / RECORD).exists(), "an old record beside new models"
