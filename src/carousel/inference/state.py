"""States: what a model carries from word to word, and how to take them apart by sequence.

A state is plain data: named tuples of arrays whose second axis is the batch, ``[., B, ...]``, and
of other states. What is not known of a state here need not be: these functions work for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from carousel.cells import Array, HiddenState, LSTMState


class ClampedState(NamedTuple):
    """The state of a model under interventions: the model's own, and where in the text it stands.

    ``B`` sequences, ``W`` the tokens of the longest word that is held less one, ``F`` the gates
    that are frozen, ``H`` hidden units.
    """

    inner: HiddenState | LSTMState
    position: np.ndarray
    """``[1, B]``: the position of the next word."""
    recent: np.ndarray
    """``[W, B]``: the last token ids, -1 where nothing was read."""
    frozen: np.ndarray
    """``[F, B, H]``: what each frozen gate was at the word before; NaN where there was none."""

    @property
    def h(self) -> Array:
        """The hidden states, ``[L, B, H]``."""
        return self.inner.h


class CacheState(NamedTuple):
    """The state of a model with a neural cache: the model's own, and the last words.

    ``B`` sequences, ``S`` words that are remembered, ``P`` what the decoder reads.
    """

    inner: HiddenState | LSTMState | ClampedState
    hidden: np.ndarray
    """``[1, B, P]``: what the decoder gets for the next word; NaN before anything was read."""
    keys: np.ndarray
    """``[S, B, P]``: what the decoder got before each of the last words, oldest first."""
    words: np.ndarray
    """``[S, B]``: the ids of the last words, -1 where there was none."""

    @property
    def h(self) -> Array:
        """The hidden states, ``[L, B, H]``."""
        return self.inner.h


@dataclass(frozen=True, eq=False)
class LearnedWeights:
    """Weights that a text has changed. All sequences of a state share them.

    They are never changed in place: each step of learning makes new arrays.
    """

    arrays: Mapping[str, np.ndarray]
    """float32 arrays by their names on disk."""


class DynamicState(NamedTuple):
    """The state of a model that learns as it reads, and the weights that it has by now.

    ``B`` sequences (it learns from one only), ``W`` words of a window.
    """

    inner: HiddenState | LSTMState
    start: HiddenState | LSTMState
    """The state at the start of the window."""
    window: np.ndarray
    """``[W, B]``: the ids read since then, -1 after them."""
    learned: LearnedWeights

    @property
    def h(self) -> Array:
        """The hidden states, ``[L, B, H]``."""
        return self.inner.h


State = HiddenState | LSTMState | ClampedState | CacheState | DynamicState
"""What a model carries from one word to the next."""

S = TypeVar("S", bound=tuple[Any, ...])


def take_sequences(state: S, rows: Sequence[int] | np.ndarray) -> S:
    """The state of the sequences ``rows``, in that order; a row may come twice.

    >>> from carousel.cells import HiddenState
    >>> state = HiddenState(np.array([[[1.0], [2.0]]]))
    >>> take_sequences(state, [1, 1]).h.ravel().tolist()
    [2.0, 2.0]
    """
    taken: S = _map(lambda part: part[:, rows], state)
    return taken


def join_sequences(states: Sequence[S]) -> S:
    """The state of several sequences side by side, from the states of each.

    >>> from carousel.cells import HiddenState
    >>> one, two = (HiddenState(np.full((1, 1, 1), value)) for value in (1.0, 2.0))
    >>> join_sequences([one, two]).h.ravel().tolist()
    [1.0, 2.0]
    """
    joined: S = _map(lambda *parts: np.concatenate(parts, axis=1), *states)
    return joined


def where_sequences(chosen: np.ndarray, state: S, other: S) -> S:
    """``state`` for the sequences that are ``chosen [B]``, ``other`` for the rest."""

    def choose(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.where(chosen.reshape(1, -1, *[1] * (one.ndim - 2)), one, two)

    chosen_state: S = _map(choose, state, other)
    return chosen_state


def _map(function: Any, *states: Any) -> Any:
    first = states[0]
    if isinstance(first, LearnedWeights):
        return first
    if not isinstance(first, tuple):
        return function(*states)
    return type(first)(*(_map(function, *parts) for parts in zip(*states, strict=True)))


def plain_state(state: State) -> HiddenState | LSTMState:
    """A state of a model as it is.

    Raises:
        TypeError: it is the state of a model whose gates are held, or of one that adapts.
    """
    if isinstance(state, ClampedState):
        raise TypeError("a state of a model that is held by clamps goes on under them only")
    if isinstance(state, CacheState | DynamicState):
        raise TypeError("a state of a model that adapts goes on with that model only")
    return state
