"""A model whose gates are held: a backend around another backend.

What is done to a gate is an ``Intervention``. It acts at positions of the text or at words, so what
it needs to know of the text read so far is in the state: how many words came before, which the
last ones were, and the values that are frozen. One long read, words fed one by one, generation and
evaluation then give the same numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from carousel.cells import Array
from carousel.errors import LensError
from carousel.inference.backend import BLOCK, NumPyBackend, PlainBackend, Reading
from carousel.inference.state import ClampedState, State, plain_state
from carousel.storage.config import Config

Coefficients = tuple[np.ndarray, np.ndarray]
"""``(scale, offset)``, broadcastable to ``[T, B, n]``: for ``scale * value + offset``."""


class Change(Protocol):
    """What is done to the ``n`` units held of one gate or state."""

    def coefficients(self, name: str, positions: np.ndarray) -> Coefficients:
        """For the gate ``name`` (``layers.0.f``) at ``positions [T, B]`` of the text."""


@dataclass(frozen=True)
class Affine:
    """``value' = scale * value + offset``: to set, to scale, to move toward a target.

    ``scale`` and ``offset`` are numbers or arrays ``[n]``, or ``[B, n]`` for one of each sequence;
    ``offset`` may differ by name.
    """

    scale: np.ndarray
    offset: np.ndarray | Mapping[str, np.ndarray]

    def coefficients(self, name: str, positions: np.ndarray) -> Coefficients:
        """See ``Change``."""
        offset = self.offset[name] if isinstance(self.offset, Mapping) else self.offset
        return self.scale, offset


@dataclass(frozen=True)
class Noise:
    """``value' = value + noise``, normal with a standard deviation of its own for each unit.

    The noise of a unit hangs on seed, gate and position alone, so that it is the same however a
    text is read.
    """

    deviation: np.ndarray
    """A number, or ``[n]``."""
    units: int
    """``n``."""
    seed: int

    def coefficients(self, name: str, positions: np.ndarray) -> Coefficients:
        """See ``Change``."""
        different, which = np.unique(positions, return_inverse=True)
        gate = zlib.crc32(name.encode())
        drawn = np.stack(
            [
                np.random.default_rng([self.seed, gate, int(position)]).normal(size=self.units)
                for position in different
            ]
        )
        noise = drawn[which.reshape(positions.shape)] * self.deviation
        return np.ones(1, dtype=np.float32), noise.astype(np.float32)


@dataclass(frozen=True)
class Patch:
    """``value' =`` what the gate was in another run, at the same position or at one position."""

    values: Mapping[str, np.ndarray]
    """By name, ``[N, n]``: the other run, word by word."""
    source: int | None = None
    """The position in the other run; None for the same."""

    def coefficients(self, name: str, positions: np.ndarray) -> Coefficients:
        """See ``Change``."""
        table = self.values[name]
        rows = positions if self.source is None else np.full_like(positions, self.source)
        wrong = rows[(rows < -len(table)) | (rows >= len(table))]
        if len(wrong):
            raise LensError(f"the other run has no word {wrong[0]}: it has {len(table)}")
        return np.zeros(1, dtype=np.float32), table[rows]


@dataclass(frozen=True)
class Freeze:
    """``value' =`` what it was at the word before; at the first word there is nothing to hold."""


