"""``DIR.run`` beside the model folder ``DIR``: all that an interrupted run is resumed from.

It holds ``run.json``, the tokenizer (in one file or two) and the checkpoints, and is removed when
the run ends.
"""

from __future__ import annotations

import contextlib
import hashlib
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
from carousel.storage.model_folder import is_model, resolve_link
from carousel.storage.regular_file import read_text
from carousel.storage.run_lock import lock, run_path
from carousel.storage.strict_json import parse_json
from carousel.storage.truecase import TRUECASE_FILE, forms_to_json, parse_forms
from carousel.text.decoding import check_encoding
from carousel.text.tokenizer import Tokenizer
from carousel.training.data.splits import CachedIds, Sources
from carousel.training.run.base_model import BaseModel
from carousel.training.run.checkpoint import find_checkpoints, remove_partial_files
from carousel.training.settings import Settings

FORMAT = 1
HASHES = "sha256"
"""The key of the hashes in ``run.json``: of ``tokenizer.json``, and of all else in ``run.json``."""
MAX_JSON_BYTES = 2**26
MAX_TOKENS = 2**48
EARLY_FILES = re.compile(
    r"lock|(tokenizer|truecase)\.json|\.(tokenizer|truecase|run)\.json\.[0-9a-f]+\.part"
)
"""The files that are written before ``run.json``, finished or not."""


@dataclass(frozen=True)
class RunRecord:
    """What a run was started with: the contents of ``run.json``."""

    settings: Settings
    sources: Sources
    cached: Mapping[str, CachedIds]
    """Where its token ids are, by ``train``, ``valid`` and ``test``."""
    replaces: bool
    """Whether a model was in its folder before."""
    tensorboard: bool
    """Whether TensorBoard logs are written."""
    base_model: BaseModel | None = None
    """The model that is fine-tuned; None where the weights start anew."""

    def to_json(self) -> str:
        """The text of ``run.json``."""
        table = {
            "format": FORMAT,
            "settings": asdict(self.settings),
            "sources": asdict(self.sources),
            "kept": {part: asdict(ids) for part, ids in self.cached.items()},
            "replaces": self.replaces,
            "tensorboard": self.tensorboard,
            "base_model": None if self.base_model is None else asdict(self.base_model),
        }
        return json.dumps(table, indent=1, default=str) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """The record in the text of a ``run.json``. Old names of settings are accepted.

        Args:
            text: the JSON.
            where: the file's name, for errors.

        Raises:
            FolderError: not JSON, of another format, or with something missing or wrong.
        """
        table = parse_json(text, where)
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
            cached = {part: CachedIds(**entry) for part, entry in table["kept"].items()}
            if not files["train"] or any(isinstance(sources[part], str) for part in files):
                raise ValueError("sources")
            if cached.keys() != {part for part, paths in files.items() if paths}:
                raise ValueError("kept")
            for ids in cached.values():
                _check_cached(ids)
            if sources["encoding_errors"] not in ("strict", "replace"):
                raise ValueError("encoding_errors")
            encoding = sources.get("encoding", "utf-8")  # older runs have none
            check_encoding(encoding)
            replaces, tensorboard = table["replaces"], table["tensorboard"]
            if not isinstance(replaces, bool) or not isinstance(tensorboard, bool):
                raise ValueError("replaces or tensorboard")
            base_model = table.get("base_model")  # older runs have none
            return cls(
                Settings.merged(table["settings"]),
                Sources(**files, encoding_errors=sources["encoding_errors"], encoding=encoding),
                cached,
                replaces,
                tensorboard,
                None if base_model is None else _parse_base_model(base_model),
            )
        except (KeyError, TypeError, ValueError, AttributeError, SettingsError) as error:
            raise FolderError(f"{where}: missing or wrong: {error}") from None


