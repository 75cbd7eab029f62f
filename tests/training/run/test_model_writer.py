"""The model folder of a run: the best model, all its metrics, and what was there before."""

import json
import math
import sys

import numpy as np
import pytest
import torch

from carousel.errors import SettingsError
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder
from carousel.text.tokenizer import train_tokenizer
from carousel.training.job import Silence
from carousel.training.nn.network import Network
from carousel.training.run import model_writer as module
from carousel.training.run.model_writer import Keeper
from carousel.training.run.progress import Outcome, Progress
from carousel.training.settings import Settings

TOKENIZER = train_tokenizer("words", ["a b c"])


class Screen(Silence):
    def __init__(self):
        self.said, self.shown = [], []

    def say(self, line):
        self.said.append(line)

    def on_validation(self, progress, *, best):
        self.shown.append((progress.step, best))


def make(folder, replaces=False, tensorboard=False):
    sizes = {"embedding_size": 2, "hidden_size": 2, "layers": 1, "tied": False}
    network = Network(Config(cell="rnn", vocab_size=TOKENIZER.vocab_size, **sizes))
    settings = Settings(embedding_size=2, hidden_size=2, tie_embeddings=False)
    return Keeper(network, TOKENIZER, settings, Screen(), folder, replaces, tensorboard)


def mark(keeper, value):
    """Give the network weights that are told apart."""
    with torch.no_grad():
        for weight in keeper.network.parameters():
            weight.fill_(value)


def kept(folder):
    """Which weights the folder holds."""
    return float(np.unique(read_folder(folder).weights["layers.0.weight_hh"]).item())


def steps(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def validate(keeper, step, loss, best):
    mark(keeper, step)
    lowest = loss if best else 0.5
    now = Progress(step=step, epoch=step / 10, train_loss=3.0, valid_loss=loss, best_loss=lowest)
    keeper.on_validation(now, best=best)
    return now


def test_the_best_model_stays_and_all_validations_are_told(tmp_path):
    keeper = make(tmp_path / "m")
    mark(keeper, 7)
    keeper.on_start(Progress(), [])
    assert kept(tmp_path / "m") == 7  # a model is there before the first step
    assert steps(tmp_path / "m") == []
    for step, loss, best in ((10, 3.0, True), (20, 2.0, True), (30, 2.5, False), (40, 2.2, False)):
        validate(keeper, step, loss, best)
        assert kept(tmp_path / "m") == min(step, 20)
        assert steps(tmp_path / "m") == list(range(10, step + 1, 10))
    keeper.finish(Outcome("finished", 2.0))
    keeper.close()
    assert kept(tmp_path / "m") == 20
    assert steps(tmp_path / "m") == [10, 20, 30, 40]
    assert (tmp_path / "m" / "learning-curve.png").is_file()
    assert keeper.screen.shown == [(10, True), (20, True), (30, False), (40, False)]
    assert keeper.screen.said == ["Done: validation 2.0000 nats per token, perplexity 7.39"]


def test_a_run_that_goes_on_neither_loses_nor_doubles_a_line(tmp_path):
    first = make(tmp_path / "m")
    first.on_start(Progress(), [])
    rows = [validate(first, step, 4 - step / 10, True).row() for step in (10, 20)]
    # Killed between this validation and the checkpoint that would have told of it.
    validate(first, 30, 1.0, True)
    again = make(tmp_path / "m")
    again.on_start(Progress(step=20, fraction=0.5, best_loss=2.0), rows)
    assert "Goes on at step 20, 50% of the run" in again.screen.said
    assert kept(tmp_path / "m") == 30
    validate(again, 30, 1.0, True)
    validate(again, 40, 1.5, False)
    assert steps(tmp_path / "m") == [10, 20, 30, 40]


def test_a_model_that_was_there_stays_until_another_is_validated(tmp_path):
    was = make(tmp_path / "m")
    mark(was, 5)
    was.keep()
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}

    def same():
        return before == {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}

    keeper = make(tmp_path / "m", replaces=True)
    mark(keeper, 6)
    keeper.on_start(Progress(), [])
    assert same()
    keeper.finish(Outcome("interrupted", math.inf))
    keeper.close()
    assert same()
    assert keeper.screen.said == [
        f"Interrupted: not validated yet; what was in {tmp_path / 'm'} is kept"
    ]
    # The same run, gone on with before its first validation, and after it.
    again = make(tmp_path / "m", replaces=True)
    again.on_start(Progress(step=3), [])
    assert same()
    done = validate(again, 10, 2.0, True)
    assert kept(tmp_path / "m") == 10
    once_more = make(tmp_path / "m", replaces=True)
    once_more.on_start(done, [done.row()])
    assert once_more.ours
    validate(once_more, 20, 2.5, False)
    assert kept(tmp_path / "m") == 10
    assert steps(tmp_path / "m") == [10, 20]


def test_interrupted_before_a_validation_a_new_folder_has_the_weights_as_they_are(tmp_path):
    keeper = make(tmp_path / "m")
    mark(keeper, 1)
    keeper.on_start(Progress(), [])
    mark(keeper, 2)
    keeper.finish(Outcome("interrupted", math.inf))
    keeper.close()
    assert kept(tmp_path / "m") == 2
    assert not (tmp_path / "m" / "learning-curve.png").exists()


def test_a_folder_that_was_taken_away_comes_back_with_the_best_weights(tmp_path):
    keeper = make(tmp_path / "m")
    mark(keeper, 20)  # as the loop has them in the network when a run goes on
    keeper.on_start(Progress(step=25, best_loss=2.0), [{"step": 10}, {"step": 20}])
    assert kept(tmp_path / "m") == 20
    assert steps(tmp_path / "m") == [10, 20]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keeper = make(None, tensorboard=True)
    keeper.on_start(Progress(), [])
    validate(keeper, 10, 2.0, True)
    validate(keeper, 20, 3.0, False)
    keeper.finish(Outcome("early", 2.0))
    keeper.close()
    assert list(tmp_path.iterdir()) == []
    assert [row["step"] for row in keeper.rows] == [10, 20]
    assert keeper.screen.said[-1].startswith("Stopped early")


def test_tensorboard_lies_beside_the_model_and_goes_on_where_the_run_does(tmp_path, monkeypatch):
    made = []

    class Writer:
        def __init__(self, folder, purge_step):
            self.folder, self.purge_step, self.values, self.closed = folder, purge_step, [], False
            made.append(self)

        def add_scalar(self, name, value, step):
            self.values.append((name, value, step))

        def close(self):
            self.closed = True

    monkeypatch.setattr(module, "_find_writer", lambda: Writer)
    for at in (0, 20):
        keeper = make(tmp_path / "m", tensorboard=True)
        keeper.on_start(Progress(step=at), [])
        validate(keeper, at + 10, 2.0, True)
        keeper.close()
    assert [(w.folder, w.purge_step, w.closed) for w in made] == [
        (tmp_path / "m.tensorboard", None, True),
        (tmp_path / "m.tensorboard", 20, True),
    ]
    assert ("valid_loss", 2.0, 30) in made[1].values


def test_tensorboard_that_is_not_installed_is_told_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError, match="TensorBoard is not installed"):
        make(tmp_path / "m", tensorboard=True)
