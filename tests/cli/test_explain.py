"""``carousel explain`` and ``carousel compare``: every way to ask, every way to fail."""

import io
import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from carousel.cli import run

A = "krish likes pizza but he does not like burger so he orders"
B = "krish likes pizza but his friend likes burger so his friend orders"
MODELS = ("stories-rnn", "stories-gru", "stories-lstm")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, make_model):
    """Run a command in a folder with a model; its standard output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name, cell in (("model", "lstm"), ("plain", "rnn")):
        model = make_model(cell)
        model.save(tmp_path / name)

    def call(*arguments):
        assert run(list(arguments)) == 0
        return capsys.readouterr().out

    return call


def give(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))


def test_one_text(call):
    out = call("explain", B)
    assert "f forget" in out
    assert "  pizza  " in out
    assert "burger" in out.split("next word")[-1]
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    assert call("explain", "stories-lstm", B) == out


def test_text_from_standard_input(call, monkeypatch):
    give(monkeypatch, "the cat sat\n")
    piped = call("explain", "model")
    assert piped == call("explain", "model", "the cat sat")
    give(monkeypatch, "the cat sat\n")
    assert "cat" in call("compare", "model", "plain")


def test_two_texts(call):
    out = call("explain", A, B)
    assert "first text" in out
    assert "moves pizza to burger by" in out
    assert "what speaks for pizza (+) and for burger (-)" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "first text" in call("explain", "model", "the cat", "the dog")


def test_clamps_before_and_after(call):
    out = call("explain", B, "--clamp", "forget=1@friend", "--clamp", "input*0.5@so", "--compare",
               "burger,pizza")  # fmt: skip
    assert "with forget=1@friend, input*0.5@so" in out
    assert "logit(burger) - logit(pizza): " in out
    assert "nats" in out


def test_units(call):
    count = [call("explain", "model", "the cat", "--units", str(n)).count("f unit") for n in (0, 4)]
    assert count == [0, 4]


def test_files_and_json(call, tmp_path):
    out = call("explain", A, B, "--html", "a.html", "--svg", "new/a.svg", "--png", "a.png")
    assert "Written: a.html" in out
    ElementTree.parse(tmp_path / "a.html")
    ElementTree.parse(tmp_path / "new" / "a.svg")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    table = json.loads(call("explain", A, B, "--json"))
    assert table["compare"] == ["pizza", "burger"]
    assert [text["name"] for text in table["texts"]] == [A, B]


def test_several_models(call, tmp_path):
    out = call("compare", *MODELS, B, "--html", "3.html", "--svg", "3.svg")
    assert "no belt: stories-rnn" in out
    assert max(map(len, out.splitlines())) <= 80
    ElementTree.parse(tmp_path / "3.html")
    ElementTree.parse(tmp_path / "3.svg")
    table = json.loads(call("compare", *MODELS, B, "--json", "--compare", "burger,pasta"))
    assert table["compare"] == ["burger", "pasta"]
    assert list(table["models"]) == list(MODELS)


BAD = [
    (["explain", "model", "a b", "c", "d"], "one text or two"),
    (["explain", "model", "zyx"], "none of the words of 'zyx' is known"),
    (["explain", "no/such", "the cat", "b"], "no/such is not there"),
    (["explain", "--model", "no/such", "the cat"], "no/such is not there"),
    (["explain", "model", "the cat", "--clamp", "forget=1@dog"], "'dog' is not a word of the text"),
    (["explain", "model", "the cat", "--clamp", "forget"], "is no clamp"),
    (["explain", "model", "the cat", "--clamp", "reset=1"], "the lstm cell has no 'reset'"),
    (["explain", "model", "the cat", "--clamp", "forget=1@99"], "touched nothing"),
    (["explain", "model", "the cat", "the dog", "--clamp", "forget=1"], "clamps act on one text"),
    (["explain", "model", "the cat", "--compare", "pizza"], "two words with a comma"),
    (["explain", "model", "the cat", "--compare", "a,b,c"], "two words with a comma"),
    (["explain", "model", "the cat", "--compare", "sushi,pie"], "'sushi' is not a word of the voc"),
    (["explain", "plain", "the cat", "--compare", "pizza,pie"], "a plain RNN has no belt"),
    (["explain", "model", "the cat", "--units", "-1"], "--units"),
    (["explain", "model", "the cat", "--html", "model"], "model can't be written"),
    (["explain", "model", "the cat", "--svg", "model"], "model can't be written"),
    (["explain", "model", "the cat", "--png", "model"], "model can't be written"),
    (["compare", "model", "the cat"], "two models or more"),
    (["compare"], "two models or more"),
    (["compare", "model", "model", "the cat"], "the same model twice"),
    (["compare", "model", "stories-lstm", "mat pie"], "none of the words of 'mat pie' is known"),
    (["compare", "model", "plain", "the cat", "--compare", "sushi,pie"], "vocabulary of model"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=lambda value: str(value)[:60])
def test_one_line_and_exit_code_2(call, capsys, line, said):
    assert run(line) == 2
    out, error = capsys.readouterr()
    assert error.startswith("carousel: ")
    assert said in error
    assert error.count("\n") == 1
    assert "Traceback" not in out + error


def test_a_terminal_without_a_text(call, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert run(["explain", "model"]) == 2
    assert "give a text to explain" in capsys.readouterr().err
    assert run(["compare", "model", "plain"]) == 2
    assert "give a text to compare them on" in capsys.readouterr().err


def test_png_without_its_library(call, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert run(["explain", "model", "the cat", "--png", "a.png"]) == 2
    assert "a PNG needs resvg_py" in capsys.readouterr().err


def test_explaining_needs_no_torch(call, tmp_path):
    hide = "import sys; sys.modules['torch'] = None; from carousel.cli import run; "
    code = hide + "sys.exit(run(['explain', 'model', 'the cat', '--html', 'a.html']))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PWD": ""}
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.html").exists()
