"""``carousel score``: a line for each line, as they come, in bounded memory."""

import io
import json
import os
import subprocess
import sys

import pytest

from carousel.cli import run
from carousel.model import LanguageModel

LINES = ["the cat likes pizza", "", "so\x1b[31m he", "xyzzy\tand the dog"]


@pytest.fixture
def folder(make_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model().save(tmp_path / "model")
    (tmp_path / "text.txt").write_text("".join(line + "\n" for line in LINES))
    return tmp_path / "model"


def give(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))


def test_columns_and_json_say_what_python_says(folder, capsys, monkeypatch, tmp_path):
    lm = LanguageModel.load(folder)
    assert run(["score", "model", "text.txt"]) == 0
    out, err = capsys.readouterr()
    rows = [line.split("\t", 4) for line in out.splitlines()]
    assert [row[4] for row in rows] == ["the cat likes pizza", "", "so\ufffd[31m he", LINES[3]]
    for row, line in zip(rows, LINES, strict=True):
        if line:
            score = lm.score(line)
            assert float(row[0]) == pytest.approx(score.log_probability, abs=1e-3)
            assert float(row[1]) == pytest.approx(score.perplexity, rel=1e-3)
            assert [int(cell) for cell in row[2:4]] == [len(score.tokens), score.unknown]
    assert err.startswith("carousel: 4 lines, ")
    give(monkeypatch, (tmp_path / "text.txt").read_bytes())
    assert run(["score", "--model", "model", "--json", "--words"]) == 0
    out, _ = capsys.readouterr()
    tables = [json.loads(line) for line in out.splitlines()]
    assert [table["text"] for table in tables] == LINES
    for table, row in zip(tables, rows, strict=True):
        assert table["log_probability"] == pytest.approx(float(row[0]), abs=1e-4)
        assert table["tokens"] == len(table["scores"]) == int(row[2])
        total = sum(entry["log_probability"] for entry in table["scores"])
        assert total == pytest.approx(table["log_probability"], abs=1e-4)
    assert tables[0]["words"] == 4
    assert run(["score", "model", "text.txt", "--words"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split("\t")[4].startswith("the -")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model", "nowhere.txt"], "nowhere.txt is not there"),
        (["--model", "nowhere", "text.txt"], "nowhere is not there"),
        (["model", "binary"], "is not"),
    ],
)
def test_errors_are_a_line(folder, capsys, tmp_path, arguments, message):
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    assert run(["score", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_lines_are_scored_while_more_is_awaited(folder):
    command = [sys.executable, "-m", "carousel", "score", str(folder)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, bufsize=0) as process:
        for line in (b"the cat\n", b"so he\n"):
            process.stdin.write(line)
            assert process.stdout.readline().endswith(b"\t" + line)
        process.stdin.close()
        assert process.wait(60) == 0
        assert b"2 lines" in process.stderr.read()


def test_who_stops_reading_is_no_error(folder, tmp_path):
    (tmp_path / "long.txt").write_text("the cat likes pizza\n" * 20_000)
    command = (
        f"{sys.executable} -m carousel score model long.txt | head -1; echo ${{PIPESTATUS[0]}}"
    )
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert ran.stdout.splitlines()[0].endswith("\tthe cat likes pizza")
    assert ran.stdout.splitlines()[1] == "0"
    assert "Traceback" not in ran.stderr


MEASURED = """
import re, sys
from carousel.cli import run
code = run(["score", "model"])
# Not getrusage: its peak is also that of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
print(code, peak, file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in kilobytes on Linux")
def test_memory_does_not_grow_with_the_text(folder):
    peaks = []
    for lines in (2_000, 60_000):
        ran = subprocess.run(
            [sys.executable, "-c", MEASURED], input=b"the cat likes pizza and so he ran\n" * lines,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True, cwd=folder.parent,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        code, kilobytes = map(int, ran.stderr.split()[-2:])
        assert code == 0
        peaks.append(kilobytes)
    assert peaks[1] < peaks[0] + 30_000
    assert peaks[1] < 300_000
