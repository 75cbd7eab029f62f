"""What computes a model's steps: one protocol, by the lines of ``cells.py`` or by the engine.

Shapes: ``T`` words, ``B`` sequences side by side, ``L`` layers, ``H`` hidden units, ``P`` what the
decoder reads (the projection's width, or ``H``), ``V`` tokens known. Every gate and state has a
name like ``layers.0.f``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from carousel.adaptive_softmax import log_probs
from carousel.cells import CELLS, Array, Weights
from carousel.inference.state import State, plain_state
from carousel.softmax import log_softmax, log_sum_exp
from carousel.storage.config import Config
from carousel.unroll import EditAt, initial_state, unroll

if TYPE_CHECKING:
    from carousel.engine.decoder import Decoder

Clamps = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By name: ``(scale, offset)``, each broadcastable to ``[T, B, H]``.

A value becomes ``scale * value + offset`` right after it has been made.
"""

BLOCK = 256
"""Words of which the engine writes out gates at a time."""
LOGIT_BYTES = 48 * 2**20
"""The most memory that logits take at a time."""


class Reading(NamedTuple):
    """What came of reading some words."""

    hidden: np.ndarray
    """What the decoder gets after each word, ``[T, B, P]``."""
    state: State
    """The state after the last word, ``[L, B, H]`` each."""
    values: dict[str, np.ndarray]
    """What was recorded, by name, ``[T, B, H]`` each."""


