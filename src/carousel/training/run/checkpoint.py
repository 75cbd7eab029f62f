"""Checkpoints: all that a run is resumed from, in memory or beside the model folder.

A checkpoint on disk is one safetensors file. Its metadata hold the counters as JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from carousel.errors import FolderError
from carousel.storage.atomic import write_atomically
from carousel.storage.regular_file import check_regular
from carousel.storage.strict_json import parse_json

FORMAT = 1
MAX_CHECKPOINTS = 2
"""Number of checkpoints that are kept: if the newest is damaged, there is one before it."""
DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
"""The types of tensors in a checkpoint, and their names in safetensors."""
COUNTERS = "carousel"
"""The key of the counters in a file's metadata."""
SHA256 = "sha256"
"""The key of the hash of all else in a file's metadata."""
MAX_COUNTERS_LENGTH = 2**26

DtypeAndShape = tuple[torch.dtype, tuple[int, ...]]
"""The dtype and the shape that a tensor must have."""


@dataclass
class Checkpoint:
    """One moment of a run."""

    tensors: dict[str, Tensor]
    counters: dict[str, Any]
    """Numbers and lists that JSON can hold; ``step`` is one of them."""


@dataclass(frozen=True)
class CheckpointSpec:
    """What a run's checkpoints must hold. A file that differs is not one of them."""

    tensors: Mapping[str, DtypeAndShape]
    optional: Mapping[str, DtypeAndShape] = field(default_factory=dict)
    """Tensors that may be missing, such as the state of an optimizer before its first step."""
    check: Callable[[Checkpoint], None] = lambda checkpoint: None
    """Raises FolderError for values that can't be."""


class CheckpointStore(Protocol):
    """Where a run's checkpoints are."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint. The run changes its tensors as soon as this returns."""

    def load(self, spec: CheckpointSpec) -> Checkpoint | None:
        """The newest good checkpoint, or None if there is none yet."""

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Keep the weights with the lowest validation loss."""

    def load_best(self, spec: CheckpointSpec) -> dict[str, Tensor] | None:
        """The weights with the lowest validation loss, or None if there are none yet."""


class MemoryStore:
    """Keeps the last checkpoint and the best weights in memory, for a run without a folder."""

    def __init__(self) -> None:
        self.last: Checkpoint | None = None
        self.best: dict[str, Tensor] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a copy of the checkpoint."""
        self.last = Checkpoint(_copies(checkpoint.tensors), checkpoint.counters)

    def load(self, spec: CheckpointSpec) -> Checkpoint | None:
        """A copy of the last checkpoint, or None if there is none yet."""
        return self.last and Checkpoint(_copies(self.last.tensors), self.last.counters)

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Keep a copy of the best weights."""
        self.best = _copies(weights)

    def load_best(self, spec: CheckpointSpec) -> dict[str, Tensor] | None:
        """The best weights, or None if there are none yet."""
        return self.best


class FileStore:
    """Keeps the last two checkpoints and ``best.safetensors`` in a folder.

    Args:
        folder: the folder, which exists.
        log: called with a line about a damaged checkpoint.
        read_model: reads the best weights from the model folder; raises FolderError if it can't.
    """

    def __init__(
        self,
        folder: Path,
        log: Callable[[str], None],
        read_model: Callable[[CheckpointSpec], dict[str, Tensor]] | None = None,
    ) -> None:
        self.folder, self.log, self.read_model = folder, log, read_model

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove all but the last two.

        Raises:
            FolderError: it can't be written; the earlier ones stay.
        """
        path = self.folder / f"step-{checkpoint.counters['step']:012d}.safetensors"
        write_tensors(path, checkpoint.tensors, {"format": FORMAT, **checkpoint.counters})
        for old in find_checkpoints(self.folder)[:-MAX_CHECKPOINTS]:
            with contextlib.suppress(OSError):
                old.unlink()

    def load(self, spec: CheckpointSpec) -> Checkpoint | None:
        """The newest checkpoint that is whole. A damaged newer one is logged and removed.

        Raises:
            FolderError: there are checkpoints, and all are damaged.
        """
        damaged: list[tuple[Path, FolderError]] = []
        for path in reversed(find_checkpoints(self.folder)):
            try:
                checkpoint = read_tensors(path, spec)
            except FolderError as error:
                damaged.append((path, error))
                continue
            for damaged_path, reason in damaged:
                self.log(f"{reason}; the checkpoint before it is used")
                with contextlib.suppress(OSError):
                    damaged_path.unlink()
            return checkpoint
        if damaged:
            raise FolderError(f"no checkpoint can be used: {damaged[0][1]}")
        return None

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Write the weights with the lowest validation loss.

        Raises:
            FolderError: they can't be written; the earlier ones stay.
        """
        write_tensors(self.folder / "best.safetensors", weights, {"format": FORMAT})

    def load_best(self, spec: CheckpointSpec) -> dict[str, Tensor] | None:
        """The weights with the lowest validation loss, or None if none were written.

        Where ``best.safetensors`` is damaged, they are taken from the model folder, which has them,
        too, if it is whole.

        Raises:
            FolderError: both are damaged.
        """
        path = self.folder / "best.safetensors"
        if not path.exists():
            return None
        try:
            return read_tensors(path, spec).tensors
        except FolderError as error:
            if self.read_model is None:
                raise
            weights = self.read_model(spec)
            self.log(f"{error}; the weights of the model folder are used")
            self.save_best(weights)
            return weights


def write_tensors(path: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write tensors and counters as one safetensors file.

    It is written under another name, synced and renamed.

    Args:
        path: the file.
        tensors: the tensors by name, on any device.
        counters: what JSON can hold.

    Raises:
        FolderError: it can't be written; what was there before stays.
    """
    from safetensors import SafetensorError, TensorSpec, serialize_file

    # Tensors on the CPU are not copied. All must stay alive: the file is written from pointers.
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    specs = {
        name: TensorSpec(
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tuple(tensor.shape),
            data_ptr=tensor.data_ptr(),
            data_len=tensor.nbytes,
        )
        for name, tensor in on_cpu.items()
    }

    text = json.dumps(counters)
    metadata = {COUNTERS: text, SHA256: hash_contents(on_cpu, text)}

    def write(aside: Path) -> None:
        try:
            serialize_file(specs, aside, metadata)
        except SafetensorError as error:
            # The library reports errors of the system only as text.
            match = re.search(r"I/O error: (.*?) \(os error (\d+)\)", str(error))
            if match is None:
                raise
            raise OSError(int(match[2]), match[1]) from None
        with aside.open("rb+") as file:
            os.fsync(file.fileno())

    write_atomically(path, write)


