"""The decoder: a model that reads and predicts in C++, one word or many at a time.

It computes what ``cells.py`` and ``LanguageModel`` compute, from the same weights, which it reads
where they lie (memory-mapped, shared between processes): float32, bfloat16, or int8 with one scale
a row. States are plain buffers that the caller owns, ``[B, S]`` of float32, one row a session:
every layer's ``h``, and after them every layer's ``c``. The kernels release the GIL, and one
decoder may serve several threads at once. See ``docs/engine.md``.

Shapes: ``T`` words, ``B`` sessions, ``S`` floats of a session's state, ``L`` layers, ``H`` hidden
units, ``P`` what the decoder reads (the projection's width, or ``H``), ``V`` words known.
"""

from __future__ import annotations

import importlib
import operator
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from carousel.cells import CELLS, LSTM, HiddenState, LSTMState, State
from carousel.errors import EngineError
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder
from carousel.storage.number_formats import Quantized, Stored, Tiled
from carousel.storage.untie import untie

_kernels: Any
try:
    _kernels = importlib.import_module("carousel.engine._kernels")
except ImportError as error:  # not built, or built for another machine
    _kernels = None
    MISSING = str(error)
else:
    MISSING = ""
"""Why there is no engine on this machine; empty where there is one."""

ISA = "CAROUSEL_ISA"
"""The environment variable that names the instruction set to use."""
MOST_THREADS = 64
GAIN = 1.1
"""So many times as fast must more threads be to be taken."""
TRIALS = 9

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
    """What the decoder gets, ``[T, B, P]``."""
    state: np.ndarray
    """The state after the last word, ``[B, S]``."""