class RunFolder:
    """The folder of a run. As a context, it is locked for this process.

    If it holds no checkpoint when the context ends, it is removed: there is nothing to resume.

    Args:
        model: the model folder; the run's folder is beside it.

    Raises:
        FolderError: ``model`` can't be a model folder, another process trains it, or the folder
            can't be written.
    """

    def __init__(self, model: Path) -> None:
        self.model = model
        self.path = run_path(resolve_link(model))
        self.lock_file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock_file = lock(self.path / "lock")
        except BlockingIOError:
            raise FolderError(f"{self.model} is being trained by another process") from None
        except OSError as error:
            raise FolderError(f"{self.path} can't be written: {error.strerror or error}") from None
        remove_partial_files(self.path)
        remove_leftovers(resolve_link(self.model))
        self.remove_leftovers()
        return self

    def __exit__(self, *error: object) -> None:
        if self.lock_file is not None:
            if not find_checkpoints(self.path):
                self.remove()
            self.lock_file.close()

    def check_free(self, *, force: bool) -> None:
        """Refuse to begin a run where another one can still be resumed.

        Args:
            force: begin anew all the same.

        Raises:
            FolderError: there is such a run and ``force`` is off, or something that is no run.
        """
        if not self.path.exists():
            return
        inside = {path.name for path in self.path.iterdir()} if self.path.is_dir() else {""}
        # A run that was killed while it began has some of these files, and no others.
        others = {name for name in inside if not EARLY_FILES.fullmatch(name)}
        if others and "run.json" not in inside:
            raise FolderError(f"{self.path} exists and is not a run's folder: choose another name")
        if find_checkpoints(self.path) and not force:
            raise FolderError(
                f"{self.model} has a run that can go on: use --resume {self.model}, or --force to "
                f"begin anew"
            )

    def begin(self, record: RunRecord, tokenizer: Tokenizer) -> None:
        """Remove what an earlier run left, and write what a new run is started with.

        Raises:
            FolderError: it can't be written.
        """
        try:
            others = [self.path / "best.safetensors", self.path / TRUECASE_FILE]
            for old in [*find_checkpoints(self.path), *others]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise FolderError(f"{self.path} can't be written: {error.strerror or error}") from None
        files = {"tokenizer.json": tokenizer.to_json(), "run.json": record.to_json()}
        write_file(self.path / "tokenizer.json", files["tokenizer.json"])
        if tokenizer.forms:
            write_file(self.path / TRUECASE_FILE, forms_to_json(tokenizer.forms))
        hashes = {name: _hash(text) for name, text in files.items()}
        sealed = {**json.loads(files["run.json"]), HASHES: hashes}
        write_file(self.path / "run.json", json.dumps(sealed, indent=1) + "\n")

    def read(self) -> tuple[RunRecord, Tokenizer]:
        """Read what the run was started with.

        Where ``tokenizer.json`` is damaged, that of the model folder is read, if it is the same.

        Raises:
            FolderError: a file is missing or damaged; it says what is left to do.
        """
        path = self.path / "run.json"
        try:
            record_text, hashes = _unseal(read_text(path, MAX_JSON_BYTES), str(path))
            record = RunRecord.from_json(record_text, str(path))
            try:
                tokenizer = _read_tokenizer(self.path, hashes)
            except FolderError:
                if "tokenizer.json" not in hashes or not is_model(self.model):
                    raise
                tokenizer = _read_tokenizer(self.model, hashes)
        except FolderError as error:
            best = f"the best model so far is in {self.model}; " if is_model(self.model) else ""
            raise FolderError(
                f"{error}; this run can't go on: {best}begin anew with --force"
            ) from None
        return record, tokenizer

    def check_resumable(self) -> None:
        """Refuse if there is nothing to resume.

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
        """Remove the folder. It is renamed first: no part of it is left under its name."""
        removed = self.path.with_name(f".{self.path.name}.{os.getpid()}.gone")
        with contextlib.suppress(OSError):
            os.rename(self.path, removed)
        shutil.rmtree(removed, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove the folders that a process was killed at removing."""
        leftover = re.compile(re.escape(f".{self.path.name}.") + r"\d+\.gone")
        for beside in self.path.parent.iterdir():
            if leftover.fullmatch(beside.name):
                shutil.rmtree(beside, ignore_errors=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unseal(text: str, where: str) -> tuple[str, dict[str, str]]:
    """The record in a ``run.json``, and the hashes of the run's files; older runs have none."""
    table = parse_json(text, where)
    hashes = table.pop(HASHES, {}) if isinstance(table, dict) else {}
    record_text = json.dumps(table, indent=1) + "\n"
    if not isinstance(hashes, dict) or hashes.get("run.json", _hash(record_text)) != _hash(
        record_text
    ):
        raise FolderError(f"{where} is damaged: it is not what was written")
    return record_text, hashes


def _read_tokenizer(folder: Path, hashes: Mapping[str, str]) -> Tokenizer:
    path = folder / "tokenizer.json"
    text = read_text(path, MAX_JSON_BYTES)
    if hashes.get("tokenizer.json", _hash(text)) != _hash(text):
        raise FolderError(f"{path} is damaged: it is not what was written")
    tokenizer = Tokenizer.from_json(text, str(path))
    path = folder / TRUECASE_FILE
    if path.exists():
        tokenizer.forms = parse_forms(read_text(path, MAX_JSON_BYTES), tokenizer, str(path))
    return tokenizer


def _parse_base_model(table: Mapping[str, str]) -> BaseModel:
    base_model = BaseModel(**table)
    if not isinstance(base_model.path, str) or not isinstance(base_model.sha256, str):
        raise ValueError("base_model")
    return base_model


def _check_cached(ids: CachedIds) -> None:
    if not isinstance(ids.path, str) or not isinstance(ids.digest, str):
        raise ValueError("path or digest")
    if ids.dtype not in ("<u2", "<u4"):
        raise ValueError("dtype")
    if type(ids.tokens) is not int or not 0 < ids.tokens <= MAX_TOKENS:
        raise ValueError("tokens")
