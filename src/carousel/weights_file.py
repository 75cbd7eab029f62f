"""The weights of a model as a safetensors file, checked before it is believed.

Matrices are float32, bfloat16, or int8 with a tensor of scales beside each: for
``decoder.weight`` of type I8, ``[N, K]``, there is ``decoder.weight.scale`` of type F32, ``[N]``.
All that is no matrix is F32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from carousel.errors import FolderError
from carousel.storage import Quantized, Stored, fault

LARGEST_HEADER = 2**20
SCALE = ".scale"
"""What the name of an int8 matrix is followed by where its scales are meant."""
KINDS = {"F32": "<f4", "BF16": "<u2", "I8": "|i1"}
"""How NumPy sees the types of safetensors; it has no bfloat16 of its own."""


def read_weights(
    path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "float32"
) -> dict[str, Stored]:
    """Map a safetensors file that must hold exactly ``shapes``, the matrices in ``dtype``.

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
    tensors = _tensors(shapes, dtype)
    if header.keys() != tensors.keys():
        missing, extra = (
            sorted(tensors.keys() - header.keys()),
            sorted(header.keys() - tensors.keys()),
        )
        what = f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which config.json does not"
        raise FolderError(f"{path} {what}")
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
        array = np.asarray(data[start:stop].view(KINDS[kind]).reshape(shape))
        # Only a foreign file lays tensors where the processor can't read them as they are.
        return array if array.flags.aligned else _read_only(array.copy())

    weights: dict[str, Stored] = {}
    for name in shapes:
        weight: Stored = mapped(name)
        if name + SCALE in tensors:
            weight = Quantized(mapped(name), mapped(name + SCALE))
        if wrong := fault(weight):
            raise FolderError(f"{path}: {name} holds {wrong}")
        weights[name] = weight
    return weights


def write_weights(
    weights: Mapping[str, Stored], shapes: Mapping[str, tuple[int, ...]], dtype: str
) -> bytes:
    """The bytes of a safetensors file of weights of ``shapes``, whose matrices are in ``dtype``.

    Raises:
        ValueError: other weights than these.
    """
    from safetensors import TensorSpec, serialize

    parts: dict[str, np.ndarray] = {}
    for name, weight in weights.items():
        if isinstance(weight, Quantized):
            parts |= {name: weight.values, name + SCALE: weight.scale}
        else:
            parts[name] = weight
    tensors = _tensors(shapes, dtype)
    if {name: part.shape for name, part in parts.items()} != {
        name: shape for name, (_, shape) in tensors.items()
    }:
        raise ValueError("the weights are not those of the configuration")
    names = {"F32": "float32", "BF16": "bfloat16", "I8": "int8"}
    specs, arrays = {}, []
    for name, (kind, shape) in tensors.items():
        given = parts[name].dtype
        # Any float may be rounded to float32; the other types are what they are.
        if given.kind != "f" if kind == "F32" else given != KINDS[kind]:
            raise ValueError(f"{name} is not stored as {dtype}")
        array = np.ascontiguousarray(parts[name], dtype=KINDS[kind])
        arrays.append(array)  # what a spec points to must stay until the bytes are made
        specs[name] = TensorSpec(
            dtype=names[kind], shape=shape, data_ptr=array.ctypes.data, data_len=array.nbytes
        )
    return bytes(serialize(specs))


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


def _tensors(
    shapes: Mapping[str, tuple[int, ...]], dtype: str
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of a file by name, each with its type in safetensors' terms and its shape."""
    kind = {"float32": "F32", "bfloat16": "BF16", "int8": "I8"}[dtype]
    tensors = {name: (kind if len(shape) == 2 else "F32", shape) for name, shape in shapes.items()}
    scales = {
        name + SCALE: ("F32", shape[:1]) for name, (kind, shape) in tensors.items() if kind == "I8"
    }
    return tensors | scales


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
        or offsets[1] - offsets[0] != np.dtype(KINDS[kind]).itemsize * math.prod(shape)
    ):
        raise FolderError(f"{path}: {name} is not as long as its shape says")
    return offsets[0], offsets[1]


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
