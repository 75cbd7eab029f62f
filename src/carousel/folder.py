"""A model on disk, checked before it is believed.

``config.json``, ``model.safetensors``, ``tokenizer.json``, and what training leaves beside them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from carousel.cells import CELLS, weight_shapes
from carousel.errors import FolderError
from carousel.text.tokenizer import Tokenizer

FORMAT = 1
LARGEST_HEADER = 2**20
LARGEST_JSON = 2**28
LARGEST_SIZE = 2**24
LARGEST_LAYERS = 64


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

    def __post_init__(self) -> None:
        wanted = {"str": str, "int": int, "bool": bool}
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not wanted[str(field.type)]:
                raise FolderError(f"{field.name} must be {field.type}, not {value!r}")
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
        if not self.tied:
            read = self.projection_size or self.hidden_size
            shapes["decoder.weight"] = (self.vocab_size, read)
        return shapes | {"decoder.bias": (self.vocab_size,)}

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
        if table.keys() != known:
            odd = sorted(table.keys() ^ known)
            raise FolderError(f"{where}: missing or unknown: {', '.join(map(str, odd))}")
        try:
            return cls(**table)
        except FolderError as error:
            raise FolderError(f"{where}: {error}") from None

    def to_json(self) -> str:
        """The text of a ``config.json``."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"


class ModelFolder(NamedTuple):
    """What a model folder holds. The weights are read-only views of the mapped file."""

    path: Path
    config: Config
    weights: dict[str, np.ndarray]
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
    weights = read_weights(path / "model.safetensors", config.weight_shapes())
    return ModelFolder(path, config, weights, tokenizer)


def read_weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Map the float32 tensors of a safetensors file that must hold exactly ``shapes``.

    Raises:
        FolderError: anything in the file that differs from that, values that are not finite too.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= header_size <= min(LARGEST_HEADER, size - 8):
                raise FolderError(f"{path} is not a safetensors file, or is cut short")
            header = parse_json(file.read(header_size), str(path))
    except FileNotFoundError:
        raise FolderError(f"{path} is missing") from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror or error}") from None
    if not isinstance(header, dict):
        raise FolderError(f"{path} is not a safetensors file: its header is no table")
    header.pop("__metadata__", None)
    if header.keys() != shapes.keys():
        missing, extra = (
            sorted(shapes.keys() - header.keys()),
            sorted(header.keys() - shapes.keys()),
        )
        what = f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which config.json does not"
        raise FolderError(f"{path} {what}")
    spans = {name: _span(path, name, header[name], shape) for name, shape in shapes.items()}
    end = 0
    for start, stop in sorted(spans.values()):
        if start != end:
            raise FolderError(f"{path}: its tensors overlap or leave gaps")
        end = stop
    if size != 8 + header_size + end:
        state = "cut short" if size < 8 + header_size + end else "longer than its tensors"
        raise FolderError(f"{path} is {state}: {size} bytes, {8 + header_size + end} expected")
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + header_size)
    weights = {}
    for name, (start, stop) in spans.items():
        weight = data[start:stop].view("<f4").reshape(shapes[name])
        # One pass that allocates nothing of the weight's size: NaN and infinity survive a sum.
        if not np.isfinite(np.add.reduce(weight, axis=None, dtype=np.float64)):
            raise FolderError(f"{path}: {name} holds a value that is not finite")
        weights[name] = np.asarray(weight)
    return weights


def write_folder(
    path: str | Path,
    config: Config,
    weights: Mapping[str, np.ndarray],
    tokenizer: Tokenizer,
    *,
    extra: Mapping[str, str | bytes] | None = None,
    force: bool = False,
) -> None:
    """Write a model folder aside, sync it and rename it into place.

    ``extra`` are further files by name. An existing folder is kept unless ``force``; then it is
    taken away only after the new one is whole.

    Raises:
        FolderError: the folder exists, or can't be written (the disk is full, say).
    """
    from safetensors.numpy import save

    path = Path(path)
    check_free(path, force=force)
    shapes = {name: weight.shape for name, weight in weights.items()}
    if shapes != config.weight_shapes():
        raise ValueError("the weights are not those of the configuration")
    arrays = {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in weights.items()}
    files: dict[str, str | bytes] = {
        "config.json": config.to_json(),
        "model.safetensors": save(arrays),
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
        if path.exists():
            old = aside.with_name(aside.name + ".old")
            os.rename(path, old)
            try:
                os.rename(aside, path)
            except OSError:
                os.rename(old, path)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
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


def write_file(path: str | Path, data: str | bytes) -> None:
    """Write a file aside, sync it and rename it into place.

    Raises:
        FolderError: it can't be written; what was there before stays.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_synced(aside, data)
        os.replace(aside, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        # Where not even its folder could be made, there is nothing to take away.
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def parse_json(text: str | bytes, where: str) -> Any:
    """JSON without duplicate keys.

    Raises:
        FolderError: anything else.
    """

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise FolderError(f"{where} names the same thing twice")
        return made

    try:
        return json.loads(text, object_pairs_hook=table)
    except (ValueError, RecursionError):
        raise FolderError(f"{where} is not JSON, or is cut short") from None


def _span(path: Path, name: str, entry: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Where a tensor's bytes lie, after checking that the header describes what is expected."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FolderError(f"{path}: {name} is not described as safetensors does")
    if entry["dtype"] != "F32":
        raise FolderError(f"{path}: {name} is of type {entry['dtype']!r}, not F32")
    if entry["shape"] != list(shape):
        raise FolderError(f"{path}: {name} has shape {entry['shape']}, not {list(shape)}")
    offsets = entry["data_offsets"]
    if (
        not isinstance(offsets, list)
        or [type(o) for o in offsets] != [int, int]
        or offsets[0] < 0
        or offsets[1] - offsets[0] != 4 * math.prod(shape)
    ):
        raise FolderError(f"{path}: {name} is not as long as its shape says")
    return offsets[0], offsets[1]


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
