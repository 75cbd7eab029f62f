"""A model on disk, checked before it is believed.

``config.json``, ``model.safetensors``, ``tokenizer.json``, and what training leaves beside them.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

from carousel.adaptive import decoder_shapes
from carousel.cells import CELLS, weight_shapes
from carousel.errors import FolderError
from carousel.storage import DTYPES, Stored
from carousel.text.tokenizer import Tokenizer
from carousel.weights_file import parse_json as parse_json  # where other rooms find it
from carousel.weights_file import read_weights, write_weights

FORMAT = 1
LARGEST_JSON = 2**28
LARGEST_SIZE = 2**24
LARGEST_LAYERS = 64
LATER = ("dtype", "cutoffs", "tail_sizes")
"""Fields that came after the format: absent where they have their default, as in older files."""


@dataclass(frozen=True)
class Config:
    """The shape of a model: which cell, and how wide everything is.

    Raises:
        FolderError: a field of the wrong type or out of its range.
    """

    cell: str
    """A name in ``cells.CELLS``."""
    vocab_size: int
    embedding_size: int
    hidden_size: int
    layers: int
    tied: bool
    """The decoder uses ``embedding.weight``."""
    projection_size: int = 0
    """Width of the projection before the decoder; 0 for none."""
    biases: bool = True
    """Whether the recurrent layers have biases."""
    dtype: str = "float32"
    """The format that matrices are stored in: one of ``storage.DTYPES``."""
    cutoffs: tuple[int, ...] = ()
    """The first id of each cluster of an adaptive softmax (see ``adaptive``); empty for none."""
    tail_sizes: tuple[int, ...] = ()
    """The width of each cluster."""

    def __post_init__(self) -> None:
        wanted = {"str": str, "int": int, "bool": bool, "tuple[int, ...]": tuple}
        for field in fields(self):
            value: object = getattr(self, field.name)
            kind = wanted[str(field.type)]
            if type(value) is not kind:
                raise FolderError(f"{field.name} must be {field.type}, not {value!r}")
            if isinstance(value, tuple) and any(type(entry) is not int for entry in value):
                raise FolderError(f"{field.name} must be whole numbers, not {list(value)!r}")
        if self.cell not in CELLS:
            raise FolderError(f"cell must be one of {', '.join(CELLS)}, not {self.cell!r}")
        for name in ("vocab_size", "embedding_size", "hidden_size", "layers"):
            most = LARGEST_LAYERS if name == "layers" else LARGEST_SIZE
            if not 1 <= getattr(self, name) <= most:
                raise FolderError(f"{name} must be 1 to {most}, not {getattr(self, name)}")
        if not 0 <= self.projection_size <= LARGEST_SIZE:
            raise FolderError(f"projection_size can't be {self.projection_size}")
        read = self.projection_size or self.hidden_size
        if self.tied and read != self.embedding_size:
            raise FolderError(
                f"a tied decoder reads embedding_size {self.embedding_size} values, "
                f"but {read} come in"
            )
        if self.dtype not in DTYPES:
            raise FolderError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        self._check_clusters()

    def _check_clusters(self) -> None:
        bounds = [0, *self.cutoffs, self.vocab_size]
        if len(self.cutoffs) > LARGEST_LAYERS or any(low >= high for low, high in pairwise(bounds)):
            raise FolderError(
                f"cutoffs must rise from above 0 to below vocab_size {self.vocab_size}, "
                f"{LARGEST_LAYERS} at most, not {list(self.cutoffs)}"
            )
        if len(self.tail_sizes) != len(self.cutoffs) or not all(
            1 <= size <= LARGEST_SIZE for size in self.tail_sizes
        ):
            raise FolderError(
                f"tail_sizes must be one width of 1 to {LARGEST_SIZE} for each of "
                f"{len(self.cutoffs)} cutoffs, not {list(self.tail_sizes)}"
            )
        if self.tied and any(size != self.embedding_size for size in self.tail_sizes):
            raise FolderError(
                f"clusters tied with the embedding are embedding_size {self.embedding_size} wide, "
                f"not {list(self.tail_sizes)}"
            )

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight of such a model, by the name it has on disk."""
        shapes: dict[str, tuple[int, ...]] = {
            "embedding.weight": (self.vocab_size, self.embedding_size)
        }
        width = self.embedding_size
        for layer in range(self.layers):
            for name, shape in weight_shapes(CELLS[self.cell], width, self.hidden_size).items():
                if self.biases or not name.startswith("bias"):
                    shapes[f"layers.{layer}.{name}"] = shape
            width = self.hidden_size
        if self.projection_size:
            shapes["projection.weight"] = (self.projection_size, self.hidden_size)
        read = self.projection_size or self.hidden_size
        if self.cutoffs:
            return shapes | decoder_shapes(
                read, self.vocab_size, self.cutoffs, self.tail_sizes, tied=self.tied
            )
        if not self.tied:
            shapes["decoder.weight"] = (self.vocab_size, read)
        return shapes | {"decoder.bias": (self.vocab_size,)}

    def tiled(self) -> list[str]:
        """The matrices that lie in tiles where they are int8: those that are multiplied as a whole.

        An embedding is read row by row, and a tied adaptive softmax is made of parts of it.
        """
        apart = {"decoder.clusters.weight"}
        if self.cutoffs or not self.tied:
            apart.add("embedding.weight")
        shapes = self.weight_shapes()
        return [name for name, shape in shapes.items() if len(shape) == 2 and name not in apart]

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return sum(math.prod(shape) for shape in self.weight_shapes().values())

    @classmethod
    def from_json(cls, text: str, where: str = "config.json") -> Self:
        """The configuration that a ``config.json`` holds.

        Raises:
            FolderError: not JSON, of another format, or with a field missing, unknown or wrong.
        """
        table = parse_json(text, where)
        if not isinstance(table, dict) or "format" not in table:
            raise FolderError(f"{where} is not a Carousel configuration")
        if table.pop("format") != FORMAT:
            raise FolderError(
                f"{where} is of another format than {FORMAT}: made by a newer version?"
            )
        known = {field.name for field in fields(cls)}
        if not known - set(LATER) <= table.keys() <= known:
            odd = sorted((table.keys() ^ known) - (set(LATER) - table.keys()))
            raise FolderError(f"{where}: missing or unknown: {', '.join(map(str, odd))}")
        lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
        try:
            return cls(**(table | lists))
        except FolderError as error:
            raise FolderError(f"{where}: {error}") from None

    def to_json(self) -> str:
        """The text of a ``config.json``."""
        table = asdict(self)
        for field in fields(self):
            if field.name in LATER and table[field.name] == field.default:
                del table[field.name]
        return json.dumps({"format": FORMAT, **table}, indent=2) + "\n"


