"""A recurrent language model: arrays in, arrays out. It knows no text and no tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from carousel.cells import CELLS, Cell, Weights
from carousel.engine.decoder import Decoder, find_decoder
from carousel.errors import EngineError, LensError
from carousel.inference.backend import (
    Backend,
    EngineBackend,
    NumPyBackend,
    PlainBackend,
    Reading,
)
from carousel.inference.clamped import ClampedBackend, Intervention
from carousel.inference.lines import read_lines
from carousel.inference.state import State
from carousel.storage.config import Config
from carousel.storage.number_formats import StoredWeight, to_float32
from carousel.storage.untie import untie

BackendName = Literal["auto", "engine", "numpy"]


class _PlainModel:
    """Weights and what computes with them: the part that a model shares with its clamped ones."""

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, StoredWeight],
        backend: BackendName,
        threads: int | None,
    ) -> None:
        self.config = config
        self.stored = untie(weights, config.cutoffs)
        self.backend_name, self.threads = backend, threads

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        return {name: to_float32(weight) for name, weight in self.stored.items()}

    @cached_property
    def decoder(self) -> Decoder | None:
        if self.backend_name == "numpy":
            return None
        if self.backend_name == "engine":
            return Decoder(self.config, self.stored, threads=self.threads)
        return find_decoder(self.config, self.stored, threads=self.threads)

    @cached_property
    def reference(self) -> NumPyBackend:
        return NumPyBackend(self.config, self.weights)

    @cached_property
    def backend(self) -> PlainBackend:
        return self.reference if self.decoder is None else EngineBackend(self.decoder)


class RecurrentLM:
    """A stack of recurrent cells between an embedding and a decoder.

    The caller owns the state: every method takes one and returns the next.

    Args:
        config: the shape of the model.
        weights: its weights by their names on disk, float32 or in fewer bits.
        backend: ``"engine"`` for the C++ kernels, ``"numpy"`` for NumPy, ``"auto"`` for the
            kernels where they are on this machine.
        threads: how many threads of the engine may share a product; None for as many as there are
            cores, where that is faster.

    ::

        state = model.initial_state(batch=1)
        logits, state = model.step([3], state)      # one token in, scores of the next one out
    """

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, StoredWeight],
        *,
        backend: BackendName = "auto",
        threads: int | None = 1,
    ) -> None:
        if backend not in ("auto", "engine", "numpy"):
            raise EngineError(f"backend must be auto, engine or numpy, not {backend!r}")
        self._plain = _PlainModel(config, weights, backend, threads)
        self.interventions: tuple[Intervention, ...] = ()
        """What is done to its gates; nothing, unless it was made by ``clamped``."""
        self._outer: Backend | None = None

    def __repr__(self) -> str:
        c = self.config
        return (
            f"RecurrentLM({c.cell}, {c.layers} x {c.hidden_size} units, embedding "
            f"{c.embedding_size}, {c.vocab_size} tokens, {c.parameters:,} parameters)"
        )

    @property
    def config(self) -> Config:
        """The shape of the model."""
        return self._plain.config

    @property
    def cell(self) -> Cell:
        """The cell that its layers are made of."""
        return CELLS[self.config.cell]

    @property
    def stored(self) -> dict[str, StoredWeight]:
        """The weights in the numbers of the folder: float32, bfloat16 or int8."""
        return self._plain.stored

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The weights in float32: those of the folder, or what fewer bits stand for."""
        return self._plain.weights

    @property
    def layers(self) -> list[Weights]:
        """The weights of each layer, in float32."""
        return self._plain.reference.layers

    @property
    def decoder(self) -> Decoder | None:
        """The engine on this model's weights, without interventions; None where NumPy works.

        Raises:
            EngineError: the engine was asked for and is not on this machine.
        """
        return self._plain.decoder

    @cached_property
    def backend(self) -> Backend:
        """What computes this model's steps."""
        if self._outer is not None:
            return self._outer
        if not self.interventions:
            return self._plain.backend
        return ClampedBackend(
            self._plain.backend, self.interventions, lambda: self._plain.reference
        )

    def clamped(self, interventions: Sequence[Intervention]) -> RecurrentLM:
        """The model with its gates held. The weights are shared; the model itself stays as it is.

        On a model that is held already, the new interventions act after the old ones.

        Raises:
            LensError: the model adapts to what it reads.
        """
        if self._outer is not None:
            raise LensError("hold the gates first, and let that model adapt: not the other way")
        held = object.__new__(RecurrentLM)
        held._plain, held._outer = self._plain, None
        held.interventions = (*self.interventions, *interventions)
        return held

    def with_backend(self, backend: Backend) -> RecurrentLM:
        """The model with another backend around its own, such as a cache. The weights are shared.

        Args:
            backend: what computes the steps.
        """
        wrapped = object.__new__(RecurrentLM)
        wrapped._plain, wrapped._outer = self._plain, backend
        wrapped.interventions = self.interventions
        return wrapped

    def initial_state(self, batch: int = 1, position: int | np.ndarray = 0) -> State:
        """The state before anything was read.

        Args:
            batch: how many sequences are read side by side, ``B``.
            position: the position of the next token in its text, one number or ``[B]``; it matters
                only where gates are held at positions.
        """
        return self.backend.initial_state(batch, position)

    def step(self, ids: np.ndarray | Sequence[int], state: State) -> tuple[np.ndarray, State]:
        """Read one token of each sequence: ``ids [B]`` to logits ``[B, V]``, and the new state."""
        reading = self.read(np.asarray(ids)[None, :], state)
        return self.logits(reading.hidden[0]), reading.state

    def read(self, ids: np.ndarray, state: State, record: Sequence[str] = ()) -> Reading:
        """Read ``ids [T, B]``.

        Args:
            ids: token ids, ``T`` words of ``B`` sequences.
            state: the state before them.
            record: names of gates and states to record, like ``layers.0.f``.

        Returns:
            what the decoder gets after each word ``[T, B, P]``, the state after the last word, and
            what was recorded, ``[T, B, H]`` each.
        """
        if not self.config.carry_state:
            return read_lines(self.backend, ids, state, record)
        return self.backend.read(ids, state, record)

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Scores ``[..., V]`` of the next token from ``hidden [..., P]``.

        An adaptive softmax gives log-probabilities, which are logits, too.
        """
        return self.backend.logits(hidden)

    def log_probs(self, hidden: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Natural log-probabilities ``[N]`` of ``targets [N]``, each after a ``hidden [N, P]``."""
        return self.backend.log_probs(hidden, targets)

    def top_k(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` likeliest next tokens after ``hidden [N, P]``, best first.

        Returns:
            ids ``[N, k]`` and natural log-probabilities ``[N, k]``.
        """
        return self.backend.top_k(hidden, k)
