"""Kill training 50 times, fill its disk, make its folder read-only: nothing may be lost.

    python benchmarks/crash.py
    python benchmarks/crash.py --kills 5 --seed 1

A small run is killed by SIGKILL at random moments, a share of them while a file or a folder is
being written, and gone on with each time. After each kill the model folder must open; at the end
the weights must be those of a run that nobody touched, bit for bit. Then the same with a full disk
(a small tmpfs, or for who is not root a limit on the size of files) and a folder that can't be
written (chattr, or for who is not root its mode). What this machine can't do is said and left out.
The last line is the count; the exit status is 0 if nothing was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import carousel
from carousel.cli import run

SETTINGS = {
    "cell": "lstm",
    "hidden_size": 48,
    "embedding_size": 48,
    "dropout": 0.2,
    "batch_size": 4,
    "bptt": 8,
    "threads": 1,
    "patience": 0,
    "precision": "float32",
    "device": "cpu",
}
DISK_BYTES = 3 * 2**20
"""Bytes of the small disk: enough to begin, too few for two checkpoints and a model."""
MAX_FILE_BYTES = 2**12
"""Bytes of the largest file where size is limited: enough for metrics, too few for weights."""
CONTEXT = multiprocessing.get_context("forkserver")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    CONTEXT.set_forkserver_preload(["carousel.cli", "carousel.training.job"])
    with tempfile.TemporaryDirectory(prefix="carousel-crash-") as name:
        base = Path(name)
        os.environ["CAROUSEL_CACHE"] = str(base / "cache")
        text = base / "text.txt"
        words = random.Random(arguments.seed).choices([f"w{n}" for n in range(400)], k=6000)
        lines = (" ".join(words[first : first + 12]) for first in range(0, len(words), 12))
        text.write_text("\n".join(lines))
        # Long enough that all the kills find it at work.
        train = ["train", str(text), "--set", f"epochs={max(4, arguments.kills // 2)}"]
        train += [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
        begin = time.monotonic()
        start([*train, "--out", str(base / "whole")]).join()
        seconds = time.monotonic() - begin
        print(f"one run without interruption: {seconds:.0f} s", flush=True)
        survived = kill(train, base, arguments.kills, seconds, random.Random(arguments.seed))
        safe = []
        for trial, disk in (("full disk", small_disk), ("read-only folder", sealed_folder)):
            try:
                safe.append(train_in_trouble(train, base, trial, disk))
            except NotPossibleError as error:
                print(f"{trial}: not tried, {error}", flush=True)
    good = survived == arguments.kills and all(safe)
    print(
        f"SIGKILL: {survived} of {arguments.kills}, nothing lost" if good else "something was lost"
    )
    return 0 if good else 1


class NotPossibleError(Exception):
    """A trial that is not possible on this machine or for this user."""


def start(words: list[str]) -> multiprocessing.process.BaseProcess:
    """A command in a real process, which need not load PyTorch anew."""
    process = CONTEXT.Process(target=run_quietly, args=(words,))
    process.start()
    return process


def run_quietly(words: list[str]) -> None:
    """Run a command without its output; its exit code is the process's."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        raise SystemExit(run(words))


def kill(train: list[str], base: Path, kills: int, seconds: float, chance: random.Random) -> int:
    """Kill a run again and again; how many kills left a model that opens and a run that goes on."""
    model, run_folder = base / "killed", base / "killed.run"
    command = [*train, "--out", str(model)]
    survived = while_writing = 0
    for _ in range(kills):
        process = start(command)
        while process.is_alive() and not (model / "config.json").exists():
            time.sleep(0.001)
        time.sleep(chance.uniform(0.05, 2 * seconds / (kills + 2)))
        if chance.random() < 0.5:
            # A file or a folder that is being written has a name that begins with a dot.
            while process.is_alive() and not is_writing(model, run_folder):
                pass
        process.kill()
        process.join()
        while_writing += is_writing(model, run_folder)
        carousel.load(model)
        if not run_folder.exists():
            print("the run ended before the last kill: it is too short", flush=True)
            return survived
        survived += 1
        command = ["train", "--resume", str(model)]
    last = start(command)
    last.join()
    print(
        f"{survived} kills, {while_writing} of them while something was being written", flush=True
    )
    return survived if last.exitcode == 0 and have_same_weights(model, base / "whole") else 0


def is_writing(model: Path, run_folder: Path) -> bool:
    """Whether a file or a folder lies there that is not whole yet."""
    return any(run_folder.glob(".*")) or any(model.parent.glob(f".{model.name}.*"))


def have_same_weights(model: Path, whole: Path) -> bool:
    """Whether two models have the same weights, bit for bit."""
    ours, theirs = carousel.load(model).model.weights, carousel.load(whole).model.weights
    return all(np.array_equal(ours[name], weight) for name, weight in theirs.items())


def train_in_trouble(train: list[str], base: Path, name: str, disk: object) -> bool:
    """Train where writing fails after a while; then mend that and go on."""
    folder = base / name.replace(" ", "-")
    folder.mkdir()
    with disk(folder) as (how, spoil, mend):
        model = folder / "model"
        command = [sys.executable, "-m", "carousel", *train, "--out", str(model)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while process.poll() is None and not (model / "metrics.jsonl").exists():
            time.sleep(0.01)
        try:
            spoil(process)
        except NotPossibleError:
            process.kill()
            process.communicate()
            raise
        said = process.communicate()[1]
        carousel.load(model)
        stopped = process.returncode == 2 and said.count("\n") == 1 and "can't be written" in said
        mend()
        last = start(["train", "--resume", str(model)])
        last.join()
        good = stopped and last.exitcode == 0 and have_same_weights(model, base / "whole")
    reason = said.strip().rpartition(": ")[2]
    print(f"{name} ({how}): {'safe' if good else 'LOST'}; it said {reason!r}", flush=True)
    return good


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[tuple]:
    """A file system that is full as soon as it is spoilt."""
    ballast = folder / "ballast"

    def fill(process: subprocess.Popen) -> None:
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()

    def limit(process: subprocess.Popen) -> None:
        import resource

        if not hasattr(resource, "prlimit"):
            raise NotPossibleError("a limit on another process's files needs Linux")
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, hard))

    if not mount(folder, f"size={DISK_BYTES}"):
        yield f"no file above {MAX_FILE_BYTES // 2**10} KiB", limit, lambda: None
        return
    try:
        yield "a tmpfs of 3 MiB", fill, ballast.unlink
    finally:
        unmount(folder)


@contextlib.contextmanager
def sealed_folder(folder: Path) -> Iterator[tuple]:
    """A folder in which its owner can't make or rename a thing once it is spoilt."""

    def change(*command: str) -> None:
        folders = [str(path) for path in (folder, *folder.glob("model*")) if path.is_dir()]
        try:
            done = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise NotPossibleError(f"there is no {command[0]}") from None
        if done.returncode:
            raise NotPossibleError(" ".join(done.stderr.split()) or f"{command[0]} failed")

    # Root may write where modes forbid it.
    tool, seal, unseal = ("chattr", "+i", "-i") if os.geteuid() == 0 else ("chmod", "u-w", "u+w")
    try:
        yield f"{tool} {seal}", lambda process: change(tool, seal), lambda: change(tool, unseal)
    finally:
        with contextlib.suppress(NotPossibleError):
            change(tool, unseal)


def mount(folder: Path, options: str) -> bool:
    """Put a small file system at a folder; whether this user may."""
    if shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def unmount(folder: Path) -> None:
    """Take the file system away again."""
    subprocess.run(["umount", str(folder)], stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    raise SystemExit(main())