def find_decoder(
    config: Config, weights: Mapping[str, Stored], *, threads: int | None = 1
) -> Decoder | None:
    """A decoder, or None where the kernels are missing, after a warning that is given once."""
    if _kernels is not None:
        return Decoder(config, weights, threads=threads)
    warnings.warn(
        f"Carousel's kernels can't be loaded, NumPy does their work: {MISSING}",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def instruction_sets() -> list[str]:
    """The instruction sets that this machine can run, best first; none without the extension."""
    return [] if _kernels is None else list(_kernels.instruction_sets())


class Decoder:
    """A model's weights, ready to be run.

    Weights stay where they lie, and are shared with whoever else maps their file; int8 matrices
    that lie row by row alone are copied into tiles, in which they are read fastest (see
    ``docs/engine.md``).

    Args:
        config: the shape of the model.
        weights: its weights by their names on disk, as ``storage.store`` gives them.
        threads: how many threads may share a product, None for as many as there are cores. More
            than one is taken only where the clock says that it is faster.
        isa: the instruction set; None for the one that the environment variable ``CAROUSEL_ISA``
            names, or the best one.

    Raises:
        EngineError: the extension is not there, or the processor lacks the instruction set.
        ValueError: weights of other shapes than the configuration's, or not finite.
        TypeError: weights of other types.
    """

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, Stored],
        *,
        threads: int | None = 1,
        isa: str | None = None,
    ) -> None:
        if _kernels is None:
            raise EngineError(f"the kernels can't be loaded: {MISSING}")
        isa = os.environ.get(ISA, "") if isa is None else isa
        if isa and isa not in instruction_sets():
            raise EngineError(
                f"no kernels for {isa!r} run on this machine: "
                f"{ISA} may be {', '.join(instruction_sets())}"
            )
        if missing := sorted(config.weight_shapes().keys() - weights.keys()):
            raise ValueError(f"{missing[0]} is missing")
        self.config = config
        self.cell = CELLS[config.cell]
        names = "ifgcoh" if isinstance(self.cell, LSTM) else (*self.cell.gates, "h")
        self.points = [f"layers.{layer}.{name}" for layer in range(config.layers) for name in names]
        """The names of all gates and states, in the order in which they are made."""

        weights = untie(weights, config.cutoffs)

        def given(name: str) -> Any:
            weight = weights.get(name)
            if isinstance(weight, Quantized | Tiled):
                return _plain(weight[0]), _plain(weight.scale)
            return _plain(weight)

        layers = [
            tuple(
                given(f"layers.{layer}.{name}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ch")
            )
            for layer in range(config.layers)
        ]
        bounds = (*config.cutoffs, config.vocab_size)
        clusters = [
            (*bounds[n : n + 2], *(given(f"decoder.tail.{n}.{half}.weight") for half in (0, 1)))
            for n in range(len(config.cutoffs))
        ]
        read = config.projection_size or config.hidden_size
        head = "decoder.head" if clusters else "decoder"
        self._decoder = _kernels.Decoder(
            isa,
            1,
            config.cell,
            [config.vocab_size, config.embedding_size, config.hidden_size, read],
            given("embedding.weight"),
            layers,
            given("projection.weight"),
            None if config.tied and not clusters else given(f"{head}.weight"),
            given(f"{head}.bias"),
            clusters,
        )
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._choose_threads(min(cores or 1, MOST_THREADS) if threads is None else threads)

    @classmethod
    def open(cls, path: str | Path, *, threads: int | None = 1) -> Decoder:
        """The decoder of a model folder; its weights stay in the file, mapped.

        Raises:
            FolderError: no model there, or a damaged one.
            EngineError: the extension is not there.
        """
        found = read_folder(path)
        return cls(found.config, found.weights, threads=threads)

    def __repr__(self) -> str:
        c = self.config
        return (
            f"Decoder({c.cell}, {c.dtype}, {self.isa}, {self.threads} thread"
            f"{'s' if self.threads > 1 else ''}, {self.bytes_read:,} bytes a word)"
        )

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return str(self._decoder.isa)

    @property
    def threads(self) -> int:
        """How many threads may share a product."""
        return int(self._decoder.threads)

    @property
    def state_size(self) -> int:
        """``S``: the floats of one session's state."""
        return int(self._decoder.state_size)

    @property
    def state_bytes(self) -> int:
        """The bytes of one session's state."""
        return 4 * self.state_size

    @property
    def bytes_read(self) -> int:
        """Bytes of weights that a step with ``top_k`` reads (of an adaptive decoder: the head)."""
        return int(self._decoder.bytes_read)

    # -- states ----------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1) -> np.ndarray:
        """The state of ``batch`` sessions before anything was read: zeros, ``[B, S]``."""
        return np.zeros((batch, self.state_size), dtype=np.float32)

    def pack(self, state: State) -> np.ndarray:
        """A model's state (``[L, B, H]`` each) as one buffer ``[B, S]``."""
        batch = state.h.shape[1]
        parts = [np.moveaxis(part, 1, 0).reshape(batch, -1) for part in state]
        return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)

    def unpack(self, state: np.ndarray) -> State:
        """A buffer ``[B, S]`` as a model's state, ``[L, B, H]`` each: views of the buffer."""
        c = self.config
        parts = state.reshape(len(state), -1, c.layers, c.hidden_size).transpose(1, 2, 0, 3)
        return LSTMState(*parts) if isinstance(self.cell, LSTM) else HiddenState(*parts)

    # -- reading ---------------------------------------------------------------------------------

    def step(self, tokens: Tokens, state: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Read one word in each session: ``tokens [B]`` and ``state [B, S]`` to the state after.

        ``out`` is where to write it (``state`` itself is allowed); None makes a new buffer.

        Raises:
            TypeError, ValueError, IndexError: arrays of other types or shapes, not contiguous or
                not to be written to; a state that is not finite; a token out of range. So for all
                methods.
        """
        out = np.empty_like(state) if out is None else out
        self._decoder.read(_ids(tokens, 1)[None, :], state, out, None)
        return out

    def steps(self, tokens: Tokens, state: np.ndarray) -> np.ndarray:
        """Read ``tokens [T, B]`` (``[T]`` for every session alike): the state after the last.

        The weights of a layer's input are read once for a block of words.
        """
        out = np.empty_like(state)
        self._decoder.read(_sequence(tokens, state), state, out, None)
        return out

    def read(self, tokens: Tokens, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``steps``, with what the decoder gets after each word, ``[T, B, P]``, before it."""
        ids, out = _sequence(tokens, state), np.empty_like(state)
        hidden = np.empty((*ids.shape, self._decoder.read_size), dtype=np.float32)
        self._decoder.read(ids, state, out, hidden)
        return hidden, out

    def score(self, tokens: Tokens, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How likely a text was: ``log p`` of each of ``tokens [T, B]`` before it is read.

        Returns ``[T, B]`` (the first word's is predicted from ``state``) and the state after all.
        """
        ids, out = _sequence(tokens, state), np.empty_like(state)
        log_probs = np.empty(ids.shape, dtype=np.float32)
        self._decoder.score(ids, state, out, log_probs)
        return log_probs, out

    def trace(
        self,
        tokens: Tokens,
        state: np.ndarray,
        points: Sequence[str] | None = None,
        clamps: Clamps | None = None,
    ) -> Activations:
        """Read tokens, write gates and states out, and clamp them.

        A clamped value replaces the computed one, and all that depends on it follows, as with
        ``edit`` in ``unroll``.

        Args:
            tokens: ids ``[T, B]``, or ``[T]`` for every session alike.
            state: the state before the first token, ``[B, S]``; it is not changed.
            points: the names of what is written out (``"layers.0.f"``); None for all of them.
            clamps: by point, a pair of a scale and an offset, each broadcastable to ``[T, B, H]``:
                the value becomes ``scale * value + offset``. Scale 1 and offset 0 change nothing.

        Returns:
            The values of the points in the order of ``decoder.points``, what the decoder gets, and
            the state after.

        Raises:
            ValueError: a point that does not exist; a clamp that is not finite or can't be
                broadcast.
            TypeError: a clamp that is not made of numbers.
        """
        ids, out = _sequence(tokens, state), np.empty_like(state)
        shape = (*ids.shape, self.config.hidden_size)
        wanted = set(self.points if points is None else points)
        if unknown := sorted(wanted.union(clamps or ()) - set(self.points)):
            raise ValueError(f"there is no {unknown[0]!r} among {', '.join(self.points)}")
        affine = {
            point: (_clamp(scale, shape), _clamp(offset, shape))
            for point, (scale, offset) in (clamps or {}).items()
        }
        values = {
            point: np.empty(shape, dtype=np.float32) for point in self.points if point in wanted
        }
        hidden = np.empty((*ids.shape, self._decoder.read_size), dtype=np.float32)
        self._decoder.trace(
            ids,
            state,
            out,
            hidden,
            [values.get(point) for point in self.points],
            [affine.get(point) for point in self.points],
        )
        return Activations(values, hidden, out)

    # -- predicting ------------------------------------------------------------------------------

    def top_k(self, state: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` likeliest next words: ids ``[B, k]``, natural log-probabilities ``[B, k]``.

        Best first; of equals the lower id comes first. One pass over the decoder's rows; the
        normaliser is exact, and the softmax is never held. Clusters of an adaptive softmax that
        can't hold one of the ``k`` best are not opened.

        Raises:
            ValueError: ``k`` below 1 or above ``V`` too, or scores that overflow.
        """
        ids = self._ids(state, k)
        log_probs = np.empty(ids.shape, dtype=np.float32)
        self._decoder.top_k(state, True, k, ids, log_probs)
        return ids, log_probs

    def top_k_hidden(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """``top_k`` of ``hidden [N, P]``, as ``read`` gives it: ids and log-probs ``[N, k]``."""
        ids = self._ids(hidden, k)
        log_probs = np.empty(ids.shape, dtype=np.float32)
        self._decoder.top_k(hidden, False, k, ids, log_probs)
        return ids, log_probs

    def step_top_k(
        self, tokens: Tokens, state: np.ndarray, k: int, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``step``, then ``top_k``, in one call: the state after, ids and log-probabilities."""
        out = np.empty_like(state) if out is None else out
        ids = self._ids(state, k)
        log_probs = np.empty(ids.shape, dtype=np.float32)
        self._decoder.step_top_k(_ids(tokens, 1), state, out, k, ids, log_probs)
        return out, ids, log_probs

    def rank(self, state: np.ndarray, k: int) -> np.ndarray:
        """The ids of ``top_k`` alone, ``[B, k]``.

        Rows of a float32 or bfloat16 decoder that can't win, by a bound from a coarser copy which
        the first call makes, are left unread. The ranking is that of the whole computation.
        """
        ids = self._ids(state, k)
        self._decoder.top_k(state, True, k, ids, None)
        return ids

    def log_prob(self, state: np.ndarray, tokens: Tokens) -> np.ndarray:
        """The log-probability of ``tokens [B]`` as the next word, ``[B]``."""
        log_probs = np.empty(len(state), dtype=np.float32)
        self._decoder.log_prob(state, True, _ids(tokens, 1), log_probs)
        return log_probs

    def logits(self, state: np.ndarray) -> np.ndarray:
        """The scores of all next words, ``[B, V]``; log-probabilities for an adaptive softmax."""
        return self._scores(state, True)

    def decode(self, hidden: np.ndarray) -> np.ndarray:
        """``hidden [N, P]``, as ``read`` gives it, to the scores ``[N, V]``."""
        return self._scores(hidden, False)

    def _scores(self, source: np.ndarray, states: bool) -> np.ndarray:
        scores = np.empty((len(source), self.config.vocab_size), dtype=np.float32)
        self._decoder.decode(source, states, scores)
        return scores

    def _ids(self, state: np.ndarray, k: int) -> np.ndarray:
        k = operator.index(k)
        if not 1 <= k <= self.config.vocab_size:
            raise ValueError(f"k must be 1 to {self.config.vocab_size}, not {k}")
        return np.empty((len(state), k), dtype=np.int64)

    def _choose_threads(self, most: int) -> None:
        """Take as many threads as are fastest, by the clock, on words with their predictions."""
        if not 1 <= most <= MOST_THREADS:
            raise ValueError(f"threads must be 1 to {MOST_THREADS}, not {most}")
        if most == 1:
            return
        state = self.initial_state()
        choices = sorted({min(2**n, most) for n in range(most.bit_length() + 1)})
        taken: dict[int, list[float]] = {threads: [] for threads in choices}
        for _ in range(TRIALS):
            for threads in choices:
                self._decoder.threads = threads
                self.top_k(self.step([0], state), 1)  # its threads have come up
                start = time.perf_counter()
                self.top_k(self.step([0], state), 1)
                taken[threads].append(time.perf_counter() - start)
        medians = {threads: sorted(times)[TRIALS // 2] for threads, times in taken.items()}
        fastest = min(choices, key=medians.__getitem__)
        self._decoder.threads = fastest if medians[fastest] * GAIN < medians[1] else 1


def _plain(array: np.ndarray | None) -> np.ndarray | None:
    """As the kernels need it: contiguous and aligned; a copy only where it is not."""
    return None if array is None else np.require(array, requirements=["C", "A"])


def _ids(tokens: Tokens, axes: int) -> np.ndarray:
    """Tokens as a contiguous array of int64."""
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


def _sequence(tokens: Tokens, state: np.ndarray) -> np.ndarray:
    """Tokens ``[T, B]``; those of one axis go to every session."""
    ids = np.asarray(tokens)
    if ids.ndim == 1:
        ids = np.repeat(ids[:, None], len(state), axis=1)
    return _ids(ids, 2)


def _clamp(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A clamp's scale or offset for every word and session."""
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"a clamp must be numbers, not {given.dtype}")
    return np.ascontiguousarray(np.broadcast_to(given, shape), dtype=np.float32)
