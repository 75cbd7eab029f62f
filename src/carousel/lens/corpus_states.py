"""The states of a model over a long text: contiguous streams side by side, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from carousel.cells import Array
from carousel.model import LanguageModel
from carousel.text.files import ProgressCallback

MOST_STREAMS = 64
SHORTEST_STREAM = 1024
"""Tokens that a stream has at least, so that short texts are read in one."""
WARM_UP = 128
"""Tokens that each stream reads before its own first one: where it is cut then matters little."""
BLOCK = 32
"""Tokens that each stream reads at a time."""


class Stretch(NamedTuple):
    """Some tokens in a row of one stream, and what the model made after reading each of them."""

    start: int
    """Where the first of them stands in the text."""
    values: dict[str, np.ndarray]
    """``[n, H]`` by point."""


def read_streams(
    model: LanguageModel,
    ids: np.ndarray,
    points: Sequence[str],
    *,
    on_progress: ProgressCallback | None = None,
) -> Iterator[Stretch]:
    """The values of ``points`` (``"layers.0.h"``, ...) after each of ``ids [N]``, once each.

    The text is read in up to 64 streams side by side, each after a warm-up on what stands before
    it; a line end stands before the text. Stretches of one stream come in order, and those of
    different streams in turn. ``on_progress(done, total)`` counts tokens.
    """
    N = len(ids)
    streams = max(1, min(MOST_STREAMS, N // SHORTEST_STREAM))
    length = -(-N // streams)
    starts = np.arange(streams) * length
    H = model.config.hidden_size
    room = {point: np.empty((BLOCK, streams, H), dtype=np.float32) for point in points}

    def record(point: str, t: int, value: Array) -> Array:
        if point in room:
            room[point][t] = value
        return value

    eol = np.full((1, streams), model.tokenizer.eol_id, dtype=np.int64)
    _, fresh = model.hidden(eol, model.initial_state(streams))
    state, done = fresh, 0
    for at in range(-WARM_UP, length, BLOCK):
        where = starts + np.arange(at, min(at + BLOCK, length))[:, None]
        inside = ids[np.clip(where, 0, N - 1)].astype(np.int64)
        # Before the text there is nothing to warm up on: its own start follows a line end.
        state = type(state)(
            *(np.where(where[0][None, :, None] <= 0, new, old)
              for new, old in zip(fresh, state, strict=True))
        )  # fmt: skip
        _, state = model.hidden(inside, state, record if at >= 0 else None)
        if at < 0:
            continue
        for stream in range(streams):
            n = min(len(where), N - int(where[0, stream]), length - at)
            if n > 0:
                yield Stretch(
                    int(where[0, stream]),
                    {point: array[:n, stream] for point, array in room.items()},
                )
                done += n
        if on_progress:
            on_progress(done, N)
