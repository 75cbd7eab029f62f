"""The states of a model over a long text: contiguous streams side by side, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from carousel.inference.model import RecurrentLM
from carousel.inference.state import where_sequences
from carousel.text.files import ProgressCallback
from carousel.text.tokenizer import Tokenizer

MOST_STREAMS = 64
SHORTEST_STREAM = 1024
"""Tokens that a stream has at least, so that short texts are read in one."""
WARM_UP = 128
"""Tokens that each stream reads before its own first one: where it is cut then matters little."""
BLOCK = 32
"""Tokens that each stream reads at a time."""


class StateBlock(NamedTuple):
    """Some tokens in a row of one stream, and what the model made after reading each of them."""

    start: int
    """Where the first of them stands in the text."""
    values: dict[str, np.ndarray]
    """``[n, H]`` by name."""


def read_states(
    model: RecurrentLM,
    ids: np.ndarray,
    names: Sequence[str],
    *,
    on_progress: ProgressCallback | None = None,
) -> Iterator[StateBlock]:
    """The values of ``names`` (``"layers.0.h"``, ...) after each of ``ids [N]``, once each.

    The text is read in up to 64 streams side by side, each after a warm-up on what stands before
    it; a line end stands before the text. Stretches of one stream come in order, and those of
    different streams in turn. ``on_progress(done, total)`` counts tokens.
    """
    N = len(ids)
    streams = max(1, min(MOST_STREAMS, N // SHORTEST_STREAM))
    length = -(-N // streams)
    starts = np.arange(streams) * length
    eol = np.full((1, streams), Tokenizer.eol_id, dtype=np.int64)
    fresh = model.read(eol, model.initial_state(streams)).state
    # Position 0 of a text is the line end before it: the first id of ``ids`` is at 1.
    warm_up = model.initial_state(streams, np.maximum(starts - WARM_UP, 0) + 1)
    state, done = where_sequences(starts <= WARM_UP, fresh, warm_up), 0
    for offset in range(-WARM_UP, length, BLOCK):
        where = starts + np.arange(offset, min(offset + BLOCK, length))[:, None]
        block = ids[np.clip(where, 0, N - 1)].astype(np.int64)
        # Before the text there is nothing to warm up on: its own start follows a line end.
        state = where_sequences(where[0] <= 0, fresh, state)
        reading = model.read(block, state, names if offset >= 0 else ())
        state = reading.state
        if offset < 0:
            continue
        for stream in range(streams):
            n = min(len(where), N - int(where[0, stream]), length - offset)
            if n > 0:
                yield StateBlock(
                    int(where[0, stream]),
                    {name: array[:n, stream] for name, array in reading.values.items()},
                )
                done += n
        if on_progress:
            on_progress(done, N)
