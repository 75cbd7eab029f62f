"""SIGKILL at random moments: nothing is lost, nothing is mixed, and a run goes on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import carousel
from carousel.cli import run
from carousel.storage.model_folder import check_folder
from trials.models import random_model, write_text
from trials.tally import Budget, Tally

CONTEXT = multiprocessing.get_context("forkserver")
SETTINGS = "cell=lstm hidden_size=48 embedding_size=48 dropout=0.2 batch_size=4 bptt=8 threads=1"
SETTINGS += " patience=0 precision=float32 device=cpu epochs=6"
SHARE_WHILE_WRITING = 0.5
"""Kills that wait until a file or a folder lies there that is not whole yet."""
PATIENCE = 3.0
"""Seconds after which such a kill is made in any case."""


def try_kills(budget: Budget, tally: Tally) -> None:
    """Kill training, resuming, tokenizing, quantizing, importing and replacing."""
    CONTEXT.set_forkserver_preload(["carousel.cli", "carousel.training.job"])
    trials = [_Training(budget), _Replacing(budget), _Tokenizing(budget)]
    trials += [_Writing(budget, kind) for kind in ("quantizing", "importing")]
    budget.restart()
    # Each in its turn, so that all are killed as often.
    while budget.left() > 0:
        for trial in trials:
            trial.kill_once(budget, tally)
    trials[0].finish(tally)


def start(target: Callable[..., None], *arguments: object) -> multiprocessing.process.BaseProcess:
    """A real process, which need not load PyTorch anew."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def run_quietly(words: Sequence[str]) -> None:
    """Run a command without its output; its exit code is the process's."""
    with (
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        raise SystemExit(run([*words]))


def replace_again_and_again(path: Path) -> None:
    """Write two models to one folder in turn, until killed."""
    models = [random_model(seed, hidden_size=64) for seed in (1, 2)]
    while True:
        for model in models:
            model.save(path, force=True)


def kill(process: multiprocessing.process.BaseProcess, places: Sequence[Path], budget: Budget,
         longest: float) -> bool:  # fmt: skip
    """Kill a process at a random moment; whether something was being written there then."""
    time.sleep(budget.chance.uniform(0, longest))
    if budget.chance.random() < SHARE_WHILE_WRITING:
        end = time.monotonic() + PATIENCE
        while process.is_alive() and not is_writing(places) and time.monotonic() < end:
            pass
    process.kill()
    process.join()
    return is_writing(places)


def is_writing(places: Sequence[Path]) -> bool:
    """Whether a file or a folder lies in one of the folders that is not whole yet."""
    names = (name for place in places if place.is_dir() for name in os.listdir(place))
    return any(name.endswith((".part", ".old")) for name in names)


def damage(path: Path) -> str | None:
    """What is wrong with a model folder, or None."""
    try:
        check_folder(path)
        carousel.load(path).next_words("", k=1)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


class _Training:
    """A run that is killed and resumed again and again, and then begun anew with --force."""

    def __init__(self, budget: Budget) -> None:
        base = budget.folder / "training"
        base.mkdir()
        self.text, self.model = write_text(base / "text.txt", budget.seed), base / "m"
        pairs = [word for pair in SETTINGS.split() for word in ("--set", pair)]
        self.command = ["train", str(self.text), *pairs]
        self.whole = base / "whole"
        begin = time.monotonic()
        process = start(run_quietly, [*self.command, "--out", str(self.whole)])
        process.join()
        self.seconds = time.monotonic() - begin

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        run_folder, resumed = self.model.with_name("m.run"), self._can_resume()
        existed = self.model.exists()
        words = ["train", "--resume", str(self.model)]
        if not resumed:
            words = [*self.command, "--out", str(self.model), "--force"]
        process = start(run_quietly, words)
        writing = kill(process, [self.model.parent, run_folder], budget, 0.8 * self.seconds)
        kind = ("resuming" if resumed else "training") + (", while writing" if writing else "")
        if process.exitcode == 0:
            tally.add("training to the end", self._differs())
            return
        if process.exitcode != -9:
            tally.add(kind, f"exit code {process.exitcode}")
        elif self.model.exists() or existed:
            tally.add(kind, damage(self.model))
        else:
            tally.add(kind)

    def finish(self, tally: Tally) -> None:
        """Let the last run end: its weights are those of one that nobody touched."""
        if self._can_resume():
            process = start(run_quietly, ["train", "--resume", str(self.model)])
            process.join()
            tally.add(
                "training to the end",
                self._differs() if process.exitcode == 0 else f"exit code {process.exitcode}",
            )

    def _can_resume(self) -> bool:
        return any(self.model.with_name("m.run").glob("step-*"))

    def _differs(self) -> str | None:
        ours, theirs = (carousel.load(path).model.weights for path in (self.model, self.whole))
        same = all(np.array_equal(ours[name], weight) for name, weight in theirs.items())
        return None if same else "other weights than those of a run without a kill"


class _Writing:
    """Quantizing or importing into a folder that holds a model: the old one or the new one."""

    def __init__(self, budget: Budget, kind: str) -> None:
        self.kind, base = kind, budget.folder / kind
        base.mkdir()
        self.out = base / "m"
        source = random_model(1, hidden_size=96, embedding_size=96)
        source.save(base / "source")
        source.save(self.out)
        if kind == "quantizing":
            words = ["quantize", str(base / "source"), "--out", str(self.out), "--force", "--to"]
            self.commands = [[*words, number] for number in ("int8", "bf16")]
        else:
            self.commands = [self._import_command(base, seed) for seed in (1, 2)]

    def _import_command(self, base: Path, seed: int) -> list[str]:
        rng, V, H = np.random.default_rng(seed), 60, 64
        shapes = {"emb.weight": (V, H), "rnn.weight_ih_l0": (4 * H, H),
                  "rnn.weight_hh_l0": (4 * H, H), "out.weight": (V, H)}  # fmt: skip
        path = base / f"weights-{seed}.safetensors"
        weights = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
        save_file(weights, path)
        vocab = base / f"vocab-{seed}.txt"
        vocab.write_text("\n".join(["<unk>", "<eos>", *(f"s{seed}w{n}" for n in range(V - 2))]))
        return ["import", "pytorch", str(path), "--vocab", str(vocab), "--out", str(self.out),
                "--force"]  # fmt: skip

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        process = start(run_quietly, budget.chance.choice(self.commands))
        writing = kill(process, [self.out.parent], budget, 0.3)
        if process.exitcode in (0, -9):
            ended = process.exitcode == 0
            kind = f"{self.kind} to the end" if ended else self.kind
            tally.add(kind + (", while writing" if writing and not ended else ""), damage(self.out))
        else:
            tally.add(self.kind, f"exit code {process.exitcode}")
        clear_parts(self.out.parent)


class _Replacing:
    """``LanguageModel.save(force=True)`` in a loop."""

    def __init__(self, budget: Budget) -> None:
        base = budget.folder / "replacing"
        base.mkdir()
        self.out = base / "m"
        random_model(1, hidden_size=64).save(self.out)

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        process = start(replace_again_and_again, self.out)
        writing = kill(process, [self.out.parent], budget, 0.5)
        tally.add("replacing" + (", while writing" if writing else ""), damage(self.out))
        clear_parts(self.out.parent)


class _Tokenizing:
    """Evaluation whose cache is being filled: the figures afterwards are the right ones."""

    def __init__(self, budget: Budget) -> None:
        base = budget.folder / "tokenizing"
        base.mkdir()
        self.text = write_text(base / "text.txt", budget.seed, words=60_000)
        self.cache = Path(os.environ["CAROUSEL_CACHE"])
        self.model = base / "m"
        shutil.copytree(budget.folder / "training" / "whole", self.model)
        self.expected = carousel.load(self.model).evaluate(self.text).perplexity

    def kill_once(self, budget: Budget, tally: Tally) -> None:
        for entry in self.cache.glob("*"):
            with contextlib.suppress(OSError):
                entry.unlink()
        process = start(run_quietly, ["evaluate", str(self.model), str(self.text)])
        writing = kill(process, [self.cache], budget, 0.5)
        perplexity = carousel.load(self.model).evaluate(self.text).perplexity
        wrong = None if perplexity == self.expected else f"{perplexity} for {self.expected}"
        tally.add("tokenizing" + (", while writing" if writing else ""), wrong)


def clear_parts(folder: Path) -> None:
    """Remove what killed writers have left, so that the next trial sees its own."""
    for part in [*folder.glob(".*.part"), *folder.glob(".*.old")]:
        shutil.rmtree(part, ignore_errors=True)
