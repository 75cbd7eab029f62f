"""Keras's files, read with care: a model's layers as JSON, and its weights from HDF5 by h5py alone.

``.keras`` is a zip of ``config.json`` and ``model.weights.h5``; the legacy ``.h5`` holds both.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from carousel.convert.foreign_file import open_file
from carousel.errors import ConvertError, FolderError
from carousel.storage.strict_json import parse_json

MAX_CONFIG_BYTES = 2**24
"""The largest configuration that is read."""
MAX_GROWTH = 8
"""How many times a file's size what is in it may come to: weights hardly shrink by packing."""
MAX_LAYERS = 1000
HDF5_MAGIC = b"\x89HDF"


class KerasLayer(NamedTuple):
    """One layer."""

    kind: str
    """Its class in Keras, such as ``LSTM``."""
    name: str
    config: dict[str, Any]
    weights: list[np.ndarray]
    """In Keras's order, as float32."""


def read_keras(path: Path) -> list[KerasLayer]:
    """The layers of a Keras model, in the order in which they follow each other.

    Args:
        path: a ``.keras`` or ``.h5`` file. Nothing in it is run or unpickled.

    Raises:
        ConvertError: an unreadable file, one that holds more than it should, or layers that do not
            follow each other in one line.
    """
    if find_spec("h5py") is None:
        raise ConvertError(
            "Keras's files need the package h5py: pip install 'carousel-lstm[keras]'"
        )
    with open_file(path) as file:
        start = file.read(4)
    try:
        if start == HDF5_MAGIC:
            return _read_legacy(path)
        if start == b"PK\x03\x04":
            return _read_archive(path)
    except ConvertError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        raise ConvertError(f"{where}{error}") from None
    except FolderError as error:
        raise ConvertError(str(error)) from None
    except OSError as error:
        raise ConvertError(f"{path} can't be read, or is damaged: {_first_line(error)}") from None
    # What h5py and zipfile raise for whatever is not as it should be.
    except (
        KeyError, ValueError, TypeError, AttributeError, RuntimeError, EOFError, IndexError,
        NotImplementedError, zipfile.BadZipFile, zlib.error, UnicodeError,
    ):  # fmt: skip
        raise ConvertError(f"{path} is damaged, or not a file that Keras wrote") from None
    raise ConvertError(f"{path} is neither a .keras nor an .h5 file")


