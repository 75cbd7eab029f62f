"""An ONNX file, read with care: its structure, its metadata and its constants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from carousel.convert.foreign_file import open_file, read_file
from carousel.errors import ConvertError

MAX_STRUCTURE_BYTES = 2**23
"""How large a file may be beside its weights: parsed, each byte may take fifty."""
MAX_FIELDS = 10**6
MAX_DEPTH = 12
MAX_GROWTH = 8
"""How many times the bytes in the file what is computed from constants may come to."""
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 14: "entry"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph"},
}
"""Which fields of a message hold which messages (``onnx.proto``), as far as weights lie in them."""
DATA_FIELDS: Mapping[str, frozenset[int]] = {"tensor": frozenset({4, 9}), "entry": frozenset({2})}
"""Fields of plain data: ``float_data`` and ``raw_data`` of a tensor, the value of metadata."""
NUMPY_TYPES = {1: "<f4", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8", 16: "<u2"}
"""The types of tensors that are read: floats and whole numbers (16 is bfloat16)."""
BFLOAT16 = 16


class OnnxFile:
    """An ONNX model's graph, whose constants are read when they are asked for.

    Args:
        path: the ``.onnx`` file. Weights beside it (external data) must lie in its folder.

    Raises:
        ConvertError: an unreadable file, or one that claims to be what it is not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        model = _parse(path)
        self.graph = model.graph
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self._initializers = {tensor.name: tensor for tensor in self.graph.initializer}
        self._producers = {
            output: (node, number)
            for node in self.graph.node
            for number, output in enumerate(node.output)
            if output
        }
        self._computed: dict[str, np.ndarray | None] = {}
        self._budget = MAX_GROWTH * path.stat().st_size

    @property
    def inputs(self) -> list[str]:
        """The names of the graph's inputs that are no constants."""
        return [i.name for i in self.graph.input if i.name not in self._initializers]

    def producer(self, name: str) -> tuple[Any, int] | None:
        """The node that makes a value, and which of its outputs it is; None for an input."""
        return self._producers.get(name)

    def constant(self, name: str, depth: int = 0) -> np.ndarray | None:
        """The array of a value that depends on no input; None where it depends on one.

        Raises:
            ConvertError: a tensor that is not as large as it says, or of a type that is no weight.
        """
        if name not in self._computed:
            self._computed[name] = self._compute(name, depth)
        return self._computed[name]

    def _compute(self, name: str, depth: int) -> np.ndarray | None:
        if name in self._initializers:
            return self._array(self._initializers[name], name)
        if name not in self._producers or depth > MAX_DEPTH:
            return None
        node, _ = self._producers[name]
        if node.op_type == "Constant":
            return self._attribute_constant(node, name)
        if node.op_type not in OPERATORS:
            return None
        inputs = [self.constant(given, depth + 1) if given else None for given in node.input]
        if any(array is None for array, given in zip(inputs, node.input, strict=True) if given):
            return None
        try:
            array: np.ndarray = OPERATORS[node.op_type](inputs, attributes(node))
        except (ValueError, IndexError, TypeError, KeyError, np.exceptions.AxisError):
            raise ConvertError(
                f"{self.path}: {node.op_type} of constants can't be computed"
            ) from None
        self._budget -= array.nbytes
        if self._budget < 0:
            raise ConvertError(f"{self.path}: its constants come to many times the file")
        return array

    def _attribute_constant(self, node: Any, name: str) -> np.ndarray:
        given = attributes(node)
        for key in ("value_int", "value_ints", "value_float", "value_floats"):
            if key in given:
                return np.asarray(given[key])
        if "value" not in given:
            raise ConvertError(f"{self.path}: the constant {name!r} is no tensor of numbers")
        return self._array(given["value"], name)

    def _array(self, tensor: Any, name: str) -> np.ndarray:
        """A tensor's values, floats as float32, after its size has been checked."""
        kind = NUMPY_TYPES.get(tensor.data_type)
        if kind is None:
            raise ConvertError(
                f"{self.path}: {name} is no tensor of floats: give the graph as it was before "
                f"quantizing"
            )
        shape = tuple(tensor.dims)
        if any(size < 0 for size in shape):
            raise ConvertError(f"{self.path}: {name} has a negative size")
        wanted = math.prod(shape) * np.dtype(kind).itemsize
        if tensor.data_location == 1:
            data = self._external(tensor, name, wanted)
        elif tensor.raw_data or wanted == 0:
            data = tensor.raw_data
        else:
            return self._listed(tensor, name, kind, shape)
        if len(data) != wanted:
            raise ConvertError(f"{self.path}: {name} says {list(shape)}, but holds another size")
        array = np.frombuffer(data, kind).reshape(shape)
        if tensor.data_type == BFLOAT16:  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return _checked(array, f"{self.path}: {name}")

    def _listed(self, tensor: Any, name: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        fields = {1: "float_data", 11: "double_data", 6: "int32_data", 7: "int64_data"}
        field = fields.get(tensor.data_type)
        listed = getattr(tensor, field) if field else []
        if len(listed) != math.prod(shape):
            raise ConvertError(f"{self.path}: {name} says {list(shape)}, but holds another size")
        return _checked(np.array(listed, kind).reshape(shape), f"{self.path}: {name}")

    def _external(self, tensor: Any, name: str, wanted: int) -> bytes:
        """A tensor's bytes from a file beside the graph.

        Raises:
            ConvertError: the file is not in the graph's folder, or is shorter than it should be.
        """
        entries = {entry.key: entry.value for entry in tensor.external_data}
        folder = self.path.parent.resolve()
        location = entries.get("location", "")
        try:
            file = (folder / location).resolve()
            offset = int(entries.get("offset", 0))
            length = int(entries.get("length", wanted))
        except (ValueError, OSError, RuntimeError):
            raise ConvertError(f"{self.path}: where {name} lies can't be read") from None
        if not location or not file.is_relative_to(folder) or not file.is_file():
            raise ConvertError(
                f"{self.path}: {name} lies in {location!r}, which is no file in the graph's folder"
            )
        if length != wanted or not 0 <= offset <= file.stat().st_size - wanted:
            raise ConvertError(f"{self.path}: {name} is not as long in {location!r} as it says")
        self._budget += MAX_GROWTH * wanted
        with open_file(file) as opened:
            opened.seek(offset)
            return opened.read(wanted)


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes by name: numbers, lists, tensors, and text."""
    from onnx import helper

    try:
        return {a.name: helper.get_attribute_value(a) for a in node.attribute}
    except ValueError:
        raise ConvertError(f"{node.op_type} has an attribute of no known type") from None


def _axes(inputs: list[Any], given: Mapping[str, Any]) -> tuple[int, ...]:
    """The axes of a Squeeze or Unsqueeze: an input, in old graphs an attribute."""
    axes = inputs[1] if len(inputs) > 1 and inputs[1] is not None else given["axes"]
    return tuple(int(axis) for axis in np.atleast_1d(axes))


def _slice(inputs: list[Any], given: Mapping[str, Any]) -> np.ndarray:
    data, starts, ends, *rest = inputs
    axes = rest[0] if rest and rest[0] is not None else np.arange(len(starts))
    steps = rest[1] if len(rest) > 1 and rest[1] is not None else np.ones(len(starts), np.int64)
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(int(start), int(end), int(step))
    taken: np.ndarray = data[tuple(index)]
    return taken


def _cast(inputs: list[Any], given: Mapping[str, Any]) -> np.ndarray:
    kind = NUMPY_TYPES[given["to"]]
    cast: np.ndarray = inputs[0].astype("<f4" if given["to"] in (BFLOAT16, 10, 11) else kind)
    return cast


OPERATORS: Mapping[str, Any] = {
    "Identity": lambda inputs, given: inputs[0],
    "Transpose": lambda inputs, given: np.transpose(inputs[0], given.get("perm")),
    "Reshape": lambda inputs, given: inputs[0].reshape(
        [
            inputs[0].shape[axis] if size == 0 else int(size)
            for axis, size in enumerate(inputs[1].tolist())
        ]
    ),
    "Squeeze": lambda inputs, given: np.squeeze(inputs[0], _axes(inputs, given)),
    "Unsqueeze": lambda inputs, given: np.expand_dims(inputs[0], _axes(inputs, given)),
    "Concat": lambda inputs, given: np.concatenate(inputs, axis=given["axis"]),
    "Slice": _slice,
    "Cast": _cast,
}
"""Operators that are computed where all that they read is constant. None makes an array larger."""


def _checked(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise ConvertError(f"{where} holds a value that is not finite")
    return array


def _parse(path: Path) -> Any:
    """The file's message, after its outline has been checked."""
    import onnx

    data = read_file(path)
    outline = _Outline()
    try:
        outline.scan(memoryview(data), "model")
        if len(data) - outline.data_bytes > MAX_STRUCTURE_BYTES:
            raise _TooManyFieldsError
        model = onnx.load_model_from_string(data)
    except _TooManyFieldsError:
        raise ConvertError(f"{path} has more nodes and names than any model needs") from None
    # Not a message, one that is cut short, or one that is nested without end.
    except (ValueError, IndexError, _decode_error()):
        raise ConvertError(f"{path} is not an ONNX graph, or is damaged") from None
    if not model.HasField("graph"):
        raise ConvertError(f"{path} is not an ONNX graph")
    return model


def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError

    error: type[Exception] = DecodeError
    return error


class _TooManyFieldsError(Exception):
    """A message of more parts than any model has."""


class _Outline:
    """What a message in Protobuf's wire format is made of, found without parsing it."""

    def __init__(self) -> None:
        self.data_bytes = 0
        """How many bytes of weights and metadata it holds."""
        self._fields = 0

    def scan(self, message: memoryview, kind: str, depth: int = 0) -> None:
        """Go through the fields of a message of a kind.

        Raises:
            ValueError, IndexError: it is not in that format.
        """
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        inner, plain = MESSAGES.get(kind, {}), DATA_FIELDS.get(kind, frozenset())
        position = 0
        while position < len(message):
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise _TooManyFieldsError
            tag, position = _varint(message, position)
            field, wire_type = tag >> 3, tag & 7
            if wire_type == 0:
                _, position = _varint(message, position)
            elif wire_type in (1, 5):
                position += 8 if wire_type == 1 else 4
            elif wire_type == 2:
                length, position = _varint(message, position)
                if length > len(message) - position:
                    raise ValueError("cut short")
                if field in plain:
                    self.data_bytes += length
                elif field in inner:
                    part = message[position : position + length]
                    self.scan(part, inner[field], depth + 1)
                position += length
            else:
                raise ValueError("no such type")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number of Protobuf's wire format, and where the next thing begins."""
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > 63:
            raise ValueError("too long a number")