class ModelFolder(NamedTuple):
    """What a model folder holds. The weights are read-only views of the mapped file."""

    path: Path
    config: Config
    weights: dict[str, Stored]
    tokenizer: Tokenizer


def read_folder(path: str | Path) -> ModelFolder:
    """Open a model folder: every name, type, shape and size is checked before it is used.

    Raises:
        FolderError: missing, truncated, oversized or foreign files, in one line.
    """
    path = Path(path)
    if not path.exists():
        raise FolderError(f"{path} is not there: no such model folder")
    if not path.is_dir():
        raise FolderError(f"{path} is a file: a model is a folder with config.json in it")
    config = Config.from_json(_read_text(path / "config.json"), str(path / "config.json"))
    tokenizer = Tokenizer.from_json(
        _read_text(path / "tokenizer.json"), str(path / "tokenizer.json")
    )
    if tokenizer.vocab_size != config.vocab_size:
        raise FolderError(
            f"{path}: tokenizer.json has {tokenizer.vocab_size} tokens, "
            f"config.json says {config.vocab_size}"
        )
    weights = read_weights(
        path / "model.safetensors", config.weight_shapes(), config.dtype, config.tiled()
    )
    return ModelFolder(path, config, weights, tokenizer)


def write_folder(
    path: str | Path,
    config: Config,
    weights: Mapping[str, Stored],
    tokenizer: Tokenizer,
    *,
    extra: Mapping[str, str | bytes] | None = None,
    force: bool = False,
) -> None:
    """Write a model folder aside, sync it and rename it into place.

    ``weights`` are as ``storage.store`` makes them for the configuration's ``dtype``. ``extra`` are
    further files by name. An existing folder is kept unless ``force``; then it is
    taken away only after the new one is whole, and on Linux in one step: there is never none.

    Raises:
        FolderError: the folder exists, or can't be written (the disk is full, say).
    """
    path = Path(path)
    check_free(path, force=force)
    files: dict[str, str | bytes] = {
        "config.json": config.to_json(),
        "model.safetensors": write_weights(
            weights, config.weight_shapes(), config.dtype, config.tiled()
        ),
        "tokenizer.json": tokenizer.to_json(),
        **(extra or {}),
    }
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        # Temporary folders are private; a model folder is as readable as any other.
        aside.chmod(0o777 & ~_umask())
        for name, data in files.items():
            _write_synced(aside / name, data)
        _sync_folder(aside)
        # Where the two change names, what is taken away at the end is the old one.
        swapped = path.exists() and _exchange(aside, path)
        if not swapped and path.exists():
            old = aside.with_name(aside.name + ".old")
            os.rename(path, old)
            try:
                os.rename(aside, path)
            except OSError:
                os.rename(old, path)
                raise
            shutil.rmtree(old, ignore_errors=True)
        elif not swapped:
            os.rename(aside, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def check_free(path: Path, *, force: bool = False) -> None:
    """Refuse to write a model where something is that it must not replace.

    Raises:
        FolderError: a model is there and ``force`` is off, or something that is no model is there.
    """
    if not path.exists():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    if not path.is_dir() or not (path / "config.json").is_file():
        raise FolderError(f"{path} exists and is not a model folder: choose another name")
    if not force:
        raise FolderError(f"{path} exists and is kept: choose another name, or use --force")


def clear_aside(path: Path) -> None:
    """Take away what a killed process left beside ``path``: folders it was still writing."""
    # As ``mkdtemp`` names them in ``write_folder``.
    left = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}(\.old)?")
    for beside in path.parent.iterdir() if path.parent.is_dir() else ():
        if left.fullmatch(beside.name):
            shutil.rmtree(beside, ignore_errors=True)


def write_file(path: str | Path, data: str | bytes) -> None:
    """Write a file aside, sync it and rename it into place.

    Raises:
        FolderError: it can't be written; what was there before stays.
    """
    write_aside(Path(path), lambda aside: _write_synced(aside, data))


def write_aside(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` write and sync a file beside ``path``, and rename it into place.

    Raises:
        FolderError: it can't be written; what was there before stays.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        os.replace(aside, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        # Where not even its folder could be made, there is nothing to take away.
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise FolderError(f"{path} is too large to be true")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FolderError(f"{path} is missing: not a model folder, or not a whole one") from None
    except UnicodeDecodeError:
        raise FolderError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror or error}") from None


def _write_synced(path: Path, data: str | bytes) -> None:
    with path.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # Windows can't open folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False where the system can't."""
    if sys.platform != "linux":
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    done: int = rename(here, os.fsencode(one), here, os.fsencode(other), exchange)
    return done == 0


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