def _read_archive(path: Path) -> list[KerasLayer]:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        limit = MAX_GROWTH * size
        table = parse_json(
            _member(archive, "config.json", min(MAX_CONFIG_BYTES, limit + 2**20)),
            f"config.json in {path}",
        )
        data = _member(archive, "model.weights.h5", limit)
    import h5py

    layers = _layers(table)
    with h5py.File(io.BytesIO(data), "r") as file:
        reader = _Weights(file, MAX_GROWTH * len(data))
        groups = reader.saved_groups(layers)
        return [
            KerasLayer(kind, name, config, reader.numbered(groups[number]))
            for number, (kind, name, config) in enumerate(layers)
        ]


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A file of a zip, of at most ``limit`` bytes.

    Raises:
        ConvertError: it is not there, or is larger.
    """
    if name not in archive.namelist():
        raise ConvertError(f"it is a zip without {name}: not a model that Keras saved")
    with archive.open(name) as member:
        data = member.read(limit + 1)
    if len(data) > limit or archive.getinfo(name).file_size > limit:
        raise ConvertError(f"{name} unpacks to many times the file's size, as no weights do")
    return data


def _read_legacy(path: Path) -> list[KerasLayer]:
    import h5py

    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
        if text is None:
            raise ConvertError("it holds weights alone: save the whole model, by model.save()")
        if not isinstance(text, str | bytes) or len(text) > MAX_CONFIG_BYTES:
            raise ConvertError("its configuration is no text")
        layers = _layers(parse_json(text, f"the configuration in {path}"))
        reader = _Weights(file, MAX_GROWTH * path.stat().st_size)
        return [
            KerasLayer(kind, name, config, reader.named(f"model_weights/{name}"))
            for kind, name, config in layers
        ]


class _Weights:
    """The weights of an HDF5 file.

    Args:
        file: the open file.
        budget: how many bytes all weights together may come to.
    """

    def __init__(self, file: Any, budget: int) -> None:
        self.file = file
        self.budget = budget

    def get(self, path: str) -> Any:
        """What lies under a path of names, by links that stay in this file; None if nothing."""
        import h5py

        node = self.file
        for name in path.split("/"):
            link = node.get(name, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise ConvertError(f"{path} is a link to somewhere else")
            node = node[name]
        return node

    def array(self, path: str) -> np.ndarray:
        """A dataset of floats as float32.

        Raises:
            ConvertError: it is something else, lies in another file, or is larger than the file.
        """
        import h5py

        dataset = self.get(path)
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
            raise ConvertError(f"{path} is no array of floats")
        if dataset.is_virtual or dataset.external:
            raise ConvertError(f"{path} lies in another file")
        self.budget -= dataset.size * max(4, dataset.dtype.itemsize)
        if self.budget < 0:
            raise ConvertError(f"{path} claims to be many times the file's size")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            array: np.ndarray = dataset[()].astype(np.float32)
        if not np.isfinite(array).all():
            raise ConvertError(f"{path} holds a value that is not finite")
        return array

    def named(self, path: str) -> list[np.ndarray]:
        """The weights of a layer of a legacy file, in the order that it lists."""
        group = self.get(path)
        if group is None:
            return []
        names = [name.decode() if isinstance(name, bytes) else str(name)
                 for name in np.asarray(group.attrs.get("weight_names", [])).ravel()]  # fmt: skip
        return [self.array(f"{path}/{name}") for name in names]

    def numbered(self, path: str | None) -> list[np.ndarray]:
        """The weights of a layer of a ``.keras`` file: those of its cell, or its own."""
        if path is None:
            return []
        for inner in ("cell/vars", "layer/vars", "vars"):
            group = self.get(f"{path}/{inner}")
            if group is not None and len(group):
                return [self.array(f"{path}/{inner}/{number}") for number in range(len(group))]
        return []

    def saved_groups(self, layers: list[tuple[str, str, dict[str, Any]]]) -> list[str | None]:
        """Where each layer's weights lie: under its class's name, counted, in a group ``layers``.

        Keras 3 writes the layer's own name beside them, which is compared where it is there.
        """
        seen: Counter[str] = Counter()
        groups: list[str | None] = []
        for kind, name, _ in layers:
            snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
            count = seen[snake]
            seen[snake] += 1
            group = f"layers/{snake}_{count}" if count else f"layers/{snake}"
            own = self.get(f"{group}/vars")
            written = None if own is None else own.attrs.get("name")
            if written is not None and written != name:
                raise ConvertError(f"the weights under {group} are of {written!r}, not of {name!r}")
            groups.append(group if own is not None else None)
        return groups


def _layers(table: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Class, name and configuration of each layer, in the order of the data.

    Raises:
        ConvertError: not a model of layers that follow each other.
    """
    kind = table.get("class_name") if isinstance(table, dict) else None
    if kind not in ("Sequential", "Functional", "Model"):
        raise ConvertError(f"it holds a {str(kind)[:60]!r}, not a Sequential or Functional model")
    config = table["config"]
    listed = config["layers"] if isinstance(config, dict) else config
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_LAYERS:
        raise ConvertError("its configuration lists no layers")
    layers = []
    for entry in listed:
        inner, name = entry["config"], entry.get("name") or entry["config"].get("name")
        if not isinstance(inner, dict) or not isinstance(name, str) or "/" in name:
            raise ConvertError("a layer of its configuration has no name")
        layers.append((str(entry["class_name"]), name, inner))
    if kind != "Sequential":
        _check_line(listed, [name for _, name, _ in layers])
    return layers


def _check_line(listed: list[Any], names: list[str]) -> None:
    """Check that each layer of a functional model reads the one before it, and no other."""
    for number, entry in enumerate(listed):
        nodes = entry.get("inbound_nodes") or []
        sources = [name for node in nodes for name in _sources(node)]
        expected = names[number - 1 : number] if number else []
        if len(nodes) > 1 or sources != expected:
            raise ConvertError(
                f"layer {names[number]!r} reads {', '.join(map(repr, sources)) or 'nothing'}: "
                f"only layers that follow each other in one line can be taken over"
            )


def _sources(node: Any) -> list[str]:
    """The layers that a node of a functional model reads, in the forms of Keras 3 and Keras 2."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            return [str(node["config"]["keras_history"][0])]
        return [name for inner in node.values() for name in _sources(inner)]
    if isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and type(node[1]) is int:
            return [node[0]]
        return [name for inner in node for name in _sources(inner)]
    return []


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:200]
