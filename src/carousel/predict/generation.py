"""Generation: one sampled token after the other, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from carousel.errors import SettingsError
from carousel.inference.model import RecurrentLM
from carousel.predict.next_words import encode_known, read_ids
from carousel.softmax import softmax
from carousel.text.tokenizer import Tokenizer


def generate(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str = "",
    *,
    max_tokens: int = 50,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | None = None,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """Continue ``text``, piece by piece; the pieces joined to ``text`` are the whole.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        text: what to continue; empty for the start of a line.
        max_tokens: the most tokens to add.
        temperature: logits are divided by it; 0 takes the likeliest token always.
        top_k: sample among the ``k`` likeliest only; 0 for all.
        top_p: sample among the fewest likeliest tokens that together have this probability
            (Holtzman et al. 2020, arXiv:1904.09751, section 3.1).
        seed: the same seed gives the same text.
        stop: generation ends before the first of these that comes up.

    The unknown word is never sampled.

    Raises:
        SettingsError: a setting out of its range.
        PredictionError: no word of the text is known.
    """
    ids = encode_known(tokenizer, text)
    continuation = Continuation(
        tokenizer,
        ids,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=stop,
    )
    return _pieces(model, tokenizer, ids, continuation)


def sampling_distribution(
    logits: np.ndarray, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> np.ndarray:
    """The probabilities ``[V]`` that a token is drawn with, given logits ``[V]``."""
    if temperature == 0:
        return np.asarray(np.arange(len(logits)) == np.argmax(logits), dtype=np.float64)
    p = softmax(np.asarray(logits, dtype=np.float64) / temperature)
    if top_k == 0 and top_p == 1:
        return p
    order = np.argsort(-p, kind="stable")
    kept = len(p) if top_k == 0 else min(top_k, len(p))
    if top_p < 1:
        kept = min(kept, int(np.searchsorted(np.cumsum(p[order]), top_p)) + 1)
    p[order[kept:]] = 0
    kept_probabilities: np.ndarray = p / p.sum()
    return kept_probabilities


class Continuation:
    """A text that is continued token by token: whoever owns the model gives it the logits.

    Args:
        tokenizer: the model's tokenizer.
        ids: the token ids that are continued.
        max_tokens: as the other arguments, see ``generate``.
        temperature: see ``generate``.
        top_k: see ``generate``.
        top_p: see ``generate``.
        seed: see ``generate``.
        stop: see ``generate``.

    Raises:
        SettingsError: a setting out of its range.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> ids = lm.tokenizer.encode("krish likes pizza so he")
    >>> continuation = Continuation(lm.tokenizer, ids, max_tokens=2, temperature=0)
    >>> hidden, state = read_ids(lm.model, lm.tokenizer, ids)
    >>> text = continuation.add(lm.model.logits(hidden))
    >>> scores, state = lm.model.step([continuation.token], state)
    >>> text + continuation.add(scores[0])
    ' orders pizza'
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        ids: Sequence[int],
        *,
        max_tokens: int,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> None:
        if max_tokens < 1:
            raise SettingsError(f"max_tokens must be at least 1, not {max_tokens}")
        if not (temperature >= 0 and math.isfinite(temperature)):
            raise SettingsError(f"temperature must be 0 or more, not {temperature}")
        if top_k < 0:
            raise SettingsError(f"top_k must be 0 or more, not {top_k}")
        if not 0 < top_p <= 1:
            raise SettingsError(f"top_p must be more than 0 and at most 1, not {top_p}")
        if seed is not None and seed < 0:
            raise SettingsError(f"seed must be 0 or more, not {seed}")
        if any(not end for end in stop):
            raise SettingsError("an empty stop text would stop at once")
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self.temperature, self.top_k, self.top_p, self.stop = temperature, top_k, top_p, stop
        self.token = -1
        """The id that was drawn last."""
        self.count = 0
        """How many tokens were drawn."""
        self.finish_reason: str | None = None
        """``"stop"`` where a stop text came up, ``"length"`` after ``max_tokens``; else None."""
        self._rng = np.random.default_rng(seed)
        # Lines are written each on its own: only the last one can still change.
        lines = len(ids) - 1 - ids[::-1].index(tokenizer.eol_id) if tokenizer.eol_id in ids else -1
        self._line = list(ids[lines + 1 :])
        self._skipped = len(tokenizer.decode(self._line))
        self._finished_lines = ""
        self._shown = 0
        # A stop text may come in several pieces: so much is held back until it can't be one.
        self._held = max((len(end) for end in stop), default=1) - 1

    def add(self, logits: np.ndarray) -> str:
        """Draw one token and return the text that is certain by now: often a word, at times none.

        Args:
            logits: ``[V]``: the scores of the next token, after the ids and all drawn tokens. That
                of the unknown word is changed: it is never drawn.
        """
        logits[self.tokenizer.unknown_id] = -np.inf
        p = sampling_distribution(logits, self.temperature, self.top_k, self.top_p)
        self.token = int(self._rng.choice(len(p), p=p))
        self.count += 1
        if self.count == self.max_tokens:
            self.finish_reason = "length"
        if self.token == self.tokenizer.eol_id:
            self._finished_lines = self._text() + "\n"
            self._line, self._skipped = [], 0
        else:
            self._line.append(self.token)
        text = self._text()
        # What was shown can't hold the beginning of a stop text: that is held back.
        ends = [start for end in self.stop if (start := text.find(end, self._shown)) >= 0]
        if ends:
            self.finish_reason = "stop"
            return text[self._shown : min(ends)]
        # Half of a character's bytes decodes to U+FFFD: wait for the other half.
        ready = len(text.rstrip("\N{REPLACEMENT CHARACTER}")) - self._held
        if self.finish_reason == "length":
            ready = len(text)
        piece = text[self._shown : max(ready, self._shown)]
        self._shown += len(piece)
        return piece

    def _text(self) -> str:
        """All that was drawn so far."""
        return self._finished_lines + self.tokenizer.decode(self._line)[self._skipped :]


def _pieces(
    model: RecurrentLM, tokenizer: Tokenizer, ids: list[int], continuation: Continuation
) -> Iterator[str]:
    hidden, state = read_ids(model, tokenizer, ids)
    logits = model.logits(hidden)
    while True:
        piece = continuation.add(logits)
        if piece:
            yield piece
        if continuation.finish_reason is not None:
            return
        scores, state = model.step([continuation.token], state)
        logits = scores[0]
