"""Generation: one sampled token after the other, as text; several texts side by side."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from carousel.errors import SettingsError
from carousel.inference.model import RecurrentLM
from carousel.inference.state import State, join_sequences, take_sequences
from carousel.predict.beam_search import search_text
from carousel.predict.blocked_words import BlockedWords
from carousel.predict.next_words import block_words, encode_known, read_ids, split_space
from carousel.predict.sampling import GenerationSettings, TokenRules, sampling_distribution
from carousel.text.decode_stream import DecodeStream
from carousel.text.tokenizer import Tokenizer

BATCH = 64
"""Texts that are stepped together at most."""


def generate(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str = "",
    *,
    seed: int | None = None,
    num_beams: int = 1,
    bad_words: BlockedWords | Sequence[str] = (),
    **settings: Any,
) -> Iterator[str]:
    """Continue ``text``, piece by piece; the pieces joined to ``text`` are the whole.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        text: what to continue; empty for the start of a line.
        seed: the same seed gives the same text.
        num_beams: above 1, the likeliest of so many texts that are followed side by side (beam
            search), and nothing is sampled; it comes in one piece.
        bad_words: words that are never generated, in lower or upper case.
        settings: the fields of ``GenerationSettings``: ``max_tokens``, ``temperature``, ``top_k``,
            ``top_p``, ``repetition_penalty``, ``no_repeat_ngram_size`` and ``stop``.

    The unknown word is never sampled.

    Raises:
        SettingsError: a setting out of its range.
        PredictionError: no word of the text is known.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> text = "krish likes pizza so he"
    >>> "".join(generate(lm.model, lm.tokenizer, text, max_tokens=2, temperature=0))
    ' orders pizza'
    """
    blocked = block_words(tokenizer, bad_words)
    continuation = Continuation.of_text(tokenizer, text, seed=seed, bad_words=blocked, **settings)
    if num_beams != 1:
        return iter([search_text(model, continuation, num_beams)])
    return _pieces(model, continuation)


def generate_batch(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    num_return_sequences: int = 1,
    seed: int | None = None,
    bad_words: BlockedWords | Sequence[str] = (),
    **settings: Any,
) -> list[list[str]]:
    """Continue several texts, each several times, all stepped together.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        texts: what to continue.
        num_return_sequences: how many continuations of each text.
        seed: continuation ``n`` of each text is what ``generate`` gives with ``seed + n``.
        bad_words: words that are never generated.
        settings: those of ``generate``.

    Returns:
        For each text, its continuations.

    Raises:
        SettingsError: a setting out of its range.
        PredictionError: no word of a text is known.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> texts = ["krish likes pizza so he", "krish likes soup so he"]
    >>> generate_batch(lm.model, lm.tokenizer, texts, max_tokens=2, temperature=0)
    [[' orders pizza'], [' orders soup']]
    """
    if num_return_sequences < 1:
        raise SettingsError(f"num_return_sequences must be at least 1, not {num_return_sequences}")
    blocked = block_words(tokenizer, bad_words)
    continuations = [
        Continuation.of_text(
            tokenizer,
            text,
            seed=None if seed is None else seed + number,
            bad_words=blocked,
            **settings,
        )
        for text in texts
        for number in range(num_return_sequences)
    ]
    pieces: list[str] = []
    for first in range(0, len(continuations), BATCH):
        pieces += _step_together(model, continuations[first : first + BATCH])
    rows = range(0, len(pieces), num_return_sequences)
    return [pieces[row : row + num_return_sequences] for row in rows]


class Continuation:
    """A text that is continued token by token: whoever owns the model gives it the logits.

    Args:
        tokenizer: the model's tokenizer.
        ids: the token ids that are continued.
        seed: see ``generate``.
        bad_words: see ``generate``.
        space_first: the text ends in a space that is not among the ids: the first token must begin
            with one.
        settings: the fields of ``GenerationSettings``.

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
        seed: int | None = None,
        bad_words: BlockedWords | Sequence[str] = (),
        space_first: bool = False,
        **settings: Any,
    ) -> None:
        if seed is not None and seed < 0:
            raise SettingsError(f"seed must be 0 or more, not {seed}")
        self.tokenizer, self.ids = tokenizer, list(ids)
        self.settings = GenerationSettings(**_as_tuple(settings))
        self.rules = TokenRules(
            tokenizer,
            self.settings,
            self.ids,
            block_words(tokenizer, bad_words),
            space_first=space_first,
        )
        self.token = -1
        """The id that was drawn last."""
        self.count = 0
        """How many tokens were drawn."""
        self.finish_reason: str | None = None
        """``"stop"`` where a stop text came up or no token may follow, ``"length"`` after
        ``max_tokens``; else None."""
        self.drop_space = False
        """Whether a space at the beginning is left out: the text ends in one."""
        self._rng = np.random.default_rng(seed)
        self._stream = DecodeStream(tokenizer)
        self._stream.skip(self.ids)
        self._text = ""
        """What was drawn and not shown yet."""
        # A stop text may come in several pieces: so much is held back until it can't be one.
        self._held = max((len(end) for end in self.settings.stop), default=1) - 1

    @classmethod
    def of_text(cls, tokenizer: Tokenizer, text: str, **arguments: Any) -> Continuation:
        """The continuation of a text; the arguments are those of the class.

        Raises:
            SettingsError: a setting out of its range.
            PredictionError: no word of the text is known.
        """
        read, _ = split_space(tokenizer, text)
        space_first = read != text
        continuation = cls(
            tokenizer, encode_known(tokenizer, read), space_first=space_first, **arguments
        )
        written = tokenizer.kind in ("words", "whitespace")  # these write spaces of their own
        continuation.drop_space = space_first or (written and text[-1:].isspace())
        return continuation

    def add(self, logits: np.ndarray) -> str:
        """Draw one token and return the text that is certain by now: often a word, at times none.

        Args:
            logits: ``[V]``: the scores of the next token, after the ids and all drawn tokens.
        """
        settings = self.settings
        scores = self.rules.apply(logits)
        if scores is None:
            return self.end("stop")
        p = sampling_distribution(scores, settings.temperature, settings.top_k, settings.top_p)
        return self.accept(int(self._rng.choice(len(p), p=p)))

    def accept(self, token: int) -> str:
        """Take a token that was chosen, and return the text that is certain by now."""
        self.token = token
        self.count += 1
        self.rules.accept(token)
        self._text += self._stream.step(token)
        if self.count >= self.settings.max_tokens:
            return self.end("length")
        return self._show(held=self._held)

    def end(self, reason: str) -> str:
        """End the text, and return the rest of it."""
        self.finish_reason = reason
        rest = self._stream.finish()
        # A character that is cut off is no text.
        self._text += rest.rstrip("\N{REPLACEMENT CHARACTER}") if self.rules.pending else rest
        if self.rules.in_blocked_word():
            self._text = self.tokenizer.split_prefix(self._text)[0]
        return self._show(held=0)

    def _show(self, *, held: int) -> str:
        """The text that can be shown, all but the last ``held`` characters and a blocked word."""
        if self.drop_space and self._text:
            self._text, self.drop_space = self._text.removeprefix(" "), False
        ends = [at for end in self.settings.stop if (at := self._text.find(end)) >= 0]
        if ends:
            self.finish_reason = "stop"
            shown, self._text = self._text[: min(ends)], ""
            return shown
        if self.rules.blocked and self.rules.alphabet is not None and self.finish_reason is None:
            # The last word may become one that is blocked.
            held = max(held, len(self.tokenizer.split_prefix(self._text)[1]))
        ready = max(0, len(self._text) - held)
        shown, self._text = self._text[:ready], self._text[ready:]
        return shown

    def copy(self) -> Continuation:
        """The same continuation at the same place, which goes on on its own."""
        copied = copy.copy(self)
        copied.rules = self.rules.copy()
        copied._stream = self._stream.copy()
        return copied


