"""``carousel tune``, and ``--adapt`` and ``--session`` in the commands that use it."""

import json
import shutil

import pytest
import torch

from carousel.cli import run
from carousel.cli.prompt import Suggester
from carousel.model import LanguageModel
from carousel.storage.adaptation import ADAPTATION_FILE, GRADIENTS_FILE

TEXT = "the cat likes burger and the dog likes pizza\nso he ran to the mat\n" * 30


@pytest.fixture(autouse=True)
def place(make_model, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    make_model(scale=0.4).save(tmp_path / "model")
    (tmp_path / "text.txt").write_text(TEXT)


def call(capsys, *arguments):
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("adapt", ["cache", "dynamic"])
def test_what_is_tuned_is_kept_and_used(capsys, tmp_path, adapt):
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    default = call(capsys, "evaluate", "model", "text.txt", "--adapt", adapt)
    tuned = call(capsys, "tune", "model", "text.txt", "--adapt", adapt)
    assert tuned["perplexity_after"] < tuned["perplexity_before"]
    after = call(capsys, "evaluate", "model", "text.txt", "--adapt", adapt)
    assert after["perplexity"] == pytest.approx(tuned["perplexity_after"], rel=1e-3)
    assert after["perplexity"] <= default["perplexity"] + 1e-3
    plain = call(capsys, "evaluate", "model", "text.txt")
    assert plain["perplexity"] == pytest.approx(tuned["perplexity_before"], rel=1e-3)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "model" / ADAPTATION_FILE).is_file()
    assert (tmp_path / "model" / GRADIENTS_FILE).is_file() is (adapt == "dynamic")
    table = json.loads((tmp_path / "model" / ADAPTATION_FILE).read_text())[adapt]
    assert table == {name: tuned[name] for name in table}
    # A model in fewer bits takes it along.
    assert run(["quantize", "model", "--to", "int8", "--out", "small"]) == 0
    capsys.readouterr()
    small = call(capsys, "evaluate", "small", "text.txt", "--adapt", adapt)
    assert small["perplexity"] == pytest.approx(after["perplexity"], rel=0.05)


@pytest.mark.parametrize("adapt", ["cache", "dynamic"])
def test_predict_and_generate_adapt(capsys, adapt):
    text = "the cat likes burger and the dog likes burger so he likes"
    before = call(capsys, "predict", "model", text)["predictions"]
    assert call(capsys, "predict", "model", text, "--adapt", adapt)["predictions"] != before
    arguments = ("generate", "model", text, "--seed", "1", "--adapt", adapt)
    assert call(capsys, *arguments) == call(capsys, *arguments)


def test_a_session_goes_on_in_its_file(capsys, tmp_path):
    session = ("--adapt", "cache", "--session", "me.session")
    call(capsys, "predict", "model", "the cat likes", *session)
    second = call(capsys, "predict", "model", "burger so h", "--complete", *session)
    whole = LanguageModel.load("model").adapt("cache").next_words("the cat likes burger so", 5, "h")
    assert [row["word"] for row in second["predictions"]] == [p.word for p in whole]
    for row, prediction in zip(second["predictions"], whole, strict=True):
        assert row["probability"] == pytest.approx(prediction.probability, abs=1e-5)
    assert run(["predict", "model", "the", "--session", "me.session"]) == 2
    assert "another model" in capsys.readouterr().err
    assert run(["predict", "model", "--input", "text.txt", "--session", "me.session"]) == 2
    assert "leave out --session" in capsys.readouterr().err


def test_at_the_prompt_lines_are_remembered_by_a_model_that_adapts(tmp_path):
    lm = LanguageModel.load("model")
    plain, adapting = Suggester(lm, 5), Suggester(lm.adapt("cache"), 5, tmp_path / "me")
    fresh = plain.suggest("the ")
    for suggester in (plain, adapting):
        suggester.suggest("so the dog likes piz")
        suggester.enter("so the dog likes pizza")
    assert plain.suggest("the ") == fresh
    session = lm.session("cache")
    session.feed("so the dog likes pizza\n")
    session.feed("the ")
    expected = session.next_words(5)
    assert [p.word for p in adapting.suggest("the ")[0]] == [p.word for p in expected]
    again = Suggester(lm.adapt("cache"), 5, tmp_path / "me")
    assert again.suggest("the ") == adapting.suggest("the ")


def test_what_can_not_be_tuned(capsys, tmp_path):
    assert run(["tune", "stories-lstm", "text.txt"]) == 2
    assert "tune a copy" in capsys.readouterr().err
    (tmp_path / "short.txt").write_text("the cat\n")
    assert run(["tune", "model", "short.txt"]) == 2
    assert "3 tokens are too few" in capsys.readouterr().err
    shutil.copytree("model", "damaged")
    (tmp_path / "damaged" / ADAPTATION_FILE).write_text("{}")
    assert run(["evaluate", "damaged", "text.txt", "--adapt", "cache"]) == 2
    assert ADAPTATION_FILE in capsys.readouterr().err
    assert run(["evaluate", "damaged", "text.txt"]) == 0
