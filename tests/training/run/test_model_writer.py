"""The model folder of a run: the best model, all its metrics, and what was there before."""

import json
import math

import numpy as np
import pytest
import torch

from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder
from carousel.text.vocabulary import train_tokenizer
from carousel.training.nn.network import Network
from carousel.training.run.model_writer import ModelWriter
from carousel.training.run.progress import Outcome, Progress
from carousel.training.settings import Settings

TOKENIZER = train_tokenizer("words", ["a b c"])


def make(folder, replaces=False):
    sizes = {"embedding_size": 2, "hidden_size": 2, "layers": 1, "tied": False}
    network = Network(Config(cell="rnn", vocab_size=TOKENIZER.vocab_size, **sizes))
    settings = Settings(embedding_size=2, hidden_size=2, tie_embeddings=False)
    return ModelWriter(network, TOKENIZER, settings, folder, replaces=replaces)


def mark(writer, value):
    """Give the network weights that are told apart."""
    with torch.no_grad():
        for weight in writer.network.parameters():
            weight.fill_(value)


def written(folder):
    """Which weights the folder holds."""
    return float(np.unique(read_folder(folder).weights["layers.0.weight_hh"]).item())


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def steps(folder):
    return [row["step"] for row in rows_of(folder)]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def validate(writer, step, loss, is_best):
    mark(writer, step)
    lowest = loss if is_best else 0.5
    now = Progress(step=step, epoch=step / 10, train_loss=3.0, valid_loss=loss, best_loss=lowest)
    writer.on_validation(now, is_best=is_best)
    return now


def test_the_best_model_stays_and_all_validations_are_told(tmp_path):
    writer = make(tmp_path / "m")
    mark(writer, 7)
    writer.on_train_begin(Progress(), [])
    assert written(tmp_path / "m") == 7  # a model is there before the first step
    assert steps(tmp_path / "m") == []
    for step, loss, best in ((10, 3.0, True), (20, 2.0, True), (30, 2.5, False), (40, 2.2, False)):
        validate(writer, step, loss, best)
        assert written(tmp_path / "m") == min(step, 20)
        assert steps(tmp_path / "m") == list(range(10, step + 1, 10))
    writer.on_train_end(Outcome("finished", 2.0))
    assert written(tmp_path / "m") == 20
    assert steps(tmp_path / "m") == [10, 20, 30, 40]
    writer.add_row({"test_loss": 2.1})
    assert rows_of(tmp_path / "m")[-1] == {"test_loss": 2.1}
    assert len(rows_of(tmp_path / "m")) == 5


def test_a_resumed_run_neither_loses_nor_doubles_a_line(tmp_path):
    first = make(tmp_path / "m")
    first.on_train_begin(Progress(), [])
    rows = [validate(first, step, 4 - step / 10, True).to_row() for step in (10, 20)]
    # Killed between this validation and the checkpoint that would have told of it.
    validate(first, 30, 1.0, True)
    again = make(tmp_path / "m")
    again.on_train_begin(Progress(step=20, fraction=0.5, best_loss=2.0), rows)
    assert written(tmp_path / "m") == 30
    validate(again, 30, 1.0, True)
    validate(again, 40, 1.5, False)
    assert steps(tmp_path / "m") == [10, 20, 30, 40]


def test_a_model_that_was_there_stays_until_another_is_validated(tmp_path):
    earlier = make(tmp_path / "m")
    mark(earlier, 5)
    earlier.write_model()
    before = files(tmp_path / "m")
    writer = make(tmp_path / "m", replaces=True)
    mark(writer, 6)
    writer.on_train_begin(Progress(), [])
    assert files(tmp_path / "m") == before
    writer.on_train_end(Outcome("interrupted", math.inf))
    assert files(tmp_path / "m") == before
    assert not writer.owns_folder
    # The same run, resumed before its first validation, and after it.
    again = make(tmp_path / "m", replaces=True)
    again.on_train_begin(Progress(step=3), [])
    assert files(tmp_path / "m") == before
    done = validate(again, 10, 2.0, True)
    assert written(tmp_path / "m") == 10
    once_more = make(tmp_path / "m", replaces=True)
    once_more.on_train_begin(done, [done.to_row()])
    assert once_more.owns_folder
    validate(once_more, 20, 2.5, False)
    assert written(tmp_path / "m") == 10
    assert steps(tmp_path / "m") == [10, 20]


def test_interrupted_before_a_validation_a_new_folder_has_the_weights_as_they_are(tmp_path):
    writer = make(tmp_path / "m")
    mark(writer, 1)
    writer.on_train_begin(Progress(), [])
    mark(writer, 2)
    writer.on_train_end(Outcome("interrupted", math.inf))
    assert written(tmp_path / "m") == 2


def test_a_folder_that_was_taken_away_comes_back_with_the_best_weights(tmp_path):
    writer = make(tmp_path / "m")
    mark(writer, 20)  # as the loop has them in the network when a run is resumed
    writer.on_train_begin(Progress(step=25, best_loss=2.0), [{"step": 10}, {"step": 20}])
    assert written(tmp_path / "m") == 20
    assert steps(tmp_path / "m") == [10, 20]


@pytest.mark.parametrize("loss", [2.0, 1000.0])
def test_a_row_has_the_perplexity(tmp_path, loss):
    row = Progress(step=1, train_loss=loss, valid_loss=loss).to_row()
    assert row["valid_perplexity"] == row["train_perplexity"] == math.exp(min(loss, 700))
