"""What the README shows is what happens."""

import contextlib
import importlib.metadata
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from carousel.cli import run

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.S)


def test_the_python_lines_run(tmp_path):
    code = "\n".join(block for language, block in BLOCKS if language == "python")
    assert run(["stories", "--count", "300", "--out", str(tmp_path / "stories.txt")]) == 0
    said = "\nprint(held.next_words(text, k=1)[0].word, session.next_words(k=1)[0].word)\n"
    code = code.replace("epochs=2", "epochs=1") + said
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-2:] == ["pizza", "burger"]


@pytest.mark.parametrize("block", [block for _, block in BLOCKS if "██" in block])
def test_the_prediction_shown_is_the_prediction_made(capsys, monkeypatch, block):
    monkeypatch.setitem(os.environ, "COLUMNS", "80")
    command, *shown = block.splitlines()
    assert run(shlex.split(command.removeprefix("$ carousel "))) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == shown[0]


def answers_of(command):
    """What a command of the README says in JSON."""
    (line,) = (line for _, block in BLOCKS for line in block.splitlines() if command in line)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run([*shlex.split(line.removeprefix("$ carousel ")), "--json"]) == 0
    return json.loads(out.getvalue())


def test_in_the_comparison_shown_the_rnn_alone_is_wrong():
    found = answers_of("carousel compare")
    last = {name: one["next_words"][-1][0]["word"] for name, one in found["models"].items()}
    assert last == {"stories-rnn": "rice", "stories-gru": "pizza", "stories-lstm": "pizza"}


def test_the_clamp_shown_turns_the_answer():
    before_and_after = answers_of("--clamp")["effect"]["changes"]
    changes = {each["word"]: (each["before"], each["after"]) for each in before_and_after}
    assert changes["burger"][0] > 0.99 > 0.01 > changes["burger"][1]
    assert changes["pizza"][1] > 0.99


def test_the_two_commands_are_in_the_makefile():
    targets = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in TEXT
        assert f"\n{target}: " in targets


def test_every_picture_says_in_words_what_it_shows():
    pictures = re.findall(r"!\[([^\]]*)\]|<img[^>]* alt=\"([^\"]*)\"", TEXT)
    assert len(pictures) == TEXT.count("![") + TEXT.count("<img") > 2
    assert all(len((first or second).split()) > 5 for first, second in pictures)


def test_the_readme_of_the_package_needs_nothing_that_stands_beside_it():
    package = importlib.metadata.metadata("carousel-lstm")
    text = package["Description"] or package.get_payload()
    assert text.startswith("# Carousel")
    assert text.count("*The picture: ") > 2
    assert not re.findall(r"!\[|<img|<source", text)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert all(target.startswith(("https:", "#")) for target in targets), targets
