"""``carousel study``: the table of studies, and what it says where it can't run."""

import importlib
import inspect
import json
import sys
import types

import pytest

from carousel.cli import needs, run
from carousel.cli.study import STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_a_module_that_runs(name):
    module = importlib.import_module(f"carousel.study.{name.replace('-', '_')}")
    takes = ["model_folder", "text"] if name == "characters" else ["seeds"]
    assert list(inspect.signature(module.run).parameters) == ["console", "out", *takes]


def test_it_hands_over_what_was_asked(monkeypatch, tmp_path, capsys):
    def found(console, out, seeds):
        console.print("a table")
        return {"out": str(out), "seeds": seeds}

    fake = types.ModuleType("carousel.study.context_switch")
    fake.run = found
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    assert run(["study", "context-switch", "--seeds", "2", "--out", str(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"out": str(tmp_path), "seeds": 2}
    assert "a table" in said.err


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
