"""How a model adapts to what it reads: ``adaptation.json`` in a model folder.

A folder without one, or without one of its two parts, has the defaults of the classes below.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from carousel.errors import FolderError, SettingsError
from carousel.storage.atomic import write_file
from carousel.storage.config import Config
from carousel.storage.number_formats import Quantized, Tiled, cast_weights, to_float32
from carousel.storage.regular_file import open_regular, read_all
from carousel.storage.safetensors import read_weights, write_weights
from carousel.storage.strict_json import parse_json

ADAPTATION_FILE = "adaptation.json"
GRADIENTS_FILE = "gradients.safetensors"
"""The root mean square of each weight's gradient, in bfloat16, named and shaped as the weights."""
ADAPTATION_FILES = (ADAPTATION_FILE, GRADIENTS_FILE)
FORMAT_VERSION = 1
MAX_BYTES = 2**16


@dataclass(frozen=True)
class CacheParameters:
    """The parameters of a neural cache (Grave, Joulin & Usunier 2017, arXiv:1612.04426).

    Raises:
        SettingsError: a value out of its range.
    """

    theta: float = 0.1
    """θ: how much more a similar context counts than another; 0 counts all alike."""
    lambda_: float = 0.05
    """λ: the share of the cache in the prediction, 0 to below 1."""
    size: int = 500
    """How many of the last words are remembered."""

    def __post_init__(self) -> None:
        _check(self, "theta", 0, 1e6)
        _check(self, "lambda_", 0, 0.999)
        _check(self, "size", 1, 2**16)


@dataclass(frozen=True)
class DynamicParameters:
    """The parameters of dynamic evaluation (Krause et al. 2018, arXiv:1709.07432).

    The defaults are for a folder without gradients (``carousel tune`` measures them), where every
    weight learns at the same rate.

    Raises:
        SettingsError: a value out of its range.
    """

    learning_rate: float = 0.01
    """η: the size of a step, after it was divided by the gradient's root mean square."""
    decay: float = 0.001
    """λ: the share of the way back to the trained weights that each step goes."""
    epsilon: float = 1e-5
    """ε: added to the root mean square."""
    window: int = 10
    """How many words are read between two steps."""

    def __post_init__(self) -> None:
        _check(self, "learning_rate", 0, 1e6)
        _check(self, "decay", 0, 1)
        _check(self, "epsilon", 1e-12, 1e6)
        _check(self, "window", 1, 4096)


@dataclass(frozen=True)
class Adaptation:
    """What an ``adaptation.json`` holds."""

    cache: CacheParameters = field(default_factory=CacheParameters)
    dynamic: DynamicParameters = field(default_factory=DynamicParameters)

    def to_json(self) -> str:
        """The text of an ``adaptation.json``."""
        parts = {
            name: {key.rstrip("_"): value for key, value in part.items()}
            for name, part in asdict(self).items()
        }
        return json.dumps({"format": FORMAT_VERSION, **parts}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = ADAPTATION_FILE) -> Adaptation:
        """The parameters that an ``adaptation.json`` holds.

        Args:
            text: the file's content.
            where: what an error calls the file.

        Raises:
            FolderError: not JSON, of another format, or with a value missing, unknown or wrong.
        """
        table = parse_json(text, where)
        if not isinstance(table, dict) or table.pop("format", None) != FORMAT_VERSION:
            raise FolderError(f"{where} is not of format {FORMAT_VERSION}")
        if table.keys() != {"cache", "dynamic"}:
            raise FolderError(f"{where} must hold cache and dynamic, not {', '.join(table)}")
        return cls(
            _read_part(CacheParameters, table["cache"], where),
            _read_part(DynamicParameters, table["dynamic"], where),
        )


def read_adaptation(folder: Path | None) -> Adaptation:
    """The parameters in a model folder; the defaults where there are none.

    Raises:
        FolderError: the file is damaged.
    """
    if folder is None or not (folder / ADAPTATION_FILE).exists():
        return Adaptation()
    path = folder / ADAPTATION_FILE
    try:
        with open_regular(path) as file:
            text = read_all(file, str(path), MAX_BYTES).decode()
    except UnicodeDecodeError:
        raise FolderError(f"{path} is not UTF-8 text") from None
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror or error}") from None
    return Adaptation.from_json(text, str(path))


def write_adaptation(folder: Path, adaptation: Adaptation) -> None:
    """Write ``adaptation.json`` into a model folder, whole or not at all.

    Raises:
        FolderError: it can't be written.
    """
    write_file(folder / ADAPTATION_FILE, adaptation.to_json())


def read_gradients(folder: Path | None, config: Config) -> dict[str, np.ndarray] | None:
    """The root mean square of each weight's gradient, in float32; None where it is not there.

    Args:
        folder: the model folder.
        config: the configuration of the network that was measured.

    Raises:
        FolderError: the file is damaged, or of another model.
    """
    if folder is None or not (folder / GRADIENTS_FILE).exists():
        return None
    path = folder / GRADIENTS_FILE
    try:
        with open_regular(path) as file:
            stored, _ = read_weights(file, str(path), config.weight_shapes(), "bfloat16")
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror or error}") from None
    gradients = {name: to_float32(values) for name, values in stored.items()}
    for name, values in gradients.items():
        if values.min() < 0:
            raise FolderError(f"{path}: {name} holds a negative root mean square")
    return gradients


def write_gradients(folder: Path, config: Config, gradients: Mapping[str, np.ndarray]) -> None:
    """Write the root mean square of each weight's gradient into a model folder.

    Raises:
        FolderError: it can't be written.
    """
    stored = cast_weights(dict(gradients), "bfloat16")
    assert not any(isinstance(values, Quantized | Tiled) for values in stored.values())
    write_file(folder / GRADIENTS_FILE, write_weights(stored, config.weight_shapes(), "bfloat16"))


def _read_part(part: type[Any], table: object, where: str) -> Any:
    names = {entry.name.rstrip("_"): entry.name for entry in fields(part)}
    if not isinstance(table, dict) or table.keys() != names.keys():
        raise FolderError(f"{where}: expected {', '.join(names)}")
    try:
        return part(**{names[key]: value for key, value in table.items()})
    except SettingsError as error:
        raise FolderError(f"{where}: {error}") from None


def _check(parameters: Any, name: str, least: float, most: float) -> None:
    value = getattr(parameters, name)
    whole = isinstance(getattr(type(parameters), name), int)
    allowed = (int,) if whole else (int, float)
    if type(value) not in allowed or not math.isfinite(value) or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise SettingsError(
            f"{name.rstrip('_')} must be {kind} from {least:g} to {most:g}, not {value!r}"
        )
