"""What the README shows is what happens."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from carousel.cli import run

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.S)


def test_the_python_lines_run(tmp_path):
    code = "\n".join(block for language, block in BLOCKS if language == "python")
    (tmp_path / "notes.txt").write_text("see you tomorrow at the station\nsee you soon\n" * 30)
    code = code.replace("epochs=5", "epochs=1") + "\nprint(session.next_words(k=1)[0].word)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "burger"


def test_the_prediction_shown_is_the_prediction_made(capsys, monkeypatch):
    monkeypatch.setitem(os.environ, "COLUMNS", "80")
    (block,) = (block for _, block in BLOCKS if "██" in block)
    command, *shown = block.splitlines()
    assert run(shlex.split(command.removeprefix("$ carousel "))) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    def words_of(lines):
        return [line.split()[0] for line in lines]

    assert words_of(printed)[0] == words_of(shown)[0]
    assert printed[0] == shown[0]


def test_the_two_commands_are_in_the_makefile():
    targets = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in TEXT
        assert f"\n{target}: " in targets
