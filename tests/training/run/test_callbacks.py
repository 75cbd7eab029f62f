"""Callbacks: none has to do anything; TensorBoard logs and the learning curve are written."""

import sys

import pytest

from carousel.errors import SettingsError
from carousel.training.run import callbacks as module
from carousel.training.run.callbacks import Callback, LearningCurve, TensorBoardWriter
from carousel.training.run.progress import Outcome, Progress


class SummaryWriter:
    made = []

    def __init__(self, folder, purge_step):
        self.folder, self.purge_step, self.values, self.closed = folder, purge_step, [], False
        self.made.append(self)

    def add_scalar(self, name, value, step):
        self.values.append((name, value, step))

    def close(self):
        self.closed = True


def validation(step, loss=2.0):
    return Progress(step=step, epoch=step / 10, train_loss=3.0, valid_loss=loss, best_loss=loss)


def test_a_callback_need_not_do_anything():
    callback = Callback()
    callback.on_train_begin(Progress(), [])
    callback.on_progress(Progress())
    callback.on_validation(validation(1), is_best=True)
    callback.on_message("back")
    callback.on_train_end(Outcome("finished", 2.0))


def test_the_learning_curve_is_drawn_where_something_was_validated(tmp_path):
    curve = LearningCurve(tmp_path)
    curve.on_train_end(Outcome("interrupted", 2.0, []))
    assert list(tmp_path.iterdir()) == []
    rows = [validation(step, 3.0 - step / 10).to_row() for step in (1, 2, 3)]
    curve.on_train_end(Outcome("finished", 2.7, rows))
    assert (tmp_path / "learning-curve.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard_lies_beside_the_model_and_goes_on_where_the_run_does(tmp_path, monkeypatch):
    monkeypatch.setattr(SummaryWriter, "made", [])
    monkeypatch.setattr(module, "_find_summary_writer", lambda: SummaryWriter)
    for first_step in (0, 20):
        board = TensorBoardWriter(tmp_path / "m")
        board.on_train_begin(Progress(step=first_step), [])
        board.on_validation(validation(first_step + 10), is_best=True)
        board.on_train_end(Outcome("finished", 2.0))
    assert [(w.folder, w.purge_step, w.closed) for w in SummaryWriter.made] == [
        (tmp_path / "m.tensorboard", None, True),
        (tmp_path / "m.tensorboard", 20, True),
    ]
    assert ("valid_loss", 2.0, 30) in SummaryWriter.made[1].values


def test_tensorboard_that_is_not_installed_is_told_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError, match="TensorBoard is not installed"):
        TensorBoardWriter(tmp_path / "m")
