"""SIGKILL at random moments: nothing is lost, nothing is mixed, and a run goes on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import carousel
from carousel.cli import run
from carousel.storage.adaptation import Adaptation, read_adaptation
from carousel.storage.model_folder import check_folder
from trials.models import random_model, write_text
from trials.tally import Budget, Tally

CONTEXT = multiprocessing.get_context("forkserver")
SHAPE = "cell=lstm hidden_size=48 embedding_size=48 dropout=0.2"
SETTINGS = "batch_size=8 bptt=16 threads=1 patience=0 precision=float32 device=cpu epochs=2"
SHARE_WHILE_WRITING = 0.5
"""Kills that wait until something is being written."""
PATIENCE = 3.0
"""Seconds after which such a kill is made in any case."""
WRITING = 0.003
"""Seconds at most between such a moment and the kill."""


def try_kills(budget: Budget, tally: Tally) -> None:
    """Kill training, fine-tuning, tokenizing, tuning, quantizing, importing and replacing."""
    CONTEXT.set_forkserver_preload(
        ["carousel.cli", "carousel.training.job", "carousel.draw.plots.figure", "matplotlib.pyplot"]
    )
    Victim(list, budget.folder).process.join()  # PyTorch is loaded once, before times are taken
    runs = [_Training(budget, "training", SHAPE)]
    runs += [_Training(budget, "fine-tuning", "learning_rate=0.001", base_model=runs[0].whole)]
    trials = [*runs, _Replacing(budget), _Tokenizing(budget, runs[0].whole)]
    trials += [_Tuning(budget, runs[0].whole)]
    trials += [_Writing(budget, kind) for kind in ("quantizing", "importing")]
    budget.restart()
    # Each in its turn, so that all are killed as often.
    while budget.left() > 0:
        for trial in trials:
            trial.kill_once(budget, tally)
    for run_of_training in runs:
        run_of_training.finish(tally)


class Victim:
    """A process, forked from one that has loaded PyTorch, that tells when it changes a file.

    Args:
        target: the function that it calls.
        place: the folder whose changes are told of.
        arguments: the function's arguments.
    """

    def __init__(self, target: Callable[..., object], place: Path, *arguments: object) -> None:
        self.start = time.monotonic()
        self.changes, sending = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(
            target=_call_and_tell, args=(sending, str(place), target, arguments)
        )
        self.process.start()
        sending.close()

    def wait(self) -> tuple[float, int]:
        """Let it end: how many seconds it took, and how many changes it made."""
        changes = 0
        while self._wait_for_change(None):
            changes += 1
        self.process.join()
        return time.monotonic() - self.start, changes

    def kill(self, budget: Budget, usual: tuple[float, int]) -> str:
        """Kill it at a random moment: how that is counted, or "" where it had ended before.

        Args:
            budget: where the chance comes from.
            usual: what ``wait`` says of one that is not killed.
        """
        seconds, changes = usual
        writing = budget.chance.random() < SHARE_WHILE_WRITING
        if writing:
            end = self.start + PATIENCE + seconds
            for _ in range(budget.chance.randint(1, max(1, changes))):
                writing = self._wait_for_change(max(0, end - time.monotonic())) and writing
            time.sleep(budget.chance.uniform(0, WRITING))
        else:
            time.sleep(budget.chance.uniform(0, seconds))
        self.process.kill()
        self.process.join()
        self.changes.close()
        if self.process.exitcode == 0:
            return ""
        return "while writing" if writing else "at any moment"

    def _wait_for_change(self, seconds: float | None) -> bool:
        try:
            return self.changes.poll(seconds) and bool(self.changes.recv_bytes())
        except EOFError:
            return False


def _call_and_tell(
    changes: Connection, place: str, target: Callable[..., object], arguments: Sequence[object]
) -> None:
    """In the process: send a byte before a file below ``place`` is opened to write or renamed."""

    def tell(event: str, values: tuple[object, ...]) -> None:
        writes = event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir")
        if event == "open":
            flags = values[2]
            writes = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writes and str(values[0]).startswith(place):
            with contextlib.suppress(OSError):
                changes.send_bytes(b"w")

    sys.addaudithook(tell)
    target(*arguments)


def run_quietly(words: Sequence[str]) -> None:
    """Run a command without its output; its exit code is the process's."""
    with (
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        raise SystemExit(run([*words]))


def replace_again_and_again(path: Path, turns: int) -> None:
    """Write two models to one folder in turn."""
    models = [random_model(seed, hidden_size=64) for seed in (1, 2)]
    for turn in range(turns):
        models[turn % 2].save(path, force=True)


def damage(path: Path) -> str | None:
    """What is wrong with a model folder, or None."""
    try:
        check_folder(path)
        carousel.load(path).next_words("", k=1)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def count(tally: Tally, kind: str, victim: Victim, how: str, failure: str | None) -> None:
    """Count a kill, or that the process had ended before; any other end is a failure."""
    if victim.process.exitcode not in (0, -9):
        failure = f"exit code {victim.process.exitcode}"
    tally.add(f"{kind}, {how}" if how else f"{kind} to the end, not killed", failure)


class _Training:
    """A run that is killed and resumed again and again, and then begun anew with --force.

    Args:
        budget: where its files are.
        kind: how its kills are counted.
        settings: its settings, beside those of all runs.
        base_model: the model that it fine-tunes, if any.
    """

    def __init__(
        self, budget: Budget, kind: str, settings: str, base_model: Path | None = None
    ) -> None:
        self.kind, self.base = kind, budget.folder / kind
        self.base.mkdir()
        text, self.model = write_text(self.base / "text.txt", budget.seed), self.base / "m"
        pairs = [w for pair in f"{settings} {SETTINGS}".split() for w in ("--set", pair)]
        start_from = ["--from", str(base_model)] if base_model else []
        self.command = ["train", str(text), *pairs, *start_from]
        self.whole = self.base / "whole"
        self.usual = self._start([*self.command, "--out", str(self.whole)]).wait()

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        resumed, existed = self._can_resume(), self.model.exists()
        words = ["train", "--resume", str(self.model)]
        if not resumed:
            words = [*self.command, "--out", str(self.model), "--force"]
        victim = self._start(words)
        how = victim.kill(budget, self.usual)
        failure = damage(self.model) if self.model.exists() or existed else None
        if victim.process.exitcode == 0:
            failure = failure or self._differs()
        count(tally, f"{self.kind}, resumed" if resumed else self.kind, victim, how, failure)

    def finish(self, tally: Tally) -> None:
        """Let the last run end: its weights are those of one that nobody touched."""
        if self._can_resume():
            victim = self._start(["train", "--resume", str(self.model)])
            victim.wait()
            count(tally, f"{self.kind}, resumed", victim, "", self._differs())

    def _start(self, words: Sequence[str]) -> Victim:
        return Victim(run_quietly, self.base, words)

    def _can_resume(self) -> bool:
        return any(self.model.with_name("m.run").glob("step-*"))

    def _differs(self) -> str | None:
        ours, theirs = (carousel.load(path).model.weights for path in (self.model, self.whole))
        same = all(np.array_equal(ours[name], weight) for name, weight in theirs.items())
        return None if same else "other weights than those of a run without a kill"


class _Writing:
    """Quantizing or importing into a folder that holds a model: the old one or the new one."""

    def __init__(self, budget: Budget, kind: str) -> None:
        self.kind, self.base = kind, budget.folder / kind
        self.base.mkdir()
        self.out = self.base / "m"
        source = random_model(1, hidden_size=96, embedding_size=96)
        source.save(self.base / "source")
        source.save(self.out)
        if kind == "quantizing":
            words = ["quantize", str(self.base / "source"), "--out", str(self.out), "--force"]
            self.commands = [[*words, "--to", number] for number in ("int8", "bf16")]
        else:
            self.commands = [self._import_command(seed) for seed in (1, 2)]
        self.usual = Victim(run_quietly, self.base, self.commands[0]).wait()

    def _import_command(self, seed: int) -> list[str]:
        rng, V, H = np.random.default_rng(seed), 60, 64
        shapes = {"emb.weight": (V, H), "rnn.weight_ih_l0": (4 * H, H),
                  "rnn.weight_hh_l0": (4 * H, H), "out.weight": (V, H)}  # fmt: skip
        path = self.base / f"weights-{seed}.safetensors"
        weights = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
        save_file(weights, path)
        vocab = self.base / f"vocab-{seed}.txt"
        vocab.write_text("\n".join(["<unk>", "<eos>", *(f"s{seed}w{n}" for n in range(V - 2))]))
        return ["import", "pytorch", str(path), "--vocab", str(vocab), "--out", str(self.out),
                "--force"]  # fmt: skip

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        victim = Victim(run_quietly, self.base, budget.chance.choice(self.commands))
        how = victim.kill(budget, self.usual)
        count(tally, self.kind, victim, how, damage(self.out))
        clear_parts(self.base)


class _Replacing:
    """``LanguageModel.save(force=True)`` in a loop."""

    turns = 100

    def __init__(self, budget: Budget) -> None:
        self.base = budget.folder / "replacing"
        self.base.mkdir()
        self.out = self.base / "m"
        random_model(1, hidden_size=64).save(self.out)
        self.usual = self._start().wait()

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        victim = self._start()
        how = victim.kill(budget, self.usual)
        count(tally, "replacing", victim, how, damage(self.out))
        clear_parts(self.base)

    def _start(self) -> Victim:
        return Victim(replace_again_and_again, self.base, self.out, self.turns)


class _Tuning:
    """``carousel tune``, which writes beside a model: the parameters of before or the new ones."""

    def __init__(self, budget: Budget, model: Path) -> None:
        base = budget.folder / "tuning"
        base.mkdir()
        self.model, text = base / "m", write_text(base / "text.txt", budget.seed, words=300)
        shutil.copytree(model, self.model)
        self.words = ["tune", str(self.model), str(text)]
        self.usual = Victim(run_quietly, self.model, self.words).wait()
        self.tuned = read_adaptation(self.model)

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        (self.model / "adaptation.json").unlink(missing_ok=True)
        victim = Victim(run_quietly, self.model, self.words)
        how = victim.kill(budget, self.usual)
        allowed = (self.tuned,) if victim.process.exitcode == 0 else (self.tuned, Adaptation())
        wrong = None if read_adaptation(self.model) in allowed else "other parameters"
        count(tally, "tuning", victim, how, damage(self.model) or wrong)


class _Tokenizing:
    """Evaluation whose cache is being filled: the figures afterwards are the right ones."""

    def __init__(self, budget: Budget, model: Path) -> None:
        base = budget.folder / "tokenizing"
        base.mkdir()
        self.text = write_text(base / "text.txt", budget.seed, words=20_000)
        self.cache = Path(os.environ["CAROUSEL_CACHE"])
        self.model = model
        self.usual = self._start().wait()
        self.expected = carousel.load(self.model).evaluate(self.text).perplexity

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        for entry in self.cache.glob("*"):
            with contextlib.suppress(OSError):
                entry.unlink()
        victim = self._start()
        how = victim.kill(budget, self.usual)
        perplexity = carousel.load(self.model).evaluate(self.text).perplexity
        wrong = None if perplexity == self.expected else f"{perplexity} for {self.expected}"
        count(tally, "tokenizing", victim, how, wrong)

    def _start(self) -> Victim:
        return Victim(run_quietly, self.cache, ["evaluate", str(self.model), str(self.text)])


def clear_parts(folder: Path) -> None:
    """Remove what killed writers have left, so that the next trial sees its own."""
    for part in [*folder.glob(".*.part"), *folder.glob(".*.old")]:
        shutil.rmtree(part, ignore_errors=True)
