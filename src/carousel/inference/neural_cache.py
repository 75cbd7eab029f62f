"""A model that remembers its last words: a neural cache around another backend.

Grave, Joulin & Usunier 2017, arXiv:1612.04426. With ``h_i`` what the decoder reads before the word
``w_i`` (equations 2 and 3)::

    p_cache(w) ∝ Σ_i [w_i = w] exp(θ h_t · h_i)        over the last S words
    p(w) = (1 - λ) p_model(w) + λ p_cache(w)

The words and their vectors are in the state. So one long read, words fed one by one, branches and
saved sessions give the same numbers. What the decoder gets, ``hidden``, is longer here: the model's
own ``[P]``, then the similarities ``h_t · h_i [S]``, then the words ``w_i [S]``, -1 where there is
none. The ids are whole numbers below 2^24, which float32 holds exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from carousel.inference.backend import Backend, Reading, best_of
from carousel.inference.state import CacheState, DynamicState, State
from carousel.softmax import log_softmax
from carousel.storage.adaptation import CacheParameters
from carousel.storage.config import Config

BLOCK = 64
"""Words that are compared with the remembered ones in one product."""


class Recall(NamedTuple):
    """What the decoder gets from a model with a cache, in its parts."""

    hidden: np.ndarray
    """``[N, P]``: what the model's own decoder reads."""
    similarities: np.ndarray
    """``[N, S]``: ``h_t · h_i``."""
    words: np.ndarray
    """``[N, S]``: the ids of the remembered words, -1 where there is none."""


