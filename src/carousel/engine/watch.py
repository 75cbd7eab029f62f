"""Read a long text with its gates written out, in blocks, so that it costs no more than is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carousel.cells import State
from carousel.engine.decoder import Clamps, Decoder

BLOCK = 256
"""Tokens whose clamps are spread to full arrays at a time."""


def read_traced(
    decoder: Decoder,
    ids: np.ndarray,
    state: State,
    points: Sequence[str] = (),
    clamps: Clamps | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray, State]:
    """Read tokens, keep the values of some points, and clamp others.

    Args:
        decoder: the model.
        ids: tokens ``[T, B]``.
        state: the state before the first one, ``[L, B, H]`` each.
        points: the names of the values to keep (``"layers.0.f"``).
        clamps: those of ``Decoder.trace``, for all ``T`` tokens.

    Returns:
        The values by point, ``[T, B, H]`` each; what the decoder gets, ``[T, B, P]``; the state
        after the last token.

    Raises:
        ValueError, TypeError: as ``Decoder.trace``.
    """
    shape = (*ids.shape, decoder.config.hidden_size)
    values = {point: np.empty(shape, dtype=np.float32) for point in points}
    spread = {
        point: (np.broadcast_to(scale, shape), np.broadcast_to(offset, shape))
        for point, (scale, offset) in (clamps or {}).items()
    }
    packed, hidden = decoder.pack(state), []
    # Of no tokens at all one empty block is read, for the shapes.
    for start in range(0, max(1, len(ids)), BLOCK):
        block = slice(start, start + BLOCK)
        read = decoder.trace(
            ids[block],
            packed,
            points,
            {point: (scale[block], offset[block]) for point, (scale, offset) in spread.items()},
        )
        for point, kept in values.items():
            kept[block] = read.values[point]
        hidden.append(read.hidden)
        packed = read.state
    return values, np.concatenate(hidden), decoder.unpack(packed)