def _as_tuple(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "stop": tuple(settings.get("stop", ()))}


def _pieces(model: RecurrentLM, continuation: Continuation) -> Iterator[str]:
    hidden, state = read_ids(model, continuation.tokenizer, continuation.ids)
    logits = model.logits(hidden)
    while True:
        piece = continuation.add(logits)
        if piece:
            yield piece
        if continuation.finish_reason is not None:
            return
        scores, state = model.step([continuation.token], state)
        logits = scores[0]


def _step_together(model: RecurrentLM, continuations: Sequence[Continuation]) -> list[str]:
    """The text of each continuation; all that have not ended are stepped as one batch."""
    texts = [""] * len(continuations)
    readings: dict[tuple[int, ...], tuple[np.ndarray, State]] = {}
    for continuation in continuations:
        ids = tuple(continuation.ids)
        if ids not in readings:
            readings[ids] = read_ids(model, continuation.tokenizer, ids)
    hidden, states = zip(*(readings[tuple(c.ids)] for c in continuations), strict=True)
    logits, state = model.logits(np.stack(hidden)), join_sequences(states)
    going = list(range(len(continuations)))
    while going:
        for row, number in enumerate(going):
            texts[number] += continuations[number].add(logits[row])
        rows = [row for row, n in enumerate(going) if continuations[n].finish_reason is None]
        going = [going[row] for row in rows]
        if going:
            tokens = [continuations[number].token for number in going]
            logits, state = model.step(tokens, take_sequences(state, rows))
    return texts
