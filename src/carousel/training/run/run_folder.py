"""``DIR.run``, beside the model folder ``DIR``: all that an interrupted run goes on from.

``run.json``, ``tokenizer.json`` and the checkpoints. It is gone when the run has finished.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from carousel.errors import FolderError, SettingsError
from carousel.storage.atomic import remove_leftovers, write_file
from carousel.storage.strict_json import parse_json
from carousel.text.tokenizer import Tokenizer
from carousel.training.data.splits import Kept, Sources
from carousel.training.run.checkpoint import clear_parts, find_checkpoints
from carousel.training.settings import Settings

FORMAT = 1
LARGEST_JSON = 2**28
LARGEST_TEXT = 2**48
"""Tokens."""
BEGUN = re.compile(r"lock|tokenizer\.json|\.(tokenizer|run)\.json\.[0-9a-f]+\.part")
"""The files that are there before ``run.json``, whole or not."""


@dataclass(frozen=True)
class Record:
    """What a run was started with."""

    settings: Settings
    sources: Sources
    kept: Mapping[str, Kept]
    """Its texts (see ``texts.Texts``)."""
    replaces: bool
    """Whether a model stood in its folder before."""
    tensorboard: bool

    def to_json(self) -> str:
        """The text of a ``run.json``."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, default=str) + "\n"

    @classmethod
    def from_json(cls, said: str, where: str) -> Self:
        """The record that a ``run.json`` holds.

        Raises:
            FolderError: not JSON, of another format, or with something missing or wrong.
        """
        table = parse_json(said, where)
        if not isinstance(table, dict) or table.pop("format", None) != FORMAT:
            raise FolderError(
                f"{where} is of another format than {FORMAT}: made by a newer version?"
            )
        try:
            sources = table["sources"]
            files = {
                part: tuple(Path(path) for path in sources[part])
                for part in ("train", "valid", "test")
            }
            kept = {part: Kept(**text) for part, text in table["kept"].items()}
            if not files["train"] or any(isinstance(sources[part], str) for part in files):
                raise ValueError("sources")
            if kept.keys() != {part for part, paths in files.items() if paths}:
                raise ValueError("kept")
            for text in kept.values():
                _check_kept(text)
            if sources["encoding_errors"] not in ("strict", "replace"):
                raise ValueError("encoding_errors")
            replaces, tensorboard = table["replaces"], table["tensorboard"]
            if not isinstance(replaces, bool) or not isinstance(tensorboard, bool):
                raise ValueError("replaces or tensorboard")
            return cls(
                Settings.merged(table["settings"]),
                Sources(**files, encoding_errors=sources["encoding_errors"]),
                kept,
                replaces,
                tensorboard,
            )
        except (KeyError, TypeError, ValueError, AttributeError, SettingsError) as error:
            raise FolderError(f"{where}: missing or wrong: {error}") from None


class RunFolder:
    """The folder of a run; as a context it is this process's alone.

    If it holds no checkpoint when the context ends it is taken away: there is nothing to go on
    from.
    """

    def __init__(self, model: Path) -> None:
        self.model = model
        # "." and ".." have no name to put something after.
        whole = model if model.name not in ("", "..") else model.absolute().resolve()
        if not whole.name:
            raise FolderError(f"{model} can't be a model folder: choose another name")
        self.path = whole.with_name(whole.name + ".run")
        self.locked: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.locked = _lock(self.path / "lock")
        except BlockingIOError:
            raise FolderError(f"{self.model} is being trained by another process") from None
        except OSError as error:
            raise FolderError(f"{self.path} can't be written: {error.strerror or error}") from None
        clear_parts(self.path)
        remove_leftovers(self.model)
        self.clear_gone()
        return self

    def __exit__(self, *error: object) -> None:
        if self.locked is not None:
            if not find_checkpoints(self.path):
                self.remove()
            self.locked.close()

    def check_free(self, *, force: bool) -> None:
        """Refuse to begin a run where another can still go on.

        Raises:
            FolderError: such a run is there and ``force`` is off, or something that is no run.
        """
        if not self.path.exists():
            return
        inside = {path.name for path in self.path.iterdir()} if self.path.is_dir() else {""}
        # A run that was killed while it was being begun has some of these, and no more.
        others = {name for name in inside if not BEGUN.fullmatch(name)}
        if others and "run.json" not in inside:
            raise FolderError(f"{self.path} exists and is not a run's folder: choose another name")
        if find_checkpoints(self.path) and not force:
            raise FolderError(
                f"{self.model} has a run that can go on: use --resume {self.model}, or --force to "
                f"begin anew"
            )

    def begin(self, record: Record, tokenizer: Tokenizer) -> None:
        """Forget what was there and keep what a new run is started with.

        Raises:
            FolderError: it can't be written.
        """
        try:
            for old in [*find_checkpoints(self.path), self.path / "best.safetensors"]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise FolderError(f"{self.path} can't be written: {error.strerror or error}") from None
        write_file(self.path / "tokenizer.json", tokenizer.to_json())
        write_file(self.path / "run.json", record.to_json())

    def read(self) -> tuple[Record, Tokenizer]:
        """What the run was started with.

        Raises:
            FolderError: a file is missing or damaged.
        """
        record = Record.from_json(_read(self.path / "run.json"), str(self.path / "run.json"))
        where = self.path / "tokenizer.json"
        return record, Tokenizer.from_json(_read(where), str(where))

    def check_resumable(self) -> None:
        """Refuse where there is nothing to go on from.

        Raises:
            FolderError: the run has finished, or there is none.
        """
        if self.path.is_dir() and find_checkpoints(self.path):
            return
        if not self.model.exists() and not self.path.exists():
            raise FolderError(f"{self.model} is not there: no such model folder, and no run of one")
        if (self.model / "metrics.jsonl").is_file() and not self.path.exists():
            raise FolderError(f"the run of {self.model} has finished: there is nothing to resume")
        raise FolderError(f"{self.model} has no checkpoints (in {self.path}): it can't be resumed")

    def remove(self) -> None:
        """Take the folder away, in one step: a part of it would be none to go on from."""
        gone = self.path.with_name(f".{self.path.name}.{os.getpid()}.gone")
        with contextlib.suppress(OSError):
            os.rename(self.path, gone)
        shutil.rmtree(gone, ignore_errors=True)

    def clear_gone(self) -> None:
        """Take away what a process was killed at taking away."""
        left = re.compile(re.escape(f".{self.path.name}.") + r"\d+\.gone")
        for beside in self.path.parent.iterdir():
            if left.fullmatch(beside.name):
                shutil.rmtree(beside, ignore_errors=True)


def _check_kept(text: Kept) -> None:
    if not isinstance(text.path, str) or not isinstance(text.digest, str):
        raise ValueError("path or digest")
    if text.dtype not in ("<u2", "<u4"):
        raise ValueError("dtype")
    if type(text.tokens) is not int or not 0 < text.tokens <= LARGEST_TEXT:
        raise ValueError("tokens")


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise FolderError(f"{path} is too large to be true")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError(f"{path} can't be read: {error}") from None


def _lock(path: Path) -> IO[bytes]:
    """The file, opened and locked until it is closed or the process ends."""
    file = path.open("wb")
    try:
        import fcntl
    except ImportError:  # Windows lets nobody rename or remove what another has open
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file
