"""``carousel study``: the table of studies, and what it says where it can't run."""

import json

import pytest

from carousel.cli import needs, run
from carousel.study import STUDIES, characters, context_switch


def test_it_hands_over_what_was_asked(monkeypatch, tmp_path, capsys):
    drawn = []

    def run_study(arguments, console):
        return {"out": str(arguments.out), "seeds": arguments.seeds}

    def report(result, console):
        console.print("a table of", result["seeds"])

    monkeypatch.setattr(context_switch, "run", run_study)
    monkeypatch.setattr(context_switch, "report", report)
    monkeypatch.setattr(context_switch, "draw", lambda result, folder: drawn.append(folder))
    assert run(["study", "context-switch", "--seeds", "2", "--out", str(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    folder = tmp_path / "context-switch"
    result = {"out": str(tmp_path), "seeds": 2}
    assert json.loads(said.out) == json.loads((folder / "results.json").read_text()) == result
    assert "a table of 2" in said.err
    assert drawn == [folder]


def test_characters_gets_its_model_and_text(monkeypatch, tmp_path, capsys):
    def run_study(arguments, console):
        return {"model": str(arguments.model), "text": str(arguments.text)}

    monkeypatch.setattr(characters, "run", run_study)
    monkeypatch.setattr(characters, "report", lambda result, console: None)
    monkeypatch.setattr(characters, "draw", lambda result, folder: None)
    command = ["study", "characters", "--model", "m", "--text", "t.txt", "--out", str(tmp_path)]
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": "m", "text": "t.txt"}


def test_an_unknown_study(capsys):
    assert run(["study", "astrology"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'astrology'" in line
    assert all(name in line for name in STUDIES)


@pytest.mark.parametrize(
    "given",
    ["characters", "characters --model m", "characters --text t", "going-back --model m",
     "short-memory --model m --text t"],
)  # fmt: skip
def test_a_model_and_a_text_go_with_characters(given, capsys):
    assert run(["study", *given.split()]) == 2
    assert "characters wants --model and --text" in capsys.readouterr().err


def test_without_torch_it_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    assert run(["study", "going-back"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "torch" in line
    assert "pip install" in line


def test_without_scipy_it_says_so_in_one_line(monkeypatch, capsys):
    find_spec = needs.find_spec
    monkeypatch.setattr(
        needs, "find_spec", lambda name: None if name == "scipy" else find_spec(name)
    )
    assert run(["study", "going-back"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "scipy" in line
    assert "pip install 'carousel-lstm[study]'" in line
