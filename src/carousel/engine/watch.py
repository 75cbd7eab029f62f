"""Gates written out by the kernels, in blocks, so that a long text costs no more than is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carousel.cells import State
from carousel.engine.decoder import Clamps, Decoder

BLOCK = 256
"""Words of which all points are at hand at a time."""


def watch(
    decoder: Decoder,
    ids: np.ndarray,
    state: State,
    points: Sequence[str],
    clamps: Clamps | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray, State]:
    """Read ``ids [T, B]`` and keep ``points``: ``[T, B, H]`` each, hidden ``[T, B, P]``, the state.

    ``clamps`` are those of ``Decoder.trace``, for all ``T`` words.
    """
    shape = (*ids.shape, decoder.config.hidden_size)
    kept = {point: np.empty(shape, dtype=np.float32) for point in points}
    held = {
        point: (np.broadcast_to(mask, shape), np.broadcast_to(values, shape))
        for point, (mask, values) in (clamps or {}).items()
    }
    packed, hidden = decoder.pack(state), []
    # Of no words at all one empty block is read, for the shapes.
    for at in range(0, max(1, len(ids)), BLOCK):
        here = slice(at, at + BLOCK)
        seen = decoder.trace(
            ids[here],
            packed,
            {point: (mask[here], values[here]) for point, (mask, values) in held.items()},
        )
        for point, values in kept.items():
            values[here] = seen.points[point]
        hidden.append(seen.hidden)
        packed = seen.state
    return kept, np.concatenate(hidden), decoder.unpack(packed)
