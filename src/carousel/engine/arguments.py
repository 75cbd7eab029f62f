"""What the decoder takes and returns, and its arguments as the kernels need them."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

Tokens = np.ndarray | Sequence[int] | Sequence[Sequence[int]]

Clamps = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By point (``"layers.0.f"``): a scale and an offset, float32, broadcastable to ``[T, B, H]``.

The clamped value is ``scale * value + offset``.
"""


class Activations(NamedTuple):
    """What ``Decoder.trace`` returns."""

    values: dict[str, np.ndarray]
    """The gates and states that were asked for, by point, ``[T, B, H]`` each."""
    hidden: np.ndarray
    """What the decoder reads after each token, ``[T, B, P]``."""
    state: np.ndarray
    """The state after the last token, ``[B, S]``."""


def contiguous(array: np.ndarray | None) -> np.ndarray | None:
    """Return weights contiguous and aligned; a copy only where they are not."""
    return None if array is None else np.require(array, requirements=["C", "A"])


def token_ids(tokens: Tokens, axes: int) -> np.ndarray:
    """Return tokens with so many axes as a contiguous array of int64.

    Raises:
        ValueError: another number of axes.
        TypeError: not whole numbers.
    """
    if isinstance(tokens, np.ndarray) and tokens.ndim == axes and tokens.dtype == np.int64:
        return np.ascontiguousarray(tokens)
    ids = np.asarray(tokens)
    if ids.ndim != axes:
        raise ValueError(f"tokens must have {axes} axes, not {ids.ndim}")
    if not ids.size:  # an empty list is of no type
        return np.empty(ids.shape, dtype=np.int64)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"tokens must be whole numbers, not {ids.dtype}")
    return np.ascontiguousarray(ids, dtype=np.int64)


def sequence_ids(tokens: Tokens, state: np.ndarray) -> np.ndarray:
    """Return tokens as ``[T, B]``; those with one axis go to every session of the state."""
    ids = np.asarray(tokens)
    if ids.ndim == 1:
        ids = np.repeat(ids[:, None], len(state), axis=1)
    return token_ids(ids, 2)


def empty_ids(count: int, k: int, vocab_size: int) -> np.ndarray:
    """Return an array ``[count, k]`` for ids.

    Raises:
        ValueError: ``k`` below 1 or above the size of the vocabulary.
    """
    k = operator.index(k)
    if not 1 <= k <= vocab_size:
        raise ValueError(f"k must be 1 to {vocab_size}, not {k}")
    return np.empty((count, k), dtype=np.int64)


def clamp_array(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a clamp's scale or offset in float32, for every token and session.

    Raises:
        TypeError: not numbers.
        ValueError: it can't be broadcast to the shape.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"a clamp must be numbers, not {given.dtype}")
    return np.ascontiguousarray(np.broadcast_to(given, shape), dtype=np.float32)
