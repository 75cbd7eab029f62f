"""The weights of a model as a safetensors file, checked before it is believed.

Matrices are float32, bfloat16, or int8 with a tensor of scales beside each: for
``decoder.weight`` of type I8 there is ``decoder.weight.scale`` of type F32, ``[N]``. An int8 matrix
``[N, K]`` that is multiplied lies in tiles, ``[⌈N / 16⌉, ⌈K / 4⌉, 16, 4]``, so that the engine can
map it. All that is no matrix is F32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

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
CACHE_LINE = 64
"""Bytes that a processor reads together. A tile is as long."""


def read_weights(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str = "float32",
    tiled_names: Collection[str] = (),
) -> dict[str, StoredWeight]:
    """Map a safetensors file that must hold exactly ``shapes``, the matrices in ``dtype``.

    Args:
        path: the file; it is mapped, not copied.
        shapes: the shape of every weight by name.
        dtype: the matrices' number format.
        tiled_names: the matrices that may lie in tiles, if they are int8.

    Raises:
        FolderError: anything in the file that differs from that, values that are not finite too.
    """
    header, size, header_size = _read_header(path)
    tensors = _tensors(shapes, dtype, [name for name in tiled_names if _in_tiles(header.get(name))])
    if header.keys() != tensors.keys():
        missing, extra = (
            sorted(tensors.keys() - header.keys()),
            sorted(header.keys() - tensors.keys()),
        )
        problem = (
            f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which config.json does not"
        )
        raise FolderError(f"{path} {problem}")
    spans = {name: _span(path, name, header[name], *tensors[name]) for name in tensors}
    end = 0
    for start, stop in sorted(spans.values()):
        if start != end:
            raise FolderError(f"{path}: its tensors overlap or leave gaps")
        end = stop
    if size != 8 + header_size + end:
        state = "cut short" if size < 8 + header_size + end else "longer than its tensors"
        raise FolderError(f"{path} is {state}: {size} bytes, {8 + header_size + end} expected")
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + header_size)

    def mapped(name: str) -> np.ndarray:
        kind, shape = tensors[name]
        start, stop = spans[name]
        array = np.asarray(data[start:stop].view(NUMPY_TYPES[kind]).reshape(shape))
        # Only a foreign file lays tensors where the processor can't read them as they are.
        return array if array.flags.aligned else _read_only(array.copy())

    weights: dict[str, StoredWeight] = {}
    for name in shapes:
        values = mapped(name)
        weight: StoredWeight = values
        if name + SCALE_SUFFIX in tensors:
            scale, in_rows = mapped(name + SCALE_SUFFIX), values.ndim == len(shapes[name])
            weight = Quantized(values, scale) if in_rows else Tiled(values, scale, shapes[name][1])
        if wrong := find_invalid_values(weight):
            raise FolderError(f"{path}: {name} holds {wrong}")
        weights[name] = weight
    return weights


def _read_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header of a safetensors file, the file's size and the header's, in bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= header_size <= min(MAX_HEADER_BYTES, size - 8):
                raise FolderError(f"{path} is not a safetensors file, or is cut short")
            header = parse_json(file.read(header_size), str(path))
    except FileNotFoundError:
        raise FolderError(f"{path} is missing") from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror or error}") from None
    if not isinstance(header, dict):
        raise FolderError(f"{path} is not a safetensors file: its header is no table")
    header.pop("__metadata__", None)
    return header, size, header_size


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
    header, end = {}, 0
    # Tiles first, so that each of them is a line; all else lies where its type may.
    order = sorted(arrays, key=lambda name: (arrays[name].ndim != 4, -arrays[name].itemsize, name))
    for name in order:
        start, end = end, end + arrays[name].nbytes
        kind, shape = tensors[name]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
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


def _span(path: Path, name: str, entry: Any, kind: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Where a tensor's bytes lie, after checking that the header describes what is expected."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FolderError(f"{path}: {name} is not described as safetensors does")
    if entry["dtype"] != kind:
        raise FolderError(f"{path}: {name} is of type {entry['dtype']!r}, not {kind}")
    if entry["shape"] != list(shape):
        raise FolderError(f"{path}: {name} has shape {entry['shape']}, not {list(shape)}")
    offsets = entry["data_offsets"]
    if (
        not isinstance(offsets, list)
        or [type(o) for o in offsets] != [int, int]
        or offsets[0] < 0
        or offsets[1] - offsets[0] != np.dtype(NUMPY_TYPES[kind]).itemsize * math.prod(shape)
    ):
        raise FolderError(f"{path}: {name} is not as long as its shape says")
    return offsets[0], offsets[1]


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
