"""What is a model and what is text."""

import json

import pytest

from carousel.cli import run
from carousel.cli.arguments import is_model

LONG = "krish likes pizza but his friend likes burger so " * 8 + "his friend orders"


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys, make_model):
    """Predict in a folder with a model and a folder of texts; the answer as data."""
    monkeypatch.chdir(tmp_path)
    model = make_model()
    model.save(tmp_path / "model")
    for name in ("pizza", "likes/pizza"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "krish").write_text("a file")

    def ask(*arguments, command="predict"):
        assert run([command, *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return ask


@pytest.mark.parametrize(
    "text",
    ["krish likes 1/2 pizza", "https://example.org/krish likes", "pizza", "krish", "likes/pizza",
     "./pizza", "/krish/", "krish likes pizza/burger", LONG, "likes " * 2000],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_text_is_a_text(ask, text):
    assert ask(text)["text"] == text
    assert ask("stories-lstm", text)["text"] == text
    assert ask("--model", "stories-lstm", text) == ask("stories-lstm", text)
    assert ask(text, command="generate")["text"] == text


@pytest.mark.parametrize("text", ["model", "stories-lstm", "./model"])
def test_a_text_with_a_models_name(ask, text, capsys):
    assert is_model(text)
    assert ask("model", f"the {text}")["text"] == f"the {text}"
    # `model` is no word that the model knows: the answer is about it as a text.
    assert run(["predict", "--model", "model", text]) == 2
    assert f"none of the words of '{text}' is known" in capsys.readouterr().err


def test_two_texts_may_have_slashes(ask):
    table = ask("krish likes 1/2 pizza", "krish likes burger/pizza", command="explain")
    assert [text["name"] for text in table["texts"]] == [
        "krish likes 1/2 pizza", "krish likes burger/pizza",
    ]  # fmt: skip


def test_models_by_flag(ask):
    flags = ["--model", "stories-lstm", "--model", "stories-gru"]
    assert list(ask(*flags, "krish likes 1/2 pizza", command="compare")["models"]) == [
        "stories-lstm", "stories-gru",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["predict", "krish", "likes"], "krish is not a model folder: give a model folder, or"),
        (["predict", "hello", "world"], "a text of several words goes in quotation marks"),
        (["predict", "no/such", "x"], "no/such is not there"),
        (["predict", LONG, "x"], "... is not there"),
        (["predict", "--model", "none", "x"], "none is not there"),
        (["predict", "--model", "pizza", "x"], "pizza"),
        (["predict", "--model", "model", "the", "cat"], "quotation marks: the ... is not quoted"),
        (["predict", "the cat", "--input", "krish"], "is not there"),
        (["predict", "model", "the", "--input", "krish"], "come from a file: leave out the"),
        (["predict", "model", "--input", "none.txt"], "none.txt is not there"),
        (["compare", "model", "pizza", "the", "cat"], "pizza is not a model"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_one_line_for_what_is_neither(ask, capsys, line, said):
    assert run(line) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert len(error) < 400
