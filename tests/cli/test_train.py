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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_and_the_run_goes_on(text, start, number, code, capsys):
    process = start("train", "text.txt", "--out", "m", *SHORT, "--epochs", "100000")
    wait_for(process, text / "m" / "config.json")
    time.sleep(0.3)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == code
    carousel.load("m")
    newest = max(path.name for path in (text / "m.run").glob("step-*"))
    assert newest > "step-000000000000.safetensors"
    assert run(["train", "text.txt", "--out", "m", "--force", *SHORT, "--epochs", "0.1"]) == 0
    assert not (text / "m.run").exists()
    assert "Saved in m" in capsys.readouterr().out


def test_sigterm_while_the_text_is_read(text, start):
    os.mkfifo(text / "pipe")
    process = start("train", "pipe", "--out", "m", *SHORT)
    with open("pipe", "w"):  # opens when the command reads it
        os.kill(process.pid, signal.SIGTERM)
        process.join()
    assert process.exitcode == 143
    assert not (text / "m").exists()


def test_a_link_is_trained_into_what_it_names(text):
    (text / "models").mkdir()
    os.symlink("models/m", "link")  # a model that is not there yet
    length = ["--epochs", "0.1"]
    assert run(["train", "text.txt", "--out", "link", *SHORT, *length]) == 0
    assert (text / "link").is_symlink()
    before = carousel.load("models/m").model.weights
    assert run(["train", "text.txt", "--out", "link", "--force", *SHORT, *length,
                "--set", "seed=2"]) == 0  # fmt: skip
    assert (text / "link").is_symlink()
    after = carousel.load("models/m").model.weights
    assert not np.array_equal(before["decoder.bias"], after["decoder.bias"])
    assert os.listdir("models") == ["m"]


def test_an_empty_folder_holds_a_model_from_the_first_step_on(text, start):
    (text / "m").mkdir()
    process = start("train", "text.txt", "--out", "m", *SHORT, "--epochs", "100000",
                    "--set", "bptt=2")  # fmt: skip
    wait_for(process, text / "m.run" / "step-000000000000.safetensors")
    wait_for(process, text / "m" / "config.json")
    assert "valid" not in (text / "m" / "metrics.jsonl").read_text()
    process.kill()
    process.join()
    carousel.load("m")


def test_a_mount_point_is_refused_before_the_text_is_read(text, monkeypatch, capsys):
    (text / "m").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: str(path) == "m")
    assert run(["train", "none.txt", "--out", "m", *SHORT]) == 2
    assert "m is a mount point" in capsys.readouterr().err


def test_nobody_replaces_a_model_that_is_being_trained(text, start, capsys):
    process = start("train", "text.txt", "--out", "m", *SHORT, "--epochs", "100000")
    wait_for(process, text / "m" / "config.json")
    try:
        for words in (
            ["quantize", "stories-lstm", "--to", "int8", "--out", "m", "--force"],
            ["train", "text.txt", "--out", "m", "--force", *SHORT],
        ):
            assert run(words) == 2
            assert "m is being trained by another process" in capsys.readouterr().err
        with pytest.raises(carousel.CarouselError, match="is being trained"):
            carousel.load().save("m", force=True)
        assert carousel.load("m").config.hidden_size == 12
    finally:
        process.kill()
        process.join()
    carousel.load().save("m", force=True)


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
