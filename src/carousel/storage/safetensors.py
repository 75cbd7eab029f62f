"""The weights of a model as a safetensors file, checked before it is believed.

Matrices are float32, bfloat16, or int8 with a tensor of scales beside each: for
``decoder.weight`` of type I8 there is ``decoder.weight.scale`` of type F32, ``[N]``. An int8 matrix
``[N, K]`` that is multiplied lies in tiles, ``[⌈N / 16⌉, ⌈K / 4⌉, 16, 4]``, so that the engine can
map it. All that is no matrix is F32.

The metadata in the header hold the SHA-256 of all that comes after the header. So a hash of the
header alone tells two models apart, and no weight need be read for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import IO, Any, NamedTuple

import numpy as np

from carousel.errors import FolderError
from carousel.storage.number_formats import (
    Quantized,
    StoredWeight,
    Tiled,
    find_invalid_values,
    tiles_shape,
    to_tiles,
)
from carousel.storage.strict_json import parse_json

MAX_HEADER_BYTES = 2**20
SCALE_SUFFIX = ".scale"
"""What the tensor of an int8 matrix's scales is called, after the matrix's own name."""
NUMPY_TYPES = {"F32": "<f4", "BF16": "<u2", "I8": "|i1"}
"""How NumPy sees the types of safetensors; it has no bfloat16 of its own."""
TENSORS_SHA256 = "sha256"
"""The key of the tensors' hash in a header's metadata."""
CHUNK_BYTES = 2**20
"""Bytes that are hashed at a time."""
CACHE_LINE = 64
"""Bytes that a processor reads together. A tile is as long."""


class Header(NamedTuple):
    """What stands before the tensors."""

    entries: dict[str, Any]
    """By the names of tensors, as yet unchecked."""
    length: int
    """Bytes before the first tensor."""
    file_size: int
    sha256: str
    """Of these bytes."""
    tensors_sha256: str | None
    """Of the tensors, as the file states it; None where it does not."""


# Long by its checks, of which each has its own message.
def read_weights(
    file: IO[bytes],
    where: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str = "float32",
    tiled_names: Collection[str] = (),
    *,
    mmap: bool = True,
) -> tuple[dict[str, StoredWeight], Header]:
    """Open the weights of a safetensors file that holds exactly ``shapes``.

    Args:
        file: the file, open for reading.
        where: what an error calls it.
        shapes: the shape of every weight by name.
        dtype: the matrices' number format.
        tiled_names: the matrices that may lie in tiles, if they are int8.
        mmap: map the file; otherwise it is copied into memory.

    Raises:
        FolderError: anything in the file that differs from that, values that are not finite too.
        OSError: the file can't be read.
    """
    header = parse_header(file, where)
    entries = header.entries
    tensors = _tensors(
        shapes, dtype, [name for name in tiled_names if _in_tiles(entries.get(name))]
    )
    if entries.keys() != tensors.keys():
        missing, extra = (
            sorted(tensors.keys() - entries.keys()),
            sorted(entries.keys() - tensors.keys()),
        )
        problem = (
            f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which config.json does not"
        )
        raise FolderError(f"{where} {problem}")
    spans = {name: _span(where, name, entries[name], *tensors[name]) for name in tensors}
    end = 0
    for start, stop in sorted(spans.values()):
        if start != end:
            raise FolderError(f"{where}: its tensors overlap or leave gaps")
        end = stop
    size, expected = header.file_size, header.length + end
    if size != expected:
        state = "cut short" if size < expected else "longer than its tensors"
        raise FolderError(f"{where} is {state}: {size} bytes, {expected} expected")
    data = _map(file, header.length) if mmap else _copy(file, where, header.length, end)

    def array_of(name: str) -> np.ndarray:
        kind, shape = tensors[name]
        start, stop = spans[name]
        array = np.asarray(data[start:stop].view(NUMPY_TYPES[kind]).reshape(shape))
        # Only a foreign file lays tensors where the processor can't read them as they are.
        return array if array.flags.aligned else _read_only(array.copy())

    weights: dict[str, StoredWeight] = {}
    for name in shapes:
        values = array_of(name)
        weight: StoredWeight = values
        if name + SCALE_SUFFIX in tensors:
            scale, in_rows = array_of(name + SCALE_SUFFIX), values.ndim == len(shapes[name])
            weight = Quantized(values, scale) if in_rows else Tiled(values, scale, shapes[name][1])
        if wrong := find_invalid_values(weight):
            raise FolderError(f"{where}: {name} holds {wrong}")
        weights[name] = weight
    return weights, header


def hash_tensors(file: IO[bytes], header: Header) -> str:
    """The SHA-256 of a file's tensors, all of which are read."""
    digest = hashlib.sha256()
    file.seek(header.length)
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def parse_header(file: IO[bytes] | bytes, where: str) -> Header:
    """The header of a safetensors file.

    Args:
        file: the file, open for reading at its beginning, or its content.
        where: what an error calls it.

    Raises:
        FolderError: no safetensors file, or one that is cut short.
    """
    if isinstance(file, bytes):
        file_size, file = len(file), BytesIO(file)
    else:
        file_size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    size = int.from_bytes(prefix, "little")
    if file_size < 8 or not 2 <= size <= min(MAX_HEADER_BYTES, file_size - 8):
        raise FolderError(f"{where} is not a safetensors file, or is cut short")
    text = file.read(size)
    entries = parse_json(text, where)
    if not isinstance(entries, dict):
        raise FolderError(f"{where} is not a safetensors file: its header is no table")
    metadata = entries.pop("__metadata__", None)
    stated = metadata.get(TENSORS_SHA256) if isinstance(metadata, dict) else None
    digest = hashlib.sha256(prefix + text).hexdigest()
    return Header(entries, 8 + size, file_size, digest, stated if isinstance(stated, str) else None)


