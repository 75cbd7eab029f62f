"""`carousel train` that is killed, stopped and gone on with, in processes of its own."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time

import numpy as np
import pytest

import carousel
from carousel.cli import run

SETTINGS = {
    "cell": "lstm",
    "hidden_size": 12,
    "embedding_size": 12,
    "dropout": 0.2,
    "batch": 4,
    "bptt": 8,
    "threads": 1,
    "patience": 0,
    "test_fraction": 0.05,
}
SHORT = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = random.Random(0).choices([f"w{i}" for i in range(30)], k=1500)
    (tmp_path / "text.txt").write_text(
        "\n".join(" ".join(words[at : at + 10]) for at in range(0, len(words), 10))
    )
    return tmp_path


def run_and_exit(words):
    sys.exit(run([*words]))


@pytest.fixture(scope="module")
def start():
    """Start a command in a real process, which need not load PyTorch anew."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["carousel.cli", "carousel.training.job"])

    def start(*words):
        process = context.Process(target=run_and_exit, args=(words,))
        process.start()
        return process

    return start


def wait_for(process, path):
    while process.is_alive() and not path.exists():
        time.sleep(0.01)


def outcome(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("seconds", None), row.pop("tokens_per_second", None)
    return carousel.load(folder).model.weights, rows


def test_killed_again_and_again_it_ends_as_if_never(text, start):
    length = ["--epochs", "5"]
    whole = start("train", "text.txt", "--out", "whole", *SHORT, *length)
    whole.join()
    chance = random.Random(os.urandom(8))
    kills = 0
    command = ["train", "text.txt", "--out", "m", *SHORT, *length]
    while kills < 2:  # benchmarks/crash.py tries fifty
        process = start(*command)
        wait_for(process, text / "m" / "config.json")
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.join()
        carousel.load(text / "m")
        kills += 1
        command = ["train", "--resume", "m"]
        if not (text / "m.run").exists():
            break
    if (text / "m.run").exists():
        last = start(*command)
        last.join()
        assert last.exitcode == 0
    weights, rows = outcome(text / "m")
    expected, expected_rows = outcome(text / "whole")
    for name, weight in expected.items():
        np.testing.assert_array_equal(weights[name], weight)
    assert rows == expected_rows
    assert {path.name for path in text.iterdir()} == {"text.txt", "whole", "m"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_and_the_run_goes_on(text, start, number, capsys):
    process = start("train", "text.txt", "--out", "m", *SHORT, "--epochs", "100000")
    wait_for(process, text / "m" / "config.json")
    time.sleep(0.3)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 130
    carousel.load("m")
    newest = max(path.name for path in (text / "m.run").glob("step-*"))
    assert newest > "step-000000000000.safetensors"
    assert run(["train", "text.txt", "--out", "m", "--force", *SHORT, "--epochs", "0.1"]) == 0
    assert not (text / "m.run").exists()
    assert "Saved in m" in capsys.readouterr().out


def test_what_can_not_go_on_says_so(text, capsys):
    def complaint(*words):
        assert run(["train", *words]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    assert "nope is not there" in complaint("--resume", "nope")
    assert run(["train", "text.txt", "--out", "m", *SHORT, "--epochs", "0.1"]) == 0
    capsys.readouterr()
    assert "the run of m has finished" in complaint("--resume", "m")
    (text / "m" / "metrics.jsonl").unlink()
    assert "m has no checkpoints" in complaint("--resume", "m")
    said = complaint("text.txt", "--resume", "m", "--epochs", "3", "--json")
    assert "leave out FILE, --epochs" in said
    assert "give --out DIR" in complaint("text.txt")
    assert "give a FILE" in complaint("--out", "new")
    with pytest.raises(carousel.CarouselError, match="no checkpoints"):
        carousel.resume("m")