def read_tensors(path: Path, spec: CheckpointSpec) -> Checkpoint:
    """Read a file of ``write_tensors``. Names, types and shapes are checked before they are used.

    Args:
        path: the file.
        spec: what it must hold.

    Raises:
        FolderError: it is cut short, holds something else, or holds values that can't be.
    """
    from safetensors import SafetensorError, safe_open

    known = {**spec.tensors, **spec.optional}
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            text = metadata.get(COUNTERS, "")
            names = set(file.keys())
            missing, extra = spec.tensors.keys() - names, names - known.keys()
            if missing or extra:
                what = f"lacks {min(missing)}" if missing else f"holds {min(extra)}"
                raise FolderError(f"{path} is no checkpoint of this run: it {what}")
            for name in names:
                part = file.get_slice(name)
                stored = (part.get_dtype(), tuple(part.get_shape()))
                dtype, shape = known[name]
                if stored != (DTYPES[dtype], shape):
                    raise FolderError(
                        f"{path}: {name} is {stored[0]} {list(stored[1])}, "
                        f"not {DTYPES[dtype]} {list(shape)}"
                    )
            # Copies: tensors in the mapped file may be unaligned, which is slow.
            tensors = {name: file.get_tensor(name).clone() for name in sorted(names)}
    except (SafetensorError, OSError) as error:
        raise FolderError(f"{path} is cut short or damaged ({error})") from None
    if len(text) > MAX_COUNTERS_LENGTH:
        raise FolderError(f"{path}: its counters are too large")
    # Older checkpoints have no hash.
    if SHA256 in metadata and metadata[SHA256] != hash_contents(tensors, text):
        raise FolderError(f"{path} is damaged: it is not what was written")
    counters = parse_json(text, f"{path}: its counters")
    if not isinstance(counters, dict) or counters.pop("format", None) != FORMAT:
        raise FolderError(f"{path} is of another format than {FORMAT}: made by a newer version?")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise FolderError(f"{path}: {name} holds a value that is not finite")
    checkpoint = Checkpoint(tensors, counters)
    try:
        spec.check(checkpoint)
    except FolderError as error:
        raise FolderError(f"{path}: {error}") from None
    return checkpoint


def hash_contents(tensors: Mapping[str, Tensor], counters: str) -> str:
    """The SHA-256 of a checkpoint's tensors, on the CPU, and of the text of its counters."""
    digest = hashlib.sha256(counters.encode())
    for name in sorted(tensors):
        digest.update(f"\0{name}\0".encode())
        # A scalar has no bytes to view before it has an axis.
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tensor_specs(like: Mapping[str, Tensor]) -> dict[str, DtypeAndShape]:
    """The dtypes and shapes of tensors, by name."""
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in like.items()}


def check_counters(
    checkpoint: Checkpoint, like: Mapping[str, Any], optimizer_state: Sequence[Sequence[str]]
) -> None:
    """Check a checkpoint's counters, its optimizer state and its random state.

    Args:
        checkpoint: what was read.
        like: counters with the right names and types; None stands for a number or None.
        optimizer_state: the names of the tensors of each parameter, of which all or none are there.

    Raises:
        FolderError: something is missing or has a value that can't be.
    """
    counters = checkpoint.counters
    if counters.keys() != like.keys() | {"rows"}:
        raise FolderError(f"its counters are not {', '.join(like)} and rows")
    for name, value in like.items():
        allowed = (float, type(None)) if value is None else (type(value),)
        if type(counters[name]) not in allowed:
            raise FolderError(f"{name} can't be {counters[name]!r}")
    rows = counters["rows"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FolderError("rows must be a list of tables")
    if counters["step"] < 0 or not 0 < counters["rate"] <= 1:
        raise FolderError(f"step {counters['step']} at a rate of {counters['rate']} can't be")
    for number, names in enumerate(optimizer_state):
        present = [name in checkpoint.tensors for name in names]
        if any(present) and not all(present):
            raise FolderError(f"the optimizer's state of weight {number} is incomplete")
    try:
        torch.Generator().set_state(checkpoint.tensors["random.cpu"])
    except RuntimeError as error:
        raise FolderError(f"random.cpu is not a state of random numbers: {error}") from None


def find_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    # The names are all as long as each other, and so sort by their steps.
    return sorted(folder.glob("step-*.safetensors"))


def remove_partial_files(folder: Path) -> None:
    """Remove the files that a killed process was still writing in ``folder``."""
    for partial in folder.glob(".*"):
        with contextlib.suppress(OSError):
            partial.unlink()


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: part.detach().to("cpu", copy=True) for name, part in tensors.items()}
