"""The number formats in which a model's matrices are stored: float32, bfloat16, int8.

Only matrices are ever stored in fewer bits; biases and peepholes are few, and stay float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

DTYPES = ("float32", "bfloat16", "int8")
LARGEST_INT8 = 127
"""Of an int8 weight. -128 is left out, so that every weight can be negated."""
LARGEST_SCALE = float(np.finfo(np.float32).max) / LARGEST_INT8
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
CHUNK = 2**20
TILE = (16, 4)
"""Rows and columns of an int8 matrix that lie together, as ``kernels.h`` has them."""


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


Stored = np.ndarray | Quantized | Tiled
"""A float32 array, a uint16 array that holds bfloat16, or an int8 matrix with its scales."""


def store(weights: Mapping[str, np.ndarray], dtype: str) -> dict[str, Stored]:
    """Float32 weights by name, the matrices among them in the format ``dtype``."""
    formats: dict[str, Callable[[np.ndarray], Stored]] = {
        "float32": np.asarray,
        "bfloat16": to_bfloat16,
        "int8": quantize_rows,
    }
    into = formats[dtype]
    return {name: into(weight) if weight.ndim == 2 else weight for name, weight in weights.items()}


def quantize_rows(weight: np.ndarray) -> Quantized:
    """``weight [N, K]`` of float32 in int8, symmetric about 0, with the finest scale of each row.

    No weight moves by more than half its row's scale.
    """
    scale = np.abs(weight).max(axis=1, initial=0) / np.float32(LARGEST_INT8)
    # A row of zeros, or of numbers so small that their scale would be 0.
    scale = np.maximum(scale, np.float32(SMALLEST_SCALE))
    values = np.rint(weight / scale[:, None])
    return Quantized(np.clip(values, -LARGEST_INT8, LARGEST_INT8).astype(np.int8), scale)


def tiles_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the tiles of a matrix ``(N, K)``."""
    (rows, columns), (high, wide) = shape, TILE
    return -(-rows // high), -(-columns // wide), high, wide


def to_tiles(stored: Quantized) -> Tiled:
    """An int8 matrix in tiles."""
    rows, columns = stored.values.shape
    down, across, high, wide = tiles_shape(stored.values.shape)
    whole = np.zeros((down * high, across * wide), dtype=np.int8)
    whole[:rows, :columns] = stored.values
    tiles = whole.reshape(down, high, across, wide).swapaxes(1, 2)
    return Tiled(np.ascontiguousarray(tiles), stored.scale, columns)


def from_tiles(stored: Tiled) -> Quantized:
    """An int8 matrix row by row."""
    (rows, columns), (down, across, high, wide) = stored.shape, stored.tiles.shape
    whole = stored.tiles.swapaxes(1, 2).reshape(down * high, across * wide)
    return Quantized(np.ascontiguousarray(whole[:rows, :columns]), stored.scale)


def to_bfloat16(weight: np.ndarray) -> np.ndarray:
    """Finite float32 rounded to the nearest bfloat16, ties to even, as a uint16 array."""
    bits = np.ascontiguousarray(weight, dtype=np.float32).view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    # The largest float32 values would round to infinity.
    rounded[_not_finite(rounded)] -= 1
    return rounded


def to_float32(stored: Stored) -> np.ndarray:
    """The float32 array that a stored weight stands for; a float32 array itself."""
    if isinstance(stored, Tiled):
        stored = from_tiles(stored)
    if isinstance(stored, Quantized):
        wide: np.ndarray = stored.values * stored.scale[:, None]
        return wide
    if stored.dtype == np.uint16:
        wide = (stored.astype(np.uint32) << 16).view(np.float32)
        return wide
    return stored


def fault(stored: Stored) -> str | None:
    """What is wrong with the values of a stored weight, or None. Allocates nothing of its size."""
    if isinstance(stored, Quantized | Tiled):
        values, scale = stored[:2]
        # Also false where the scale is not a number.
        if not bool(np.all((scale > 0) & (scale <= LARGEST_SCALE))):
            return "a scale that is not positive and finite"
        return "the value -128" if values.min(initial=0) < -LARGEST_INT8 else None
    if stored.dtype == np.uint16:
        bad = any(_not_finite(part).any() for part in _parts(stored))
    else:
        # NaN and infinity survive a sum.
        bad = not np.isfinite(np.add.reduce(stored, axis=None, dtype=np.float64))
    return "a value that is not finite" if bad else None


def _parts(array: np.ndarray) -> Iterable[np.ndarray]:
    flat = array.reshape(-1)
    return (flat[at : at + CHUNK] for at in range(0, len(flat), CHUNK))


def _not_finite(bfloat16: np.ndarray) -> np.ndarray:
    """Where the exponent has all its bits set: infinity or not a number."""
    where: np.ndarray = (bfloat16 & 0x7F80) == 0x7F80
    return where
