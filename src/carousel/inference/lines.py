"""Reading lines as texts of their own: the state starts anew at the end of each line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from carousel.cells import HiddenState, LSTMState
from carousel.inference.backend import Backend, Reading
from carousel.inference.state import State
from carousel.storage.config import LINE_END_ID


def read_lines(
    backend: Backend, ids: np.ndarray, state: State, record: Sequence[str] = ()
) -> Reading:
    """Read ``ids [T, B]``; before each end of a line, the state of its sequence becomes zero.

    So every line is read from the same state: that after a line's end and nothing else.

    Args:
        backend: what reads.
        ids: token ids.
        state: the state before them.
        record: names of gates and states to record.
    """
    ends = ids == LINE_END_ID
    starts = np.flatnonzero(ends.any(axis=1))
    if not len(starts):
        return backend.read(ids, state, record)
    hidden: list[np.ndarray] = []
    values: dict[str, list[np.ndarray]] = {name: [] for name in record}
    bounds = sorted({0, *starts.tolist(), len(ids)})
    for first, last in pairwise(bounds):
        state = _start_anew(ends[first], state)
        reading = backend.read(ids[first:last], state, record)
        state = reading.state
        hidden.append(reading.hidden)
        for name, parts in values.items():
            parts.append(reading.values[name])
    joined = {name: np.concatenate(parts) for name, parts in values.items()}
    return Reading(np.concatenate(hidden), state, joined)


def _start_anew(chosen: np.ndarray, state: Any) -> Any:
    """The state with zeros for the sequences that are ``chosen [B]``.

    Where a clamp stands in the text, and what a model has learned from it, stays.
    """
    if not chosen.any():
        return state
    if not isinstance(state, HiddenState | LSTMState):
        return state._replace(inner=_start_anew(chosen, state.inner))
    return type(state)(*(np.where(chosen[:, None], np.float32(0), part) for part in state))
