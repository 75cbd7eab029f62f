"""From the scores of the next token to one that is drawn, under the rules of generation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from carousel.errors import SettingsError
from carousel.predict.alphabet import alphabet_of
from carousel.predict.blocked_words import BlockedWords
from carousel.softmax import softmax
from carousel.text.byte_level import split_partial
from carousel.text.tokenizer import MASK, Tokenizer


@dataclass(frozen=True)
class GenerationSettings:
    """How a text is continued; the names are those of transformers where it has them.

    Raises:
        SettingsError: a setting is out of its range.
    """

    max_tokens: int = 50
    """The most tokens to add."""
    temperature: float = 1.0
    """Logits are divided by it; 0 takes the likeliest token always."""
    top_k: int = 0
    """Sample among the ``k`` likeliest only; 0 for all."""
    top_p: float = 1.0
    """Sample among the fewest likeliest tokens that together have this probability (Holtzman et
    al. 2020, arXiv:1904.09751, section 3.1)."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that the text holds become less likely: a logit above 0 is divided by it,
    one below 0 multiplied (Keskar et al. 2019, arXiv:1909.05858, section 4.1)."""
    no_repeat_ngram_size: int = 0
    """No ``n`` tokens in a row come up twice; 0 turns this off."""
    stop: tuple[str, ...] = ()
    """Generation ends before the first of these that comes up."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise SettingsError(f"max_tokens must be at least 1, not {self.max_tokens}")
        for name in ("temperature", "repetition_penalty"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise SettingsError(f"{name} must be 0 or more, not {value}")
        if self.repetition_penalty == 0:
            raise SettingsError("repetition_penalty must be more than 0")
        for name in ("top_k", "no_repeat_ngram_size"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 < self.top_p <= 1:
            raise SettingsError(f"top_p must be more than 0 and at most 1, not {self.top_p}")
        if any(not end for end in self.stop):
            raise SettingsError("an empty stop text would stop at once")


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


class TokenRules:
    """Which tokens may come next in one text, and how likely: changes scores, token by token.

    The unknown word never comes. Byte pairs never make bytes that are no text.

    Args:
        tokenizer: the model's tokenizer.
        settings: the rules.
        ids: what stands before.
        blocked: words that never come.
        space_first: the first token must begin with a space: the text ends in one, which was not
            read yet ("token healing").
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: GenerationSettings,
        ids: Sequence[int],
        blocked: BlockedWords,
        *,
        space_first: bool = False,
    ) -> None:
        self.tokenizer, self.settings, self.blocked = tokenizer, settings, blocked
        self.alphabet = None if tokenizer.whole_words else alphabet_of(tokenizer)
        self.space_first = space_first
        mask = tokenizer.id(MASK)  # padding, in models of Keras
        self.never = [tokenizer.unknown_id, *([] if mask is None else [mask])]
        self.pending = b""
        """The bytes of a character that is not whole yet."""
        self.word = ""
        """The text since the last white space, in which the last word is found."""
        self.seen: set[int] = set()
        self.last: tuple[int, ...] = ()
        """The last ``n - 1`` tokens."""
        self.following: dict[tuple[int, ...], set[int]] = {}
        """What came after each ``n - 1`` tokens."""
        self._remember(ids)
        if blocked and self.alphabet is not None:
            self.word = tokenizer.decode(ids)[-64:]

    def copy(self) -> TokenRules:
        """The same rules at the same place, which go on on their own."""
        copied = object.__new__(TokenRules)
        copied.__dict__.update(self.__dict__)
        copied.seen = set(self.seen)
        copied.following = {key: set(ids) for key, ids in self.following.items()}
        return copied

    def apply(self, logits: np.ndarray) -> np.ndarray | None:
        """The scores ``[V]`` of the next token under the rules; None where no token is left."""
        settings = self.settings
        scores = np.array(logits, dtype=np.float64)
        if settings.repetition_penalty != 1 and self.seen:
            seen = np.fromiter(self.seen, dtype=np.int64)
            penalty = settings.repetition_penalty
            values = scores[seen]
            scores[seen] = np.where(values < 0, values * penalty, values / penalty)
        scores[self.never] = -np.inf
        repeated = self.following.get(self.last)
        if repeated:
            scores[list(repeated)] = -np.inf
        if self.alphabet is None:
            if self.blocked:
                scores[self.blocked.mask] = -np.inf
        else:
            if self.tokenizer.kind == "bpe":
                scores[~self.alphabet.valid(self.pending)] = -np.inf
            if self.space_first:
                scores[~self.alphabet.spaced] = -np.inf
            if self.in_blocked_word():
                # The word must become another one.
                scores[~self.alphabet.go_on(self.pending)] = -np.inf
        return scores if np.isfinite(scores.max()) else None

    def accept(self, id: int) -> None:
        """Go on to the place after a token."""
        self._remember([id])
        self.space_first = False
        if self.alphabet is None:
            return
        if id == self.tokenizer.eol_id:
            self.word = ""
            return
        text, self.pending = split_partial(self.pending + self.alphabet.surfaces[id]) or ("", b"")
        if self.blocked:
            self.word = (self.word + text)[-64:]

    def in_blocked_word(self) -> bool:
        """Whether the text ends in a word that must not stand there."""
        if not self.blocked or self.alphabet is None:
            return False
        word = self.tokenizer.normalize(self.tokenizer.split_prefix(self.word)[1])
        return bool(word) and word in self.blocked

    def _remember(self, ids: Iterable[int]) -> None:
        if self.settings.repetition_penalty != 1:
            self.seen.update(ids)
        size = self.settings.no_repeat_ngram_size
        if not size:
            return
        for id in ids:
            if len(self.last) == size - 1:
                self.following.setdefault(self.last, set()).add(id)
            self.last = (*self.last, id)[1 - size :] if size > 1 else ()
