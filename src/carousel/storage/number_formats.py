"""The number formats in which a model's matrices are stored: float32, bfloat16, int8.

Only matrices are ever stored in fewer bits; biases and peepholes are few, and stay float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

DTYPES = ("float32", "bfloat16", "int8")
MAX_INT8 = 127
"""The largest int8 weight. -128 is left out, so that every weight can be negated."""
MAX_WEIGHT = 1e15
"""The largest weight, by its absolute value, that is read from a file. No sum of products of
weights and activations overflows below it, so that every backend gives the same numbers."""
MAX_SCALE = MAX_WEIGHT / MAX_INT8
MAX_BFLOAT16 = int(np.float32(MAX_WEIGHT).view(np.uint32)) >> 16
"""The bits of that weight; numbers above 0 have the order of their bits."""
MIN_SCALE = float(np.finfo(np.float32).tiny)
CHUNK = 2**20
"""Numbers that are checked at a time."""
TILE = (16, 4)
"""Rows and columns of an int8 matrix that lie together, as ``cpp`` reads them."""


class Quantized(NamedTuple):
    """A matrix in int8 with one scale a row: row ``n`` stands for ``values[n] * scale[n]``."""

    values: np.ndarray
    """``[N, K]`` of int8, -127 to 127."""
    scale: np.ndarray
    """``[N]`` of float32, positive."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, K)``."""
        return self.values.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the values and the scales."""
        return self.values.nbytes + self.scale.nbytes


class Tiled(NamedTuple):
    """The same in tiles of 16 rows by 4 columns: the order in which the engine reads it fastest."""

    tiles: np.ndarray
    """``[⌈N / 16⌉, ⌈K / 4⌉, 16, 4]`` of int8, with zeros around the matrix."""
    scale: np.ndarray
    """``[N]`` of float32, positive."""
    columns: int
    """``K``."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, K)``."""
        return len(self.scale), self.columns

    @property
    def nbytes(self) -> int:
        """Bytes of the tiles and the scales."""
        return self.tiles.nbytes + self.scale.nbytes


StoredWeight = np.ndarray | Quantized | Tiled
"""A float32 array, a uint16 array that holds bfloat16, or an int8 matrix with its scales."""


def cast_weights(weights: Mapping[str, np.ndarray], dtype: str) -> dict[str, StoredWeight]:
    """Cast the matrices among float32 weights to a number format; all else stays float32.

    Args:
        weights: float32 arrays by name.
        dtype: one of ``DTYPES``.

    >>> cast_weights({"w": np.eye(2, dtype=np.float32)}, "int8")["w"].values.tolist()
    [[127, 0], [0, 127]]
    """
    casts: dict[str, Callable[[np.ndarray], StoredWeight]] = {
        "float32": np.asarray,
        "bfloat16": to_bfloat16,
        "int8": quantize_rows,
    }
    cast = casts[dtype]
    return {name: cast(weight) if weight.ndim == 2 else weight for name, weight in weights.items()}


def quantize_rows(weight: np.ndarray) -> Quantized:
    """``weight [N, K]`` of float32 in int8, symmetric about 0, with the finest scale of each row.

    No weight moves by more than half its row's scale.
    """
    scale = np.abs(weight).max(axis=1, initial=0) / np.float32(MAX_INT8)
    # A row of zeros, or of numbers so small that their scale would be 0.
    scale = np.maximum(scale, np.float32(MIN_SCALE))
    values = np.rint(weight / scale[:, None])
    return Quantized(np.clip(values, -MAX_INT8, MAX_INT8).astype(np.int8), scale)


def tiles_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the tiles of a matrix ``(N, K)``."""
    (rows, columns), (high, wide) = shape, TILE
    return -(-rows // high), -(-columns // wide), high, wide


def to_tiles(matrix: Quantized) -> Tiled:
    """An int8 matrix in tiles."""
    rows, columns = matrix.values.shape
    down, across, high, wide = tiles_shape(matrix.values.shape)
    padded = np.zeros((down * high, across * wide), dtype=np.int8)
    padded[:rows, :columns] = matrix.values
    tiles = padded.reshape(down, high, across, wide).swapaxes(1, 2)
    return Tiled(np.ascontiguousarray(tiles), matrix.scale, columns)


def from_tiles(tiled: Tiled) -> Quantized:
    """An int8 matrix row by row."""
    (rows, columns), (down, across, high, wide) = tiled.shape, tiled.tiles.shape
    padded = tiled.tiles.swapaxes(1, 2).reshape(down * high, across * wide)
    return Quantized(np.ascontiguousarray(padded[:rows, :columns]), tiled.scale)


def to_bfloat16(weight: np.ndarray) -> np.ndarray:
    """Finite float32 rounded to the nearest bfloat16, ties to even, as a uint16 array."""
    bits = np.ascontiguousarray(weight, dtype=np.float32).view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    # The largest float32 values would round to infinity.
    rounded[_not_finite(rounded)] -= 1
    return rounded


def to_float32(weight: StoredWeight) -> np.ndarray:
    """The float32 array that a stored weight stands for; a float32 array itself."""
    if isinstance(weight, Tiled):
        weight = from_tiles(weight)
    if isinstance(weight, Quantized):
        values: np.ndarray = weight.values * weight.scale[:, None]
        return values
    if weight.dtype == np.uint16:
        values = (weight.astype(np.uint32) << 16).view(np.float32)
        return values
    return weight


def find_invalid_values(weight: StoredWeight) -> str | None:
    """What is wrong with the values of a stored weight, or None. It takes no memory of its size.

    >>> find_invalid_values(np.array([1.0, np.inf], np.float32))
    'a value that is not finite, or beyond 1e+15'
    """
    if isinstance(weight, Quantized | Tiled):
        values, scale = weight[:2]
        # Also false where the scale is not a number.
        if not bool(np.all((scale > 0) & (scale <= MAX_SCALE))):
            return f"a scale that is not positive and finite, or beyond {MAX_SCALE:.0e}"
        return "the value -128" if values.min(initial=0) < -MAX_INT8 else None
    # A value that is not a number is the extreme, and is not below the limit.
    if weight.dtype == np.uint16:
        valid = all((chunk & 0x7FFF).max(initial=0) <= MAX_BFLOAT16 for chunk in _chunks(weight))
    else:
        lowest, highest = weight.min(initial=0), weight.max(initial=0)
        valid = bool(lowest >= -MAX_WEIGHT and highest <= MAX_WEIGHT)
    return None if valid else f"a value that is not finite, or beyond {MAX_WEIGHT:.0e}"


def _chunks(array: np.ndarray) -> Iterable[np.ndarray]:
    flat = array.reshape(-1)
    return (flat[start : start + CHUNK] for start in range(0, len(flat), CHUNK))


def _not_finite(bfloat16: np.ndarray) -> np.ndarray:
    """Where the exponent has all its bits set: infinity or not a number."""
    where: np.ndarray = (bfloat16 & 0x7F80) == 0x7F80
    return where