@dataclass(frozen=True)
class Function:
    """``value' = function(value)``, for ``[b, n]``: the sequences and units that are held."""

    function: Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Intervention:
    """A change of some gates or states, where it acts, and on which units."""

    names: tuple[str, ...]
    """The gates and states, like ``layers.0.f``."""
    change: Change | Freeze | Function
    units: np.ndarray | None = None
    """``[n]``: the units held; None for all."""
    positions: frozenset[int] | None = None
    """Positions of the text, the first word's being 0. None with no ``words``: every word."""
    words: tuple[tuple[int, ...], ...] = ()
    """Words by their token ids. One of several tokens is held at its last, when it is known."""

    @property
    def everywhere(self) -> bool:
        """Whether it acts at every word."""
        return self.positions is None and not self.words

    def active(self, positions: np.ndarray, recent: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Where it acts, ``[T, B]`` of bool.

        Args:
            positions: ``[T, B]``: the positions of the words that are read.
            recent: ``[W, B]``: the token ids before them, -1 where nothing was read.
            ids: ``[T, B]``: the token ids that are read.
        """
        if self.everywhere:
            return np.ones(ids.shape, dtype=bool)
        mask = np.zeros(ids.shape, dtype=bool)
        if self.positions:
            mask |= np.isin(positions, list(self.positions))
        tokens, before = np.concatenate([recent, ids]), len(recent)
        for word in self.words:
            ends = np.ones(ids.shape, dtype=bool)
            for back, token in enumerate(reversed(word)):
                first = before - back
                ends &= tokens[first : first + len(ids)] == token
            mask |= ends
        return mask


class ClampedBackend:
    """A backend under interventions, which act in order.

    Args:
        backend: the model as it is.
        interventions: what is done to its gates.
        reference: the same model by NumPy, for changes that are functions.
    """

    context: int | None = 0
    description = "clamped"

    def __init__(
        self,
        backend: PlainBackend,
        interventions: Sequence[Intervention],
        reference: Callable[[], NumPyBackend],
    ) -> None:
        self.backend = backend
        self.interventions = tuple(interventions)
        self.reference = reference
        self.touched = [0] * len(self.interventions)
        """How many values each intervention has changed so far."""
        self.held_names = tuple(dict.fromkeys(name for i in self.interventions for name in i.names))
        self.frozen_names = tuple(
            dict.fromkeys(
                name for i in self.interventions if isinstance(i.change, Freeze) for name in i.names
            )
        )
        self.longest = max((len(word) for i in self.interventions for word in i.words), default=1)
        self.by_word = any(isinstance(i.change, Freeze | Function) for i in self.interventions)

    @property
    def config(self) -> Config:
        """The shape of the model."""
        return self.backend.config

    def initial_state(self, batch: int = 1, position: int | np.ndarray = 0) -> State:
        """See ``Backend``."""
        H = self.config.hidden_size
        return ClampedState(
            plain_state(self.backend.initial_state(batch)),
            np.broadcast_to(np.asarray(position, dtype=np.int64), (1, batch)),
            np.full((self.longest - 1, batch), -1, dtype=np.int64),
            np.full((len(self.frozen_names), batch, H), np.nan, dtype=np.float32),
        )

    def read(self, ids: np.ndarray, state: State, record: Sequence[str] = ()) -> Reading:
        """See ``Backend``. Where a gate is frozen or a function is called, word by word."""
        if not isinstance(state, ClampedState):
            raise TypeError("a state of a model without clamps: take initial_state of this one")
        block = 1 if self.by_word else BLOCK
        hidden: list[np.ndarray] = []
        values: dict[str, list[np.ndarray]] = {name: [] for name in record}
        # Of no words at all one empty block is read, for the shapes.
        for first in range(0, max(1, len(ids)), block):
            reading = self._read_block(ids[first : first + block], state, record)
            state = cast(ClampedState, reading.state)
            hidden.append(reading.hidden)
            for name, blocks in values.items():
                blocks.append(reading.values[name])
        joined = {name: np.concatenate(blocks) for name, blocks in values.items()}
        return Reading(np.concatenate(hidden), state, joined)

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """See ``Backend``."""
        return self.backend.logits(hidden)

    def log_probs(self, hidden: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """See ``Backend``."""
        return self.backend.log_probs(hidden, targets)

    def top_k(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``Backend``."""
        return self.backend.top_k(hidden, k)

    def _read_block(self, ids: np.ndarray, state: ClampedState, record: Sequence[str]) -> Reading:
        positions = state.position + np.arange(len(ids))[:, None]
        active = [i.active(positions, state.recent, ids) for i in self.interventions]
        for number, (intervention, mask) in enumerate(zip(self.interventions, active, strict=True)):
            if isinstance(intervention.change, Freeze) and len(ids):
                # Before the first word there is nothing to hold.
                mask &= ~np.isnan(state.frozen[self._frozen(intervention.names[0]), :, 0])
            self.touched[number] += int(mask.sum()) * len(intervention.names)
        wanted = list(dict.fromkeys([*record, *self.frozen_names]))
        if any(isinstance(i.change, Function) for i in self.interventions):
            edit = self._edit(positions, active, state)
            reading = self.reference().read(ids, state.inner, wanted, edit=edit)
        else:
            clamps = self._compose(positions, active, state) if any(m.any() for m in active) else {}
            reading = self.backend.read(ids, state.inner, wanted, clamps)
        recent = np.concatenate([state.recent, ids])[len(ids) :]
        frozen = state.frozen
        if self.frozen_names and len(ids):
            frozen = np.stack([reading.values[name][-1] for name in self.frozen_names])
        after = ClampedState(plain_state(reading.state), state.position + len(ids), recent, frozen)
        return Reading(reading.hidden, after, {name: reading.values[name] for name in record})

    def _compose(
        self, positions: np.ndarray, active: Sequence[np.ndarray], state: ClampedState
    ) -> dict[str, Coefficients]:
        """All interventions as one scale and one offset ``[T, B, H]`` for each gate held."""
        shape = (*positions.shape, self.config.hidden_size)
        clamps: dict[str, Coefficients] = {}
        for intervention, mask in zip(self.interventions, active, strict=True):
            if not mask.any():
                continue
            units = slice(None) if intervention.units is None else intervention.units
            for name in intervention.names:
                scale, offset = clamps.setdefault(
                    name, (np.ones(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32))
                )
                factor, term = self._coefficients(intervention, name, positions, state)
                held = mask[..., None]
                factor = np.where(held, factor, np.float32(1))
                scale[..., units] *= factor
                offset[..., units] = offset[..., units] * factor + np.where(held, term, 0)
        return clamps

    def _coefficients(
        self, intervention: Intervention, name: str, positions: np.ndarray, state: ClampedState
    ) -> Coefficients:
        change = intervention.change
        if isinstance(change, Freeze):
            last = np.nan_to_num(state.frozen[self._frozen(name)])
            units = slice(None) if intervention.units is None else intervention.units
            return np.zeros(1, dtype=np.float32), last[:, units]
        assert not isinstance(change, Function)
        return change.coefficients(name, positions)

    def _edit(
        self, positions: np.ndarray, active: Sequence[np.ndarray], state: ClampedState
    ) -> Callable[[str, int, Array], Array]:
        """All interventions in order as an ``edit`` of ``unroll``."""

        def edit(name: str, t: int, value: Array) -> Array:
            for intervention, mask in zip(self.interventions, active, strict=True):
                if name not in intervention.names or not mask[t].any():
                    continue
                units = (
                    np.arange(value.shape[1]) if intervention.units is None else intervention.units
                )
                rows = np.flatnonzero(mask[t])
                held = np.ix_(rows, units)
                value = value.copy()
                if isinstance(intervention.change, Function):
                    value[held] = intervention.change.function(value[held])
                    continue
                factor, term = self._coefficients(intervention, name, positions[t : t + 1], state)
                shape = (len(mask[t]), len(units))
                factor = np.broadcast_to(factor, (1, *shape))[0]
                term = np.broadcast_to(term, (1, *shape))[0]
                value[held] = (factor * value[:, units] + term)[rows]
            return value

        return edit

    def _frozen(self, name: str) -> int:
        return self.frozen_names.index(name)