class CacheBackend:
    """A backend with a neural cache.

    Args:
        backend: the model as it is, or with gates held.
        parameters: θ, λ and the number of words.
    """

    def __init__(self, backend: Backend, parameters: CacheParameters) -> None:
        self.backend, self.parameters = backend, parameters

    @property
    def config(self) -> Config:
        """The shape of the model."""
        return self.backend.config

    @property
    def context(self) -> int | None:
        """See ``Backend``: the words that are remembered."""
        return self.parameters.size

    @property
    def description(self) -> str:
        """See ``Backend``."""
        return f"{self.backend.description} {self.parameters}"

    def initial_state(self, batch: int = 1, position: int | np.ndarray = 0) -> State:
        """See ``Backend``: an empty cache."""
        inner = self.backend.initial_state(batch, position)
        assert not isinstance(inner, CacheState | DynamicState)
        P, S = self.config.decoder_input_size, self.parameters.size
        return CacheState(
            inner,
            np.full((1, batch, P), np.nan, dtype=np.float32),
            np.zeros((S, batch, P), dtype=np.float32),
            np.full((S, batch), -1, dtype=np.int32),
        )

    def read(self, ids: np.ndarray, state: State, record: Sequence[str] = ()) -> Reading:
        """See ``Backend``. ``hidden`` is ``[T, B, P + 2S]``."""
        if not isinstance(state, CacheState):
            raise TypeError("a state of a model without a cache: take initial_state of this one")
        reading = self.backend.read(ids, state.inner, record)
        inner = reading.state
        assert not isinstance(inner, CacheState | DynamicState)
        # Each word comes with what the decoder got before it; before the first word there is none.
        before = np.concatenate([state.hidden, reading.hidden])
        first = np.isnan(before[:-1, :, 0])
        keys = np.concatenate([state.keys, np.nan_to_num(before[:-1])])
        words = np.concatenate([state.words, np.where(first, -1, ids).astype(np.int32)])
        T, S = len(ids), self.parameters.size
        hidden = np.empty((*ids.shape, self.config.decoder_input_size + 2 * S), dtype=np.float32)
        hidden[..., : -2 * S] = reading.hidden
        for b in range(ids.shape[1]):
            # One contiguous product a sequence: NumPy is slow at those of three axes.
            own, remembered = reading.hidden[:, b], np.ascontiguousarray(keys[:, b])
            for start in range(0, T, BLOCK):
                end = min(start + BLOCK, T)
                products = own[start:end] @ remembered[start + 1 : end + S].T
                for t in range(start, end):
                    hidden[t, b, -2 * S : -S] = products[t - start, t - start : t - start + S]
        for t in range(T):
            hidden[t, :, -S:] = words[t + 1 : t + 1 + S].T
        after = CacheState(inner, before[-1:], keys[T:], words[T:])
        return Reading(hidden, after, reading.values)

    def recall(self, hidden: np.ndarray) -> Recall:
        """The parts of ``hidden [N, P + 2S]``, as ``read`` gives it."""
        S = self.parameters.size
        own = np.ascontiguousarray(hidden[:, : -2 * S])
        return Recall(own, hidden[:, -2 * S : -S], hidden[:, -S:].astype(np.int64))

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """See ``Backend``: log-probabilities of the mixture; with λ = 0 the model's own logits."""
        flat = self.recall(hidden.reshape(-1, hidden.shape[-1]))
        scores = self.backend.logits(flat.hidden)
        if self.parameters.lambda_ > 0:
            scores = self._mix(log_softmax(scores), flat)
        return scores.reshape(*hidden.shape[:-1], self.config.vocab_size)

    def log_probs(self, hidden: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """See ``Backend``."""
        recall = self.recall(hidden)
        own = self.backend.log_probs(recall.hidden, targets)
        lambda_ = self.parameters.lambda_
        if lambda_ == 0:
            return own
        weights = attention(recall.similarities, recall.words, self.parameters.theta)
        cached = (weights * (recall.words == targets[:, None])).sum(axis=1)
        mixed: np.ndarray = np.where(weights.any(axis=1), mix(own, cached, lambda_), own).astype(
            np.float32
        )
        return mixed

    def top_k(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``Backend``; of equals the lower id comes first."""
        if self.parameters.lambda_ == 0:
            return self.backend.top_k(self.recall(hidden).hidden, k)
        return best_of(self.logits(hidden), k)

    def _mix(self, own: np.ndarray, recall: Recall) -> np.ndarray:
        """The mixture's log-probabilities ``[N, V]``, given the model's own; they are changed."""
        lambda_ = self.parameters.lambda_
        weights = attention(recall.similarities, recall.words, self.parameters.theta)
        rows, entries = np.nonzero((recall.words >= 0) & weights.any(axis=1, keepdims=True))
        cells = rows * own.shape[1] + recall.words[rows, entries]
        cached = np.zeros(own.size, dtype=np.float32)
        np.add.at(cached, cells, weights[rows, entries])
        mixed = mix(own.ravel()[cells], cached[cells], lambda_)
        own[weights.any(axis=1)] += np.log1p(-lambda_, dtype=np.float32)
        own.ravel()[cells] = mixed  # a word that is remembered twice gets the same value twice
        return own


def attention(similarities: np.ndarray, words: np.ndarray, theta: float) -> np.ndarray:
    """The share of each remembered word in the cache's prediction, ``[N, S]``.

    Args:
        similarities: ``h_t · h_i``, ``[N, S]``.
        words: the ids of the words, ``[N, S]``, -1 where there is none.
        theta: θ.

    Returns:
        The softmax of ``θ h_t · h_i`` over the words that are there; zeros where there are none.
    """
    scores = np.where(words >= 0, np.float32(theta) * similarities, np.float32(-np.inf))
    highest = scores.max(axis=1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(highest), highest, 0))
    total = weights.sum(axis=1, keepdims=True)
    shares: np.ndarray = weights / np.where(total > 0, total, 1)
    return shares


def mix(own: np.ndarray, cached: np.ndarray, lambda_: float) -> np.ndarray:
    """``ln((1 - λ) exp(own) + λ cached)``, for log-probabilities and the cache's probabilities."""
    with np.errstate(divide="ignore"):
        mixed: np.ndarray = np.logaddexp(own + np.log1p(-lambda_), np.log(lambda_ * cached))
    return mixed
