"""The public functions that train take every setting by its name."""

import inspect

import pytest

import carousel
from carousel.errors import SettingsError
from carousel.training.api import ARGUMENTS, train
from carousel.training.settings import describe_settings


def test_every_setting_is_an_argument_and_nothing_else_is():
    parameters = [name for name in inspect.signature(train).parameters if name not in ARGUMENTS]
    assert parameters == [setting.name for setting in describe_settings()]


def test_settings_reach_the_model(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("see you tomorrow\nsee you soon\n" * 30)
    model = carousel.train(
        text, out=tmp_path / "m", cell="gru", hidden_size=7, embedding_size=7, epochs=1,
        batch_size=2, bptt=5, progress=False,
    )  # fmt: skip
    assert (model.config.cell, model.config.hidden_size) == ("gru", 7)
    assert model.path == tmp_path / "m"
    with pytest.raises(SettingsError, match="cell"):
        carousel.train(text, cell="transformer", progress=False)


def test_training_without_torch_is_one_clear_line(monkeypatch):
    monkeypatch.setattr("carousel.training.api.find_spec", lambda name: None)
    for call in (lambda: carousel.train("x.txt"), lambda: carousel.resume("models/x")):
        with pytest.raises(SettingsError, match=r"pip install 'carousel-lstm\[train\]'"):
            call()