class Backend(Protocol):
    """Reads and predicts for one model. The caller owns the state."""

    @property
    def config(self) -> Config:
        """The shape of the model."""

    @property
    def context(self) -> int | None:
        """How many of the last words it remembers beside its recurrent state; None for all."""

    @property
    def description(self) -> str:
        """What it adds to the plain model, as text: states are only for backends of the same."""

    def initial_state(self, batch: int = 1, position: int | np.ndarray = 0) -> State:
        """The state before anything was read.

        Args:
            batch: how many sequences, ``B``.
            position: the position of the next word in its text, one number or ``[B]``. It matters
                where gates are held at positions.
        """

    def read(self, ids: np.ndarray, state: State, record: Sequence[str] = ()) -> Reading:
        """Read ``ids [T, B]`` from ``state`` and record the gates and states named."""

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Scores ``[..., V]`` of the next token from ``hidden [..., P]``."""

    def log_probs(self, hidden: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Log-probabilities ``[N]`` of the next tokens ``targets [N]`` after ``hidden [N, P]``."""

    def top_k(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` likeliest next tokens after ``hidden [N, P]``, best first.

        Returns:
            ids ``[N, k]`` and log-probabilities ``[N, k]``.
        """


class PlainBackend(Backend, Protocol):
    """A backend of a model as it is, which can be told what to do to single gates."""

    def read(
        self,
        ids: np.ndarray,
        state: State,
        record: Sequence[str] = (),
        clamps: Clamps | None = None,
    ) -> Reading:
        """As ``Backend.read``, with ``clamps`` applied to the gates and states that they name."""


class NumPyBackend:
    """The definition: the lines of ``cells.py``, word by word, in float32.

    Args:
        config: the shape of the model.
        weights: its weights in float32, by their names on disk.
    """

    context: int | None = 0
    description = ""

    def __init__(self, config: Config, weights: Mapping[str, np.ndarray]) -> None:
        self.config = config
        self.cell = CELLS[config.cell]
        self.weights = weights
        self.layers = layer_weights(config, weights)

    def initial_state(self, batch: int = 1, position: int | np.ndarray = 0) -> State:
        """Zeros, ``[L, B, H]`` each; see ``Backend``."""
        like = np.empty(0, dtype=np.float32)
        return initial_state(self.cell, self.config.layers, batch, self.config.hidden_size, like)

    def read(
        self,
        ids: np.ndarray,
        state: State,
        record: Sequence[str] = (),
        clamps: Clamps | None = None,
        edit: EditAt | None = None,
    ) -> Reading:
        """See ``PlainBackend``; ``edit`` is called after the clamps, as in ``unroll``."""
        shape = (*ids.shape, self.config.hidden_size)
        values = {name: np.empty(shape, dtype=np.float32) for name in record}
        affine = {
            name: tuple(np.broadcast_to(part, shape) for part in pair)
            for name, pair in (clamps or {}).items()
        }

        def apply(name: str, t: int, value: Array) -> Array:
            if name in affine:
                scale, offset = affine[name]
                value = scale[t] * value + offset[t]
            if edit is not None:
                value = edit(name, t, value)
            if name in values:
                values[name][t] = value
            return value

        needed = apply if record or affine or edit is not None else None
        embedded = self.weights["embedding.weight"][ids]
        hidden, after = unroll(self.cell, self.layers, embedded, plain_state(state), needed)
        projection = self.weights.get("projection.weight")
        return Reading(hidden if projection is None else hidden @ projection.T, after, values)

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """See ``Backend``; an adaptive softmax gives log-probabilities."""
        config = self.config
        if config.cutoffs:
            return log_probs(hidden, self.weights, config.vocab_size, config.cutoffs)
        name = "embedding.weight" if config.tied else "decoder.weight"
        scores: np.ndarray = hidden @ self.weights[name].T + self.weights["decoder.bias"]
        return scores

    def log_probs(self, hidden: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """See ``Backend``; logits of a bounded number of words are held at a time."""
        rows = max(1, LOGIT_BYTES // (4 * self.config.vocab_size))
        parts = [np.empty(0, dtype=np.float32)]
        for first in range(0, len(targets), rows):
            logits = self.logits(hidden[first : first + rows])
            here = targets[first : first + rows]
            parts.append(logits[np.arange(len(here)), here] - log_sum_exp(logits))
        return np.concatenate(parts)

    def top_k(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``Backend``; of equals the lower id comes first."""
        return best_of(log_softmax(self.logits(hidden)), k)


class EngineBackend:
    """The same by the C++ kernels.

    Args:
        decoder: the engine on the model's weights.
    """

    context: int | None = 0
    description = ""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.config = decoder.config
        self.cell = CELLS[decoder.config.cell]

    def initial_state(self, batch: int = 1, position: int | np.ndarray = 0) -> State:
        """Zeros, ``[L, B, H]`` each; see ``Backend``."""
        return self.decoder.unpack(self.decoder.initial_state(batch))

    def read(
        self,
        ids: np.ndarray,
        state: State,
        record: Sequence[str] = (),
        clamps: Clamps | None = None,
    ) -> Reading:
        """See ``PlainBackend``. Gates are written out in blocks of words, to bound memory."""
        decoder, packed = self.decoder, self.decoder.pack(plain_state(state))
        if not record and not clamps:
            hidden, after = decoder.read(ids, packed)
            return Reading(hidden, decoder.unpack(after), {})
        shape = (*ids.shape, self.config.hidden_size)
        values = {name: np.empty(shape, dtype=np.float32) for name in record}
        affine = {
            name: tuple(np.broadcast_to(part, shape) for part in pair)
            for name, pair in (clamps or {}).items()
        }
        blocks = []
        # Of no words at all one empty block is read, for the shapes.
        for first in range(0, max(1, len(ids)), BLOCK):
            here = slice(first, first + BLOCK)
            block_clamps = {
                name: (scale[here], offset[here]) for name, (scale, offset) in affine.items()
            }
            seen = decoder.trace(ids[here], packed, list(record), block_clamps)
            for name, recorded in values.items():
                recorded[here] = seen.values[name]
            blocks.append(seen.hidden)
            packed = seen.state
        return Reading(np.concatenate(blocks), decoder.unpack(packed), values)

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """See ``Backend``; an adaptive softmax gives log-probabilities."""
        rows = np.ascontiguousarray(hidden, dtype=np.float32).reshape(-1, hidden.shape[-1])
        return self.decoder.decode(rows).reshape(*hidden.shape[:-1], self.config.vocab_size)

    def log_probs(self, hidden: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """See ``Backend``; the distribution is never held."""
        rows = np.ascontiguousarray(hidden, dtype=np.float32)
        return self.decoder.log_prob(rows, targets, hidden=True)

    def top_k(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``Backend``; the normaliser is exact, and the distribution is never held."""
        return self.decoder.top_k_hidden(np.ascontiguousarray(hidden, dtype=np.float32), k)


def best_of(log_probs: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids and values ``[N, k]`` of the ``k`` largest of ``log_probs [N, V]``, best first.

    Of equals the lower id comes first.
    """
    ids = np.empty((len(log_probs), min(k, log_probs.shape[-1])), dtype=np.int64)
    for row, losses in enumerate(-log_probs):
        among = np.arange(len(losses))
        if k < len(losses):  # to sort a whole vocabulary takes much longer
            among = np.flatnonzero(~(losses > np.partition(losses, k - 1)[k - 1]))
        ids[row] = among[np.argsort(losses[among], kind="stable")[:k]]
    return ids, np.take_along_axis(log_probs, ids, axis=-1)


def layer_weights(config: Config, weights: Mapping[str, np.ndarray]) -> list[Weights]:
    """The weights of each layer as the cells take them, from weights by their names on disk."""
    layers: list[dict[str, np.ndarray]] = [{} for _ in range(config.layers)]
    for name, weight in weights.items():
        if name.startswith("layers."):
            _, layer, field = name.split(".")
            layers[int(layer)][field] = weight
    return [Weights(**fields) for fields in layers]
