"""The decoder: a model that reads and predicts in C++, one token or many at a time.

It computes what ``cells.py`` defines, from the same weights, which it reads where they lie
(memory-mapped, shared between processes): float32, bfloat16, or int8 with one scale a row. See
``docs/engine.md``.

Shapes: ``T`` tokens, ``B`` sessions, ``S`` floats of a session's state, ``L`` layers, ``H`` hidden
units, ``P`` what the decoder reads (the projection's width, or ``H``), ``V`` tokens known.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from carousel.cells import CELLS, LSTM, HiddenState, LSTMState, State
from carousel.engine import extension
from carousel.engine.arguments import (
    Activations,
    Clamps,
    Tokens,
    clamp_array,
    empty_ids,
    sequence_ids,
    token_ids,
)
from carousel.engine.threads import MAX_THREADS, choose_threads, cpu_count
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder
from carousel.storage.number_formats import StoredWeight


def find_decoder(
    config: Config, weights: Mapping[str, StoredWeight], *, threads: int | None = 1
) -> Decoder | None:
    """Make a decoder, or return None where the kernels are missing, after a warning.

    Args:
        config: the shape of the model.
        weights: its weights by their names on disk.
        threads: as for ``Decoder``.

    Raises:
        ValueError, TypeError: as ``Decoder``.
    """
    if not extension.is_missing():
        return Decoder(config, weights, threads=threads)
    warnings.warn(
        f"Carousel's kernels can't be loaded, NumPy does their work: {extension.MISSING}",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


class Decoder:
    """A model's weights, ready to be run by the kernels in C++.

    The caller owns the state: an array of float32 ``[B, S]``, one row a session, with every layer's
    ``h`` and after them every layer's ``c``. Where the configuration's ``carry_state`` is off, it
    becomes zero before an end of a line is read. Methods never change the state they are given,
    unless it is also ``out``. They release the GIL, and several threads may use one decoder at
    once, also while its number of threads is changed.

    Weights stay where they lie, shared with whoever maps their file; int8 rows are put into tiles.

    Args:
        config: the shape of the model.
        weights: its weights by their names on disk, as ``cast_weights`` makes them.
        threads: how many threads may share a product, 1 to 64; None for as many as there are CPUs.
            More than one is used only where a short trial is faster. A system that refuses threads
            gets fewer.
        isa: the instruction set; None for the one that the environment variable ``CAROUSEL_ISA``
            names, or else the best one.

    Raises:
        EngineError: the extension is missing, or the processor lacks the instruction set.
        ValueError: weights of other shapes than the configuration's, not finite, or beyond 1e15,
            where sums would overflow; a wrong number of threads.
        TypeError: weights of other types.

    All methods that take arrays raise ``TypeError`` for another type, ``ValueError`` for another
    shape, an array that is not contiguous, a state that is not finite, scores that overflow or a
    wrong ``k``, and ``IndexError`` for a token out of range.

    Example:
        >>> from carousel.engine.decoder import Decoder
        >>> from carousel.pretrained import PRETRAINED
        >>> decoder = Decoder.open(PRETRAINED / "stories-lstm")
        >>> state = decoder.steps([1, 17, 4], decoder.initial_state())
        >>> ids, log_probs = decoder.top_k(state, 3)
        >>> ids.shape, log_probs.shape
        ((1, 3), (1, 3))
        >>> state = decoder.step(ids[:, 0], state)  # the likeliest word is read next
    """

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, StoredWeight],
        *,
        threads: int | None = 1,
        isa: str | None = None,
    ) -> None:
        self.config = config
        self.cell = CELLS[config.cell]
        names = "ifgcoh" if isinstance(self.cell, LSTM) else (*self.cell.gates, "h")
        self.points = [f"layers.{layer}.{name}" for layer in range(config.layers) for name in names]
        """The names of all gates and states, in the order in which they are made."""

        self._decoder = extension.load_weights(config, weights, isa)
        most = min(cpu_count(), MAX_THREADS) if threads is None else threads
        if not 1 <= most <= MAX_THREADS:
            raise ValueError(f"threads must be 1 to {MAX_THREADS}, not {most}")
        if most > 1:
            choose_threads(self, most)

    @classmethod
    def open(cls, path: str | Path, *, threads: int | None = 1) -> Decoder:
        """Open the model in a folder; its weights stay in the file, mapped.

        Args:
            path: the model folder.
            threads: as for ``Decoder``.

        Raises:
            FolderError: no model there, or a damaged one.
            EngineError: the extension is missing.
        """
        folder = read_folder(path)
        return cls(folder.config, folder.weights, threads=threads)

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
        """How many threads may share a product; it can be set, also while others compute."""
        return int(self._decoder.threads)

    @threads.setter
    def threads(self, threads: int) -> None:
        if not 1 <= threads <= MAX_THREADS:
            raise ValueError(f"threads must be 1 to {MAX_THREADS}, not {threads}")
        self._decoder.threads = threads

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
        """Bytes of weights that a step with ``top_k`` reads (of an adaptive softmax: the head)."""
        return int(self._decoder.bytes_read)

    # -- states ----------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1) -> np.ndarray:
        """Return the state of ``batch`` sessions before anything was read: zeros, ``[B, S]``."""
        return np.zeros((batch, self.state_size), dtype=np.float32)

    def pack(self, state: State) -> np.ndarray:
        """Turn a state of ``cells.py``, ``[L, B, H]`` each, into one array ``[B, S]``."""
        batch = state.h.shape[1]
        parts = [part.transpose(1, 0, 2).reshape(batch, -1) for part in state]
        return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)

    def unpack(self, state: np.ndarray) -> State:
        """Turn an array ``[B, S]`` into a state of ``cells.py``: views ``[L, B, H]`` of it."""
        c = self.config
        parts = state.reshape(len(state), -1, c.layers, c.hidden_size).transpose(1, 2, 0, 3)
        return LSTMState(*parts) if isinstance(self.cell, LSTM) else HiddenState(*parts)

    # -- reading ---------------------------------------------------------------------------------

    def step(self, tokens: Tokens, state: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Read one token in each session.

        Args:
            tokens: ids ``[B]``.
            state: the state before, ``[B, S]``.
            out: where to write the state after, ``state`` itself if you like; None for a new array.

        Returns:
            The state after, ``[B, S]``.
        """
        out = np.empty_like(state) if out is None else out
        self._decoder.read(token_ids(tokens, 1)[None, :], state, out, None)
        return out

    def steps(self, tokens: Tokens, state: np.ndarray) -> np.ndarray:
        """Read several tokens; the weights of a layer's input are read once for a block of them.

        Args:
            tokens: ids ``[T, B]``, or ``[T]`` for every session alike.
            state: the state before, ``[B, S]``.

        Returns:
            The state after the last token, ``[B, S]``.
        """
        out = np.empty_like(state)
        self._decoder.read(sequence_ids(tokens, state), state, out, None)
        return out

    def read(self, tokens: Tokens, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read several tokens and return what the decoder reads after each of them.

        Args:
            tokens: ids ``[T, B]``, or ``[T]`` for every session alike.
            state: the state before, ``[B, S]``.

        Returns:
            The hidden vectors ``[T, B, P]``, and the state after the last token, ``[B, S]``.
        """
        ids, out = sequence_ids(tokens, state), np.empty_like(state)
        hidden = np.empty((*ids.shape, self._decoder.decoder_width), dtype=np.float32)
        self._decoder.read(ids, state, out, hidden)
        return hidden, out

    def score(self, tokens: Tokens, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute how likely a text was.

        Args:
            tokens: ids ``[T, B]``, or ``[T]`` for every session alike.
            state: the state before, ``[B, S]``, from which the first token is predicted.

        Returns:
            The natural log-probability of each token before it is read, ``[T, B]``, and the state
            after the last token, ``[B, S]``.
        """
        ids, out = sequence_ids(tokens, state), np.empty_like(state)
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
            state: the state before the first token, ``[B, S]``.
            points: the names of what is written out (``"layers.0.f"``); None for all of them.
            clamps: by point, a pair of a scale and an offset, each broadcastable to ``[T, B, H]``:
                the value becomes ``scale * value + offset``. Scale 1 and offset 0 change nothing.

        Returns:
            The values of the points in the order of ``decoder.points``, what the decoder reads, and
            the state after.

        Raises:
            ValueError: a point that does not exist; a clamp that is not finite or can't be
                broadcast.
            TypeError: a clamp that is not made of numbers.

        Example:
            >>> from carousel.engine.decoder import Decoder
            >>> from carousel.pretrained import PRETRAINED
            >>> decoder = Decoder.open(PRETRAINED / "stories-lstm")
            >>> forget_all = {"layers.0.f": (0, 0)}
            >>> trace = decoder.trace([1, 17], decoder.initial_state(), ["layers.0.f"], forget_all)
            >>> float(trace.values["layers.0.f"].max())
            0.0
        """
        ids, out = sequence_ids(tokens, state), np.empty_like(state)
        shape = (*ids.shape, self.config.hidden_size)
        wanted = set(self.points if points is None else points)
        if unknown := sorted(wanted.union(clamps or ()) - set(self.points)):
            raise ValueError(f"there is no {unknown[0]!r} among {', '.join(self.points)}")
        affine = {
            point: (clamp_array(scale, shape), clamp_array(offset, shape))
            for point, (scale, offset) in (clamps or {}).items()
        }
        values = {
            point: np.empty(shape, dtype=np.float32) for point in self.points if point in wanted
        }
        hidden = np.empty((*ids.shape, self._decoder.decoder_width), dtype=np.float32)
        outputs = [values.get(point) for point in self.points]
        pairs = [affine.get(point) for point in self.points]
        self._decoder.trace(ids, state, out, hidden, outputs, pairs)
        return Activations(values, hidden, out)

    # -- predicting ------------------------------------------------------------------------------

    def top_k(self, state: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the ``k`` likeliest next tokens.

        One pass over the decoder's rows; the normalizer is exact, and the softmax is never held.
        Clusters of an adaptive softmax that can't hold one of the ``k`` best are not opened.

        Args:
            state: states ``[B, S]``.
            k: how many, 1 to ``V``.

        Returns:
            ids ``[B, k]`` and natural log-probabilities ``[B, k]``, best first; of equals the lower
            id comes first.
        """
        return self._top_k(state, True, k)

    def top_k_hidden(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the ``k`` likeliest next tokens after hidden vectors ``[N, P]``, as ``read`` gives.

        Returns:
            ids ``[N, k]`` and natural log-probabilities ``[N, k]``, best first; of equals the lower
            id comes first.
        """
        return self._top_k(hidden, False, k)

    def step_top_k(
        self, tokens: Tokens, state: np.ndarray, k: int, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read one token in each session and find the ``k`` likeliest next ones, in one call.

        Args:
            tokens: ids ``[B]``.
            state: the state before, ``[B, S]``.
            k: how many, 1 to ``V``.
            out: where to write the state after, ``state`` itself if you like; None for a new array.

        Returns:
            The state after ``[B, S]``, ids ``[B, k]`` and natural log-probabilities ``[B, k]``.
        """
        out = np.empty_like(state) if out is None else out
        ids = empty_ids(len(state), k, self.config.vocab_size)
        log_probs = np.empty(ids.shape, dtype=np.float32)
        self._decoder.step_top_k(token_ids(tokens, 1), state, out, k, ids, log_probs)
        return out, ids, log_probs

    def rank(self, state: np.ndarray, k: int) -> np.ndarray:
        """Find the ``k`` likeliest next tokens without their probabilities.

        Rows of a float32 or bfloat16 decoder that can't win, by a bound from a coarser copy which
        the first call makes, are left unread. The ranking is that of ``top_k``.

        Returns:
            ids ``[B, k]``, best first.
        """
        ids = empty_ids(len(state), k, self.config.vocab_size)
        self._decoder.top_k(state, True, k, ids, None)
        return ids

    def log_prob(self, state: np.ndarray, tokens: Tokens, *, hidden: bool = False) -> np.ndarray:
        """Return natural log-probabilities ``[B]`` of ``tokens [B]`` after states ``[B, S]``, or
        with ``hidden`` after hidden vectors ``[B, P]``, as ``read`` gives them.
        """
        log_probs = np.empty(len(state), dtype=np.float32)
        self._decoder.log_prob(state, not hidden, token_ids(tokens, 1), log_probs)
        return log_probs

    def logits(self, state: np.ndarray) -> np.ndarray:
        """Return the scores of all next tokens after states ``[B, S]``, ``[B, V]``.

        For an adaptive softmax they are log-probabilities.
        """
        return self._scores(state, True)

    def decode(self, hidden: np.ndarray) -> np.ndarray:
        """Return the scores ``[N, V]`` of hidden vectors ``[N, P]``, as ``read`` gives them.

        For an adaptive softmax they are log-probabilities.
        """
        return self._scores(hidden, False)

    def _scores(self, source: np.ndarray, states: bool) -> np.ndarray:
        scores = np.empty((len(source), self.config.vocab_size), dtype=np.float32)
        self._decoder.decode(source, states, scores)
        return scores

    def _top_k(self, source: np.ndarray, states: bool, k: int) -> tuple[np.ndarray, np.ndarray]:
        ids = empty_ids(len(source), k, self.config.vocab_size)
        log_probs = np.empty(ids.shape, dtype=np.float32)
        self._decoder.top_k(source, states, k, ids, log_probs)
        return ids, log_probs
