"""Power cuts, replayed: what a disk may keep of a writer's work at each moment is opened.

While something is written, every call that changes names or syncs is watched (in this process,
by wrapping the functions of ``os``), and after each the folders' entries are taken down. A disk
that loses power keeps a file's bytes only if they were synced, and a folder's entries at any moment
between its last sync and the cut. Two disks are replayed:

- one that keeps changes of names in their order (ext4, XFS, APFS, NTFS);
- one where each folder keeps its own (all that POSIX promises), a random choice for each.

A file that was never synced is empty, all zeros, or cut in half.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import carousel
from carousel.errors import FolderError
from carousel.storage.model_folder import check_folder
from carousel.text.corpus import build_corpus
from carousel.training.job import resume_training, train_model
from trials.models import random_model, write_text
from trials.tally import Budget, Tally

CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir")
Entries = dict[str, int]
"""The inodes in a folder by name."""


class Recorder:
    """Takes down what happens in a folder. Each inode is held open, so that no number comes twice.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root_inode = root.stat().st_ino
        self.entries: list[dict[int, Entries]] = []
        """The entries of every folder, after each call."""
        self.synced_files: dict[int, list[tuple[int, bytes]]] = {}
        """By inode: when, and which bytes."""
        self.synced_folders: dict[int, list[int]] = {}
        self.sizes: dict[int, int] = {}
        self.handles: dict[int, int] = {}

    @contextlib.contextmanager
    def record(self) -> Iterator[None]:
        """Watch all that is done inside."""
        real = {name: getattr(os, name) for name in CALLS}

        def watched(name: str) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                self.observe()
                result = real[name](*arguments, **options)
                if name == "fsync":
                    self._note_sync(arguments[0])
                self.observe()
                return result

            return call

        self.observe()
        self._sync_all()
        for name in CALLS:
            setattr(os, name, watched(name))
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)
            self.observe()

    def close(self) -> None:
        """Let the files go."""
        for handle in self.handles.values():
            os.close(handle)

    def observe(self) -> None:
        """Take down the entries of all folders, if they have changed."""
        now: dict[int, Entries] = {}

        def visit(path: str, inode: int) -> None:
            now[inode] = {}
            for entry in os.scandir(path):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    now[inode][entry.name] = status.st_ino
                    if status.st_ino not in self.handles:
                        self.handles[status.st_ino] = os.open(entry.path, os.O_RDONLY)
                    if stat.S_ISDIR(status.st_mode):
                        visit(entry.path, status.st_ino)
                    else:
                        self.sizes[status.st_ino] = status.st_size

        visit(str(self.root), self.root_inode)
        if not self.entries or self.entries[-1] != now:
            self.entries.append(now)

    def _note_sync(self, handle: int) -> None:
        status = os.fstat(handle)
        now = len(self.entries) - 1
        if stat.S_ISDIR(status.st_mode):
            self.synced_folders.setdefault(status.st_ino, []).append(now)
        else:
            data = Path(f"/proc/self/fd/{handle}").read_bytes()
            self.synced_files.setdefault(status.st_ino, []).append((now, data))

    def _sync_all(self) -> None:
        """What was there before the recording is on the disk."""
        for inode, handle in self.handles.items():
            if stat.S_ISREG(os.fstat(handle).st_mode):
                self.synced_files[inode] = [(0, Path(f"/proc/self/fd/{handle}").read_bytes())]
        self.synced_folders = {inode: [0] for inode in self.entries[0]}

    def last_sync(self, folder: int, cut: int) -> int:
        """When the entries of a folder were synced last, up to the cut; 0 if never."""
        return max((when for when in self.synced_folders.get(folder, ()) if when <= cut), default=0)

    def rebuild(self, target: Path, cut: int, moment_of: Callable[[int], int], loss: str) -> None:
        """Write what a disk holds after a cut.

        Args:
            target: the folder to write.
            cut: the moment of the cut.
            moment_of: of which moment a folder's entries are.
            loss: what became of bytes that were not synced.
        """
        folders = {inode for entries in self.entries for inode in entries}

        def write(path: Path, inode: int) -> None:
            path.mkdir()
            for name, child in self.entries[moment_of(inode)].get(inode, {}).items():
                if child in folders:
                    write(path / name, child)
                else:
                    (path / name).write_bytes(self._bytes_of(child, cut, loss))

        write(target, self.root_inode)

    def _bytes_of(self, inode: int, cut: int, loss: str) -> bytes:
        kept = [data for when, data in self.synced_files.get(inode, ()) if when <= cut]
        if kept:
            return kept[-1]
        size = self.sizes[inode]
        return {"empty": b"", "zeros": bytes(size), "half": bytes(size // 2)}[loss]


def try_power_cuts(budget: Budget, tally: Tally) -> None:
    """Cut the power in every kind of writing, as often as there is time."""
    scenarios = (new_model, replaced_model, training, cache)
    while budget.left() > 0:
        for number, scenario in enumerate(scenarios):
            base = budget.folder / f"{scenario.__name__}-{budget.chance.randrange(2**40)}"
            base.mkdir()
            share = budget.left() / (len(scenarios) - number)
            replay(base, budget, tally, scenario, share)
            shutil.rmtree(base)


def replay(base: Path, budget: Budget, tally: Tally, scenario: Any, seconds: float) -> None:
    """Record a scenario in the folder ``base``, and check what is left after each cut."""
    root = base / "disk"
    root.mkdir()
    act, check = scenario(base, root)
    recorder = Recorder(root)
    with recorder.record():
        act()
    last = len(recorder.entries) - 1
    end = budget.left() - seconds
    name = scenario.__name__.replace("_", " ")
    cuts = [(cut, start) for cut in range(last + 1) for start in range(cut + 1)]
    budget.chance.shuffle(cuts)
    for cut, start in cuts:
        if budget.left() < end:
            break
        newest = max(recorder.last_sync(folder, cut) for folder in recorder.synced_folders)
        if start < newest:
            continue  # that moment was on the disk already
        orders = {"names in order": lambda folder, start=start: start}
        moments = {
            folder: budget.chance.randint(recorder.last_sync(folder, cut), cut)
            for entries in recorder.entries
            for folder in entries
        }
        orders["each folder by itself"] = moments.__getitem__
        for order, moment_of in orders.items():
            target = base / "after"
            loss = budget.chance.choice(["empty", "zeros", "half"])
            recorder.rebuild(target, cut, moment_of, loss)
            try:
                failure = check(target, cut == last)
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"
            tally.add(f"{name}, {order}", failure and f"cut {cut} of {last}, {loss}: {failure}")
            shutil.rmtree(target)
    recorder.close()


def _which(path: Path) -> str:
    check_folder(path)
    return carousel.load(path).tokenizer.tokens()[2]


def new_model(base: Path, root: Path) -> Any:
    """A model where none was, in folders that are made for it."""
    model = random_model(1)

    def check(target: Path, ended: bool) -> str | None:
        path = target / "a" / "b" / "m"
        if not path.exists():
            return "it is gone though it was written" if ended else None
        return None if _which(path) == model.tokenizer.tokens()[2] else "another model"

    return lambda: model.save(root / "a" / "b" / "m"), check


def replaced_model(base: Path, root: Path) -> Any:
    """A model in the place of another."""
    models = [random_model(seed) for seed in (1, 2)]
    words = [model.tokenizer.tokens()[2] for model in models]
    models[0].save(root / "m")

    def check(target: Path, ended: bool) -> str | None:
        word = _which(target / "m")
        return None if word == words[1] or (word == words[0] and not ended) else "another model"

    return lambda: models[1].save(root / "m", force=True), check


def training(base: Path, root: Path) -> Any:
    """A run can be resumed from every cut, and ends with the weights of one without."""
    text = write_text(base / "text.txt", 3, words=400)
    settings = {"hidden_size": 8, "embedding_size": 8, "epochs": 1.0, "batch_size": 2, "bptt": 8,
                "device": "cpu", "threads": 1}  # fmt: skip
    whole = train_model([text], settings=settings).model.weights

    def check(target: Path, ended: bool) -> str | None:
        path = target / "m"
        begun = any((target / "m.run").glob("step-*")) and (target / "m.run" / "run.json").exists()
        if path.exists():
            check_folder(path)
        elif ended:
            return "the model is gone though training has ended"
        if not begun:
            return None
        try:
            weights = resume_training(path).model.weights
        except FolderError as error:
            # Before the first step nothing is lost: the run is begun anew.
            first = all("000000000000" in step.name for step in (target / "m.run").glob("step-*"))
            return None if first and not ended else str(error)
        same = all(np.array_equal(weights[name], weight) for name, weight in whole.items())
        return None if same else "other weights than those of a run without a cut"

    return lambda: train_model([text], out=root / "m", settings=settings), check


def cache(base: Path, root: Path) -> Any:
    """A text's ids in the cache."""
    text = write_text(base / "text.txt", 4, words=300)
    tokenizer = random_model(1).tokenizer
    expected = build_corpus([text], tokenizer, cache=base / "whole")

    def check(target: Path, ended: bool) -> str | None:
        corpus = build_corpus([text], tokenizer, cache=target)
        same = np.array_equal(corpus.ids, expected.ids) and corpus.counts == expected.counts
        return None if same else "other ids than those of the text"

    return lambda: build_corpus([text], tokenizer, cache=root), check
