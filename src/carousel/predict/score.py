"""How likely a text is: the log-probability of each of its tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from carousel.errors import PredictionError
from carousel.inference.model import RecurrentLM
from carousel.softmax import log_sum_exp
from carousel.text.tokenizer import Tokenizer

BLOCK = 256
"""Words that are read at a time."""
LOGIT_BYTES = 48 * 2**20
"""The most memory that logits take at a time."""


@dataclass(frozen=True)
class Score:
    """The score of a text."""

    tokens: list[str]
    """The tokens as the model reads them; the last is the end of the line."""
    log_probabilities: np.ndarray
    """``[N]``: of each token after all before it, in nats."""
    unknown: int
    """How many of the tokens are unknown to the model; they count as the unknown word."""

    @property
    def log_probability(self) -> float:
        """Of the whole text, in nats."""
        return float(self.log_probabilities.sum())

    @property
    def perplexity(self) -> float:
        """Per token: ``exp`` of the mean negative log-probability."""
        return math.exp(min(-self.log_probability / len(self.tokens), 700.0))


def score_text(model: RecurrentLM, tokenizer: Tokenizer, text: str) -> Score:
    """Score ``text`` and the end of its line, read after the end of a line.

    Raises:
        PredictionError: the text is empty.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> likely = score_text(lm.model, lm.tokenizer, "krish likes pizza so he orders pizza")
    >>> odd = score_text(lm.model, lm.tokenizer, "krish likes pizza so he orders burger")
    >>> likely.log_probability > odd.log_probability
    True
    """
    if not text.strip():
        raise PredictionError("there is no text to score")
    ids = [*tokenizer.encode(text.removesuffix("\n")), tokenizer.eol_id]
    log_probabilities = np.empty(len(ids))
    inputs = np.array([tokenizer.eol_id, *ids[:-1]], dtype=np.int64)
    targets = np.array(ids, dtype=np.int64)
    state = model.initial_state()
    rows = min(BLOCK, max(1, LOGIT_BYTES // (4 * model.config.vocab_size)))
    for first in range(0, len(ids), rows):
        reading = model.read(inputs[first : first + rows, None], state)
        state = reading.state
        logits = model.logits(reading.hidden[:, 0]).astype(np.float64)
        here = targets[first : first + rows]
        log_probabilities[first : first + rows] = logits[np.arange(len(here)), here] - log_sum_exp(
            logits
        )
    unknown = sum(i == tokenizer.unknown_id for i in ids)
    return Score([tokenizer.token(i) for i in ids], log_probabilities, unknown)
