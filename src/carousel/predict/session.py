"""A session: text that grows, with the state kept, so that each further word costs one step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carousel.cells import State
from carousel.model import LanguageModel
from carousel.predict.next_words import Prediction, rank_words


class Session:
    """Reads on from where it stands; a copy is a branch.

    ``state`` is plain data, and the caller's: two sessions of one model share nothing else.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.reset()

    def reset(self) -> None:
        """Start a new line."""
        self.logits: np.ndarray
        self.state: State
        self.logits, self.state = self.model.read([])
        self.line_start = True

    def feed(self, text: str | Sequence[int]) -> None:
        """Read further whole words, or token ids."""
        ids = self.model.tokenizer.encode(text) if isinstance(text, str) else list(text)
        if ids:
            self.logits, self.state = self.model.read(ids, self.state)
            self.line_start = ids[-1] == self.model.tokenizer.eol_id

    def next_words(self, k: int = 5, prefix: str | None = None) -> list[Prediction]:
        """The likeliest next words; see ``predict_next``."""
        return rank_words(
            self.model, self.logits, self.state, k, prefix, line_start=self.line_start
        )

    def copy(self) -> Session:
        """A session that stands at the same place and goes its own way."""
        other = object.__new__(Session)
        other.__dict__.update(self.__dict__)
        return other
