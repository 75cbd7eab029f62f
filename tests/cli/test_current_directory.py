"""Files that lie in the current directory are data: no command imports them."""

import subprocess
import sys

import pytest

from carousel.cli import COMMANDS

# What a Python process imports first, and what Carousel's processes import.
NAMES = (
    "signal", "random", "socket", "threading", "tempfile", "json", "pickle", "subprocess", "queue",
    "multiprocessing", "tokenizers", "numpy", "safetensors", "torch", "click", "rich", "carousel",
)  # fmt: skip
PLANTED = "open(__file__ + '.was-run', 'w').close()\nraise SystemExit(3)\n"
COMMANDS_AND_WORKERS = """
from pathlib import Path
import sys
from rich.console import Console

if __name__ == "__main__":
    from carousel.cli import run
    from carousel.errors import CarouselError
    from carousel.study.story_training import train_side_by_side

    small = ["--hidden-size", "8", "--embedding-size", "8", "--epochs", "0.1"]
    assert run(["train", "text.txt", "--out", "m", *small]) == 0
    for words in (["predict", "m", "w1"], ["evaluate", "m", "text.txt"], ["check", "m"],
                  ["quantize", "m", "--to", "int8", "--out", "q"], ["score", "m", "text.txt"],
                  ["explain", "m", "w1 w2", "--html", "a.html"]):
        assert run(words) == 0, words
    for name in sys.argv[1:]:
        run([name, "--help"])  # imports the command's module
    try:
        files = [Path("text.txt")] * 2
        train_side_by_side(Console(), {"gru": Path("g")}, *files, 1, {"layers": 0})
    except CarouselError as error:
        assert "layers" in str(error), error  # from the worker, which has started
    else:
        raise AssertionError("no worker")
"""


@pytest.mark.slow
def test_no_command_and_no_worker_imports_from_the_current_directory(tmp_path):
    script, place = tmp_path / "elsewhere" / "script.py", tmp_path / "here"
    for folder in (script.parent, place):
        folder.mkdir()
    script.write_text(COMMANDS_AND_WORKERS)
    for name in NAMES:
        (place / f"{name}.py").write_text(PLANTED)
    (place / "text.txt").write_text("w1 w2 w3 w1 w2 w4\n" * 200)
    command = [sys.executable, str(script), *COMMANDS]
    ran = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300)
    assert not [path.name for path in place.glob("*.was-run")]
    assert ran.returncode == 0, ran.stderr
