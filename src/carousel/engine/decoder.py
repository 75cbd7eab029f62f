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

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from carousel.cells import CELLS, HiddenState, LSTMState, State
from carousel.errors import EngineError
from carousel.folder import Config, read_folder
from carousel.storage import Quantized, Stored

try:
    from carousel.engine import _kernels
except ImportError as error:  # not built, or built for another machine
    _kernels: ModuleType | None = None  # type: ignore[no-redef]
    MISSING = str(error)
else:
    MISSING = ""
"""Why there is no engine on this machine; empty where there is one."""

Tokens = np.ndarray | Sequence[int]
Clamps = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By point (``"layers.0.f"``): a mask of bool and values, each ``[T, B, H]`` or broadcast to it."""


class Trace(NamedTuple):
    """What ``Decoder.trace`` saw."""

    points: dict[str, np.ndarray]
    """Every gate and state of every layer by its point, ``[T, B, H]`` each."""
    hidden: np.ndarray
    """What the decoder gets, ``[T, B, P]``."""
    state: np.ndarray
    """The state after the last word, ``[B, S]``."""


def instruction_sets() -> list[str]:
    """The instruction sets that this machine can run, best first; ``plain`` is always there."""
    return [] if _kernels is None else list(_kernels.instruction_sets())


class Decoder:
    """A model's weights, ready to be run.

    Args:
        config: the shape of the model.
        weights: its weights by their names on disk, as ``storage.store`` gives them.
        threads: how many threads share a product; None measures, and takes more than one only
            where that is faster.
        isa: the instruction set; None for the best one, or the one that the environment variable
            ``CAROUSEL_ISA`` names.

    Raises:
        EngineError: the extension is not there, or the processor lacks the instruction set.
        ValueError: weights of another shape than the configuration's, or not finite.
    """

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, Stored],
        *,
        threads: int | None = 1,
        isa: str | None = None,
    ) -> None:
        raise NotImplementedError

    @classmethod
    def open(cls, path: str | Path, *, threads: int | None = 1) -> Decoder:
        """The decoder of a model folder; its weights stay in the file, mapped.

        Raises:
            FolderError: no model there, or a damaged one.
            EngineError: the extension is not there.
        """
        found = read_folder(path)
        return cls(found.config, found.weights, threads=threads)

    # Attributes: config; isa (name of the instruction set), threads; state_size (S, floats of one
    # session), state_bytes (4 S); bytes_read (of the weights that one step with top_k reads).

    def initial_state(self, batch: int = 1) -> np.ndarray:
        """The state of ``batch`` sessions before anything was read: zeros, ``[B, S]``."""
        raise NotImplementedError

    def pack(self, state: State) -> np.ndarray:
        """A model's state (``[L, B, H]`` each) as one buffer ``[B, S]``."""
        raise NotImplementedError

    def unpack(self, state: np.ndarray) -> State:
        """A buffer ``[B, S]`` as a model's state, ``[L, B, H]`` each: views of the buffer."""
        raise NotImplementedError

    def step(
        self, tokens: Tokens, state: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Read one word in each session: ``tokens [B]`` and ``state [B, S]`` to the state after.

        ``out`` is where to write it (``state`` itself is allowed); None makes a new buffer.
        """
        raise NotImplementedError

    def steps(self, tokens: Tokens, state: np.ndarray) -> np.ndarray:
        """Read ``tokens [T, B]`` (or ``[T]`` in every session) one after the other: the state after.

        The weights of the input are read once for a block of words.
        """
        raise NotImplementedError

    def read(self, tokens: Tokens, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``steps``, with what the decoder gets after each word: ``[T, B, P]``, and the state."""
        raise NotImplementedError

    def top_k(self, state: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` likeliest next words: ids ``[B, k]``, natural log-probabilities ``[B, k]``.

        Best first; of equals the lower id comes first. One pass over the decoder's rows; the
        normaliser is exact, and the softmax is never held.
        """
        raise NotImplementedError

    def rank(self, state: np.ndarray, k: int) -> np.ndarray:
        """The ids of ``top_k`` alone, ``[B, k]``: rows that can't win may be left unread."""
        raise NotImplementedError

    def log_prob(self, state: np.ndarray, tokens: Tokens) -> np.ndarray:
        """The log-probability of ``tokens [B]`` as the next word, ``[B]``."""
        raise NotImplementedError

    def logits(self, state: np.ndarray) -> np.ndarray:
        """The scores of all next words, ``[B, V]``; log-probabilities for an adaptive softmax."""
        raise NotImplementedError

    def decode(self, hidden: np.ndarray) -> np.ndarray:
        """``hidden [N, P]``, as ``read`` gives it, to the scores ``[N, V]``."""
        raise NotImplementedError

    def score(self, tokens: Tokens, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How likely a text was: ``log p`` of each of ``tokens [T, B]`` before it is read.

        Returns ``[T, B]`` (the first word's is predicted from ``state``) and the state after all.
        """
        raise NotImplementedError

    def trace(self, tokens: Tokens, state: np.ndarray, clamps: Clamps | None = None) -> Trace:
        """Read ``tokens [T, B]`` with every gate written out, and held where ``clamps`` say.

        A clamped gate takes the value wherever its mask is set, and all that depends on it
        follows, as with ``edit`` in ``unroll``.
        """
        raise NotImplementedError
