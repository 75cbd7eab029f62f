"""A language model: weights and a tokenizer; state in, state out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.adaptive_softmax import log_probs
from carousel.cells import CELLS, Array, State, Weights
from carousel.errors import FolderError
from carousel.pretrained import find_folder, pretrained_models
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder
from carousel.storage.number_formats import Stored, to_float32
from carousel.storage.untie import untie
from carousel.text.tokenizer import Tokenizer
from carousel.unroll import EditAt, initial_state, unroll

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from carousel.engine.decoder import Decoder
    from carousel.evaluate import Evaluation
    from carousel.lens.clamp import Held
    from carousel.lens.compare import Comparison
    from carousel.lens.effect import Effect
    from carousel.lens.trace import Trace
    from carousel.predict.next_words import Prediction
    from carousel.predict.session import Session


class LanguageModel:
    """Predicts the next token from all tokens so far. The caller owns the state, everywhere.

    Every text is read as if a line had just ended: ``read`` starts with the end-of-line token on
    a zero state, as the first word of a line was met in training.
    """

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, Stored],
        tokenizer: Tokenizer,
        path: Path | None = None,
    ) -> None:
        self.config = config
        self.stored = untie(weights, config.cutoffs)
        """The weights in the numbers of the folder: float32, bfloat16 or int8."""
        self.tokenizer = tokenizer
        self.path = path
        self.cell = CELLS[config.cell]

    @cached_property
    def decoder(self) -> Decoder | None:
        """The engine on this model's weights; None where it is missing, and NumPy does the work."""
        from carousel.engine.decoder import find_decoder

        return find_decoder(self.config, self.stored)

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """The weights in float32: those of the folder, or what fewer bits stand for."""
        return {name: to_float32(weight) for name, weight in self.stored.items()}

    @cached_property
    def layers(self) -> list[Weights]:
        """The weights of each layer, in float32."""
        return [
            Weights(
                **{
                    name.split(".")[2]: weight
                    for name, weight in self.weights.items()
                    if name.startswith(f"layers.{layer}.")
                }
            )
            for layer in range(self.config.layers)
        ]

    @classmethod
    def load(cls, path: str | Path | None = None) -> LanguageModel:
        """The model in a folder, or one that comes with the package, by name.

        Args:
            path: a model folder; ``stories-rnn``, ``stories-gru`` or ``stories-lstm``; None for
                the last of these.

        Raises:
            FolderError: no model there, or a damaged one.
        """
        folder = find_folder(path)
        if not folder.exists():
            names = ", ".join(pretrained_models())
            raise FolderError(f"{folder} is not there: give a model folder, or one of {names}")
        found = read_folder(folder)
        return cls(found.config, found.weights, found.tokenizer, found.path)

    def __repr__(self) -> str:
        c = self.config
        return (
            f"LanguageModel({c.cell}, {c.layers} x {c.hidden_size} units, embedding "
            f"{c.embedding_size}, {c.vocab_size} tokens, {c.parameters:,} parameters)"
        )

    # -- state in, state out ---------------------------------------------------------------------

    def initial_state(self, batch: int = 1) -> State:
        """The state before anything was read: zeros, ``[L, B, H]`` each."""
        c = self.config
        like = np.empty(0, dtype=np.float32)
        return initial_state(self.cell, c.layers, batch, c.hidden_size, like)

    def step(self, ids: np.ndarray | Sequence[int], state: State) -> tuple[np.ndarray, State]:
        """Read one token each: ``ids [B]`` to logits ``[B, V]``, and the new state."""
        hidden, state = self.hidden(np.asarray(ids)[None, :], state)
        return self.logits(hidden[0]), state

    def hidden(
        self, ids: np.ndarray, state: State, edit: EditAt | None = None
    ) -> tuple[np.ndarray, State]:
        """Read ``ids [T, B]``: what the decoder gets, ``[T, B, P or H]``, and the state after.

        ``edit`` is called for every gate and state, as in ``unroll``; the engine reads where there
        is none.
        """
        if edit is None and self.decoder is not None:
            hidden, after = self.decoder.read(ids, self.decoder.pack(state))
            return hidden, self.decoder.unpack(after)
        x = self.weights["embedding.weight"][ids]
        x, state = unroll(self.cell, self.layers, x, state, edit)
        projection = self.weights.get("projection.weight")
        return (x if projection is None else x @ projection.T), state

    def watch(
        self, ids: np.ndarray, state: State, points: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], np.ndarray, State]:
        """As ``hidden``, and before it what ``points`` were (``"layers.0.f"``): ``[T, B, H]``."""
        if self.decoder is None:
            return self.record(ids, state, points)
        from carousel.engine.watch import read_traced

        return read_traced(self.decoder, ids, state, points)

    def record(
        self, ids: np.ndarray, state: State, points: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], np.ndarray, State]:
        """``watch`` by the lines of ``cells.py``."""
        shape = (*ids.shape, self.config.hidden_size)
        seen = {point: np.empty(shape, dtype=np.float32) for point in points}

        def keep(point: str, t: int, value: Array) -> Array:
            if point in seen:
                seen[point][t] = value
            return value

        hidden, state = self.hidden(ids, state, keep)
        return seen, hidden, state

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Decode ``[..., P or H]`` to logits ``[..., V]``; log-probabilities are logits too.

        They are what an adaptive softmax gives.
        """
        if self.decoder is not None:
            flat = np.ascontiguousarray(hidden, dtype=np.float32).reshape(-1, hidden.shape[-1])
            shape = (*hidden.shape[:-1], self.config.vocab_size)
            return self.decoder.decode(flat).reshape(shape)
        if self.config.cutoffs:
            c = self.config
            return log_probs(hidden, self.weights, c.vocab_size, c.cutoffs)
        name = "embedding.weight" if self.config.tied else "decoder.weight"
        scores: np.ndarray = hidden @ self.weights[name].T + self.weights["decoder.bias"]
        return scores

    def read(self, ids: Sequence[int], state: State | None = None) -> tuple[np.ndarray, State]:
        """Logits ``[V]`` of the token after ``ids``, and the state; starts a line if none is given.

        Raises:
            ValueError: no tokens and a state, so that there is nothing to read.
        """
        if state is None:
            ids, state = [self.tokenizer.eol_id, *ids], self.initial_state()
        if not ids:
            raise ValueError("nothing to read")
        hidden, state = self.hidden(np.asarray(ids, dtype=np.int64)[:, None], state)
        return self.logits(hidden[-1, 0]), state

    @cached_property
    def word_mask(self) -> np.ndarray:
        """``[V]`` of bool: which tokens are words (start with a letter)."""
        return np.array([self.tokenizer.is_word(i) for i in range(self.config.vocab_size)])

    # -- conveniences: each opens the room that does the work --------------------------------------

    def next_words(self, text: str, k: int = 5, prefix: str | None = None) -> list[Prediction]:
        """The ``k`` likeliest next words after ``text``; see ``predict.next_word``."""
        from carousel.predict.next_words import predict_next

        return predict_next(self, text, k=k, prefix=prefix)

    def generate(self, text: str = "", **settings: Any) -> str:
        """``text`` continued; see ``predict.generation.generate`` for the settings."""
        from carousel.predict.generation import generate

        return text + "".join(generate(self, text, **settings))

    def session(self) -> Session:
        """A session that keeps the state, so that each further word costs one step."""
        from carousel.predict.session import Session

        return Session(self)

    def evaluate(
        self, sources: Sequence[str | Path], on_progress: Callable[[int, int], None] | None = None
    ) -> Evaluation:
        """Perplexity, recall and keystrokes saved on files; see ``evaluate.evaluate``."""
        from carousel.evaluate import evaluate
        from carousel.text.files import find_files

        return evaluate(self, find_files(sources), on_progress=on_progress)

    def trace(self, text: str, *, only: Sequence[str] | None = None, logits: bool = True) -> Trace:
        """Every gate, cell and hidden state at every word of ``text``; see ``lens.trace``.

        ``only`` names what to record (all by default); ``logits=False`` leaves out the next-word
        distributions. For many texts at once: ``lens.trace.trace_texts``.
        """
        from carousel.lens.trace import trace_text

        return trace_text(self, text, only=only, logits=logits)

    def clamp(self, name: str, value: Any = None, **how: Any) -> AbstractContextManager[Held]:
        """Hold a gate, as a context; the model itself stays as it is.

        ::

            with model.clamp("forget", 1.0, layer=0, at="friend", units=[3, 7]) as held:
                held.next_words(text)

        See ``lens.clamp.Clamp`` for the ways to hold a gate, and ``lens.clamp.hold`` for several.
        """
        from carousel.lens.clamp import Clamp, hold

        return hold(self, Clamp(name, value, **how))

    def effect(
        self, text: str, clamp: Any, *, compare: tuple[str, str] | None = None, k: int = 5
    ) -> Effect:
        """The prediction after ``text`` before and after a clamp; see ``lens.effect``."""
        from carousel.lens.effect import measure_effect

        return measure_effect(self, text, clamp, compare=compare, k=k)

    def compare(self, first: str, second: str) -> Comparison:
        """Two texts aligned word by word, and where their gates part ways; see ``lens.compare``."""
        from carousel.lens.compare import compare_texts

        return compare_texts(self, first, second)
