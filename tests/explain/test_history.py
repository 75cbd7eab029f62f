"""The history of a training run."""

import json

import pytest

import carousel
from carousel.errors import FolderError
from carousel.explain.history import History


def row(epoch, valid):
    return {
        "epoch": epoch, "train_perplexity": 9.0, "valid_perplexity": valid, "valid_loss": valid / 4,
    }  # fmt: skip


METRICS = [row(1.0, 8.0), row(2.0, 6.0), row(3.0, 7.0), {"five_gram_perplexity": 5.5}]


def test_it_is_a_table_with_the_best_marked_and_draws_itself(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in METRICS))
    history = History.of_folder(tmp_path)
    assert history.best == METRICS[1]
    assert history.five_gram_perplexity == 5.5
    lines = repr(history).splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ["8.0", "best", "7.0"]
    assert history._repr_png_().startswith(b"\x89PNG")


def test_a_long_run_shows_its_last_validations():
    shown = repr(History([row(float(epoch), 9.0) for epoch in range(40)])).splitlines()
    assert len(shown) == 14
    assert "28 earlier" in shown[1]


def test_a_model_that_was_never_trained_here_has_an_empty_history(tmp_path):
    assert History.of_folder(tmp_path).rows == []
    assert repr(History([])) == "History(no validations)"
    assert History([])._repr_png_() is None
    (tmp_path / "metrics.jsonl").write_text("[1, 2")
    with pytest.raises(FolderError, match=r"metrics\.jsonl"):
        History.of_folder(tmp_path)


def test_training_returns_a_model_with_its_history(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("see you tomorrow\nsee you soon\n" * 60)
    sizes = {"hidden_size": 7, "embedding_size": 7, "epochs": 2, "batch_size": 2, "bptt": 5}
    kept = carousel.train(text, out=tmp_path / "m", progress=False, **sizes)
    free = carousel.train(text, progress=False, **sizes)
    for history in (kept.history, free.history, carousel.load(tmp_path / "m").history):
        assert history.rows[-1]["epoch"] == 2
        assert 1 < history.five_gram_perplexity < history.unigram_perplexity