def _map(file: IO[bytes], start: int) -> np.ndarray:
    return np.memmap(file, dtype=np.uint8, mode="r", offset=start)


def _copy(file: IO[bytes], where: str, start: int, size: int) -> np.ndarray:
    """The bytes from ``start`` on, in memory, laid as they lie where the file is mapped."""
    memory = np.empty(size + CACHE_LINE, dtype=np.uint8)
    first = (start - memory.ctypes.data) % CACHE_LINE
    data = memory[first : first + size]
    file.seek(start)
    count = file.readinto(data)  # type: ignore[attr-defined]
    if count != size:
        raise FolderError(f"{where} is cut short while it is read")
    return _read_only(data)


def write_weights(
    weights: Mapping[str, StoredWeight],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    tiled_names: Collection[str] = (),
) -> bytes:
    """The bytes of a safetensors file of weights of ``shapes``, whose matrices are in ``dtype``.

    Args:
        weights: the weights by name, as ``cast_weights`` makes them.
        shapes: the shape of every weight by name.
        dtype: the matrices' number format.
        tiled_names: the matrices that are laid in tiles, if they are int8.

    Raises:
        ValueError: other weights than these.
    """
    parts: dict[str, np.ndarray] = {}
    for name, weight in weights.items():
        if isinstance(weight, Quantized) and name in tiled_names:
            weight = to_tiles(weight)
        if isinstance(weight, Quantized | Tiled):
            parts |= {name: weight[0], name + SCALE_SUFFIX: weight.scale}
        else:
            parts[name] = weight
    tensors = _tensors(shapes, dtype, tiled_names)
    if {name: part.shape for name, part in parts.items()} != {
        name: shape for name, (_, shape) in tensors.items()
    }:
        raise ValueError("the weights are not those of the configuration")
    arrays = {}
    for name, (kind, _) in tensors.items():
        given = parts[name].dtype
        # Any float may be rounded to float32; the other types are what they are.
        if given.kind != "f" if kind == "F32" else given != NUMPY_TYPES[kind]:
            raise ValueError(f"{name} is not stored as {dtype}")
        arrays[name] = np.ascontiguousarray(parts[name], dtype=NUMPY_TYPES[kind])
    header: dict[str, Any] = {}
    end = 0
    digest = hashlib.sha256()
    # Tiles first, so that each of them is a line; all else lies where its type may.
    order = sorted(arrays, key=lambda name: (arrays[name].ndim != 4, -arrays[name].itemsize, name))
    for name in order:
        start, end = end, end + arrays[name].nbytes
        digest.update(arrays[name].data)
        kind, shape = tensors[name]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    header["__metadata__"] = {TENSORS_SHA256: digest.hexdigest()}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % CACHE_LINE)
    return b"".join([len(text).to_bytes(8, "little"), text, *(arrays[name].data for name in order)])


def _tensors(
    shapes: Mapping[str, tuple[int, ...]], dtype: str, tiled_names: Collection[str]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of a file by name, each with its type in safetensors' terms and its shape."""
    kind = {"float32": "F32", "bfloat16": "BF16", "int8": "I8"}[dtype]
    tensors = {name: (kind if len(shape) == 2 else "F32", shape) for name, shape in shapes.items()}
    if kind != "I8":
        return tensors
    scales = {
        name + SCALE_SUFFIX: ("F32", shapes[name][:1]) for name in tensors if len(shapes[name]) == 2
    }
    return tensors | {name: (kind, tiles_shape(shapes[name])) for name in tiled_names} | scales


def _in_tiles(entry: Any) -> bool:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    return isinstance(shape, list) and len(shape) == 4


def _span(where: str, name: str, entry: Any, kind: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Where a tensor's bytes lie, after checking that the header describes what is expected."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FolderError(f"{where}: {name} is not described as safetensors does")
    if entry["dtype"] != kind:
        raise FolderError(f"{where}: {name} is of type {entry['dtype']!r}, not {kind}")
    if entry["shape"] != list(shape):
        raise FolderError(f"{where}: {name} has shape {entry['shape']}, not {list(shape)}")
    offsets = entry["data_offsets"]
    if (
        not isinstance(offsets, list)
        or [type(o) for o in offsets] != [int, int]
        or offsets[0] < 0
        or offsets[1] - offsets[0] != np.dtype(NUMPY_TYPES[kind]).itemsize * math.prod(shape)
    ):
        raise FolderError(f"{where}: {name} is not as long as its shape says")
    return offsets[0], offsets[1]


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
