"""The tests in C++, on matrices worked out by hand, and the format of the sources."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for path in (ROOT / "cpp").rglob("*") if path.suffix in (".cpp", ".h"))


def test_the_engine_by_hand(cpp_build):
    done = subprocess.run([cpp_build / "engine_tests"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all checks passed\n"


@pytest.mark.skipif(shutil.which("clang-format") is None, reason="clang-format is missing")
def test_the_sources_are_formatted():
    examples = (ROOT / "examples").glob("*.c")
    command = ["clang-format", "--dry-run", "--Werror", *SOURCES, *examples]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_no_source_is_long():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert len(lines) > 20
    assert {name: count for name, count in lines.items() if count > 400} == {}
