"""Checkpoints: all that a run goes on from, in memory or beside the model folder.

A checkpoint on disk is one safetensors file, whose metadata hold the counters as JSON.
"""

from __future__ import annotations

import contextlib
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
from carousel.storage.strict_json import parse_json

FORMAT = 1
KEPT = 2
"""Checkpoints that stay: should the newest be damaged, there is one before it."""
DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
"""The types of a checkpoint's tensors, and how safetensors calls them."""
COUNTERS = "carousel"
"""The entry of a file's metadata that holds the counters."""
LARGEST_COUNTERS = 2**26

Spec = tuple[torch.dtype, tuple[int, ...]]
"""The type and the shape that a tensor must have."""


@dataclass
class Checkpoint:
    """One moment of a run."""

    tensors: dict[str, Tensor]
    counters: dict[str, Any]
    """What JSON can hold; ``step`` is among it."""


@dataclass(frozen=True)
class Plan:
    """What a run's checkpoints hold: a file that differs is none of them."""

    tensors: Mapping[str, Spec]
    optional: Mapping[str, Spec] = field(default_factory=dict)
    """Those that need not be there, such as what an optimizer gathers."""
    check: Callable[[Checkpoint], None] = lambda checkpoint: None
    """Raises FolderError where the values can't be."""


class Store(Protocol):
    """Where a run's checkpoints are."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; the run will change its tensors as soon as this returns."""

    def load(self, plan: Plan) -> Checkpoint | None:
        """The last good checkpoint, or None where there is none yet."""

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Keep the weights that were best on validation."""

    def load_best(self, plan: Plan) -> dict[str, Tensor] | None:
        """Those weights, or None where there are none."""


class Memory:
    """The store of a run without a folder: its last checkpoint and its best weights."""

    def __init__(self) -> None:
        self.last: Checkpoint | None = None
        self.best: dict[str, Tensor] | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """See ``Store``."""
        self.last = Checkpoint(_copies(checkpoint.tensors), checkpoint.counters)

    def load(self, plan: Plan) -> Checkpoint | None:
        """See ``Store``."""
        return self.last and Checkpoint(_copies(self.last.tensors), self.last.counters)

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """See ``Store``."""
        self.best = _copies(weights)

    def load_best(self, plan: Plan) -> dict[str, Tensor] | None:
        """See ``Store``."""
        return self.best


class Files:
    """The store in a folder: the last two checkpoints and ``best.safetensors``."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then take away all but the last two.

        Raises:
            FolderError: it can't be written; the ones that were there stay.
        """
        path = self.folder / f"step-{checkpoint.counters['step']:012d}.safetensors"
        write_tensors(path, checkpoint.tensors, {"format": FORMAT, **checkpoint.counters})
        for old in find_checkpoints(self.folder)[:-KEPT]:
            with contextlib.suppress(OSError):
                old.unlink()

    def load(self, plan: Plan) -> Checkpoint | None:
        """The newest checkpoint that is whole; a damaged one is told of and taken away.

        Raises:
            FolderError: there are some, and all are damaged.
        """
        damaged: list[tuple[Path, FolderError]] = []
        for path in reversed(find_checkpoints(self.folder)):
            try:
                found = read_tensors(path, plan)
            except FolderError as error:
                damaged.append((path, error))
                continue
            for bad, wrong in damaged:
                self.say(f"{wrong}; the checkpoint before it is used")
                with contextlib.suppress(OSError):
                    bad.unlink()
            return found
        if damaged:
            raise FolderError(f"no checkpoint can be used: {damaged[0][1]}")
        return None

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Write the weights that were best on validation.

        Raises:
            FolderError: they can't be written; those that were there stay.
        """
        write_tensors(self.folder / "best.safetensors", weights, {"format": FORMAT})

    def load_best(self, plan: Plan) -> dict[str, Tensor] | None:
        """Those weights, or None where none were written.

        Raises:
            FolderError: the file is damaged.
        """
        path = self.folder / "best.safetensors"
        return read_tensors(path, plan).tensors if path.exists() else None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write tensors and counters as one file: aside, synced, renamed into place.

    Raises:
        FolderError: it can't be written; what was there before stays.
    """
    from safetensors import SafetensorError, TensorSpec, serialize_file

    # Where a tensor is on the CPU already it is not copied; what is pointed to must stay.
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    specs = {
        name: TensorSpec(
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tuple(tensor.shape),
            data_ptr=tensor.data_ptr(),
            data_len=tensor.nbytes,
        )
        for name, tensor in held.items()
    }

    def write(aside: Path) -> None:
        try:
            serialize_file(specs, aside, {COUNTERS: json.dumps(counters)})
        except SafetensorError as error:
            # The library tells of the system's errors only in words.
            found = re.search(r"I/O error: (.*?) \(os error (\d+)\)", str(error))
            if found is None:
                raise
            raise OSError(int(found[2]), found[1]) from None
        with aside.open("rb+") as file:
            os.fsync(file.fileno())

    write_atomically(path, write)


def read_tensors(path: Path, plan: Plan) -> Checkpoint:
    """Read a file of ``write_tensors``; every name, type and shape is checked before it is used.

    Raises:
        FolderError: it is cut short, foreign, or holds what can't be, in one line.
    """
    from safetensors import SafetensorError, safe_open

    known = {**plan.tensors, **plan.optional}
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(COUNTERS, "")
            names = set(file.keys())
            missing, extra = plan.tensors.keys() - names, names - known.keys()
            if missing or extra:
                what = f"lacks {min(missing)}" if missing else f"holds {min(extra)}"
                raise FolderError(f"{path} is no checkpoint of this run: it {what}")
            for name in names:
                part = file.get_slice(name)
                found = (part.get_dtype(), tuple(part.get_shape()))
                dtype, shape = known[name]
                if found != (DTYPES[dtype], shape):
                    raise FolderError(
                        f"{path}: {name} is {found[0]} {list(found[1])}, "
                        f"not {DTYPES[dtype]} {list(shape)}"
                    )
            # Copies, since those of the file may lie where vectors are slow to load.
            tensors = {name: file.get_tensor(name).clone() for name in sorted(names)}
    except (SafetensorError, OSError) as error:
        raise FolderError(f"{path} is cut short or damaged ({error})") from None
    if len(text) > LARGEST_COUNTERS:
        raise FolderError(f"{path}: its counters are too long to be true")
    counters = parse_json(text, f"{path}: its counters")
    if not isinstance(counters, dict) or counters.pop("format", None) != FORMAT:
        raise FolderError(f"{path} is of another format than {FORMAT}: made by a newer version?")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise FolderError(f"{path}: {name} holds a value that is not finite")
    checkpoint = Checkpoint(tensors, counters)
    try:
        plan.check(checkpoint)
    except FolderError as error:
        raise FolderError(f"{path}: {error}") from None
    return checkpoint


def specs(like: Mapping[str, Tensor]) -> dict[str, Spec]:
    """Types and shapes as those of ``like``."""
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in like.items()}


def check_counters(
    checkpoint: Checkpoint, like: Mapping[str, Any], moments: Sequence[Sequence[str]]
) -> None:
    """Check a run's counters, which are of the same types as ``like``, and its random state.

    ``moments`` are the tensors that an optimizer gathers of each weight: all of them or none.

    Raises:
        FolderError: they can't be.
    """
    found = checkpoint.counters
    if found.keys() != like.keys() | {"rows"}:
        raise FolderError(f"its counters are not {', '.join(like)} and rows")
    for name, value in like.items():
        kinds = (float, type(None)) if value is None else (type(value),)
        if type(found[name]) not in kinds:
            raise FolderError(f"{name} can't be {found[name]!r}")
    rows = found["rows"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FolderError("rows must be a list of tables")
    if found["step"] < 0 or not 0 < found["rate"] <= 1:
        raise FolderError(f"step {found['step']} at a rate of {found['rate']} can't be")
    for number, names in enumerate(moments):
        there = [name in checkpoint.tensors for name in names]
        if any(there) and not all(there):
            raise FolderError(f"of what the optimizer gathered of weight {number}, some lacks")
    try:
        torch.Generator().set_state(checkpoint.tensors["random.cpu"])
    except RuntimeError as error:
        raise FolderError(f"random.cpu is no state of random numbers: {error}") from None


def find_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    # The names are all as long as each other, and so sort by their steps.
    return sorted(folder.glob("step-*.safetensors"))


def clear_parts(folder: Path) -> None:
    """Take away the files that a killed process was still writing in ``folder``."""
    for left in folder.glob(".*"):
        with contextlib.suppress(OSError):
            left.unlink()


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}
