"""What speaks for one next word and what for another: each word's share of the decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from carousel.lens.names import find_word
from carousel.lens.tokens import display_words
from carousel.lens.trace import Trace
from carousel.predict.word_index import word_index

LIKELY = 0.01
"""A word that is less likely than this in another's place is no alternative to it."""


class Decision(NamedTuple):
    """``logit(first) - logit(second)`` after a text, shared out to the text's ``T`` words."""

    words: list[str]
    """The ``T`` words as a screen shows them; the first is the line start."""
    compare: tuple[str, str]
    """The two next words that are weighed against each other."""
    shares: np.ndarray
    """``[T]``, in logits: the part through each word's luggage in the last layer."""
    bias: float
    """The part, in logits, that is there before any word: the difference of the two biases."""

    @property
    def total(self) -> float:
        """``logit(first) - logit(second)``: the sum of the shares and the bias."""
        return float(self.shares.sum()) + self.bias

    @property
    def winner(self) -> str:
        """The likelier one of the two words."""
        return self.compare[0] if self.total >= 0 else self.compare[1]

    def for_winner(self) -> np.ndarray:
        """``[T]``: the shares turned so that what is above 0 speaks for the winner."""
        return self.shares if self.total >= 0 else -self.shares

    def own_share(self) -> float | None:
        """What the winner's own luggage gives to the winner, in logits; None if it is not read."""
        own = [t for t, word in enumerate(self.words) if word == self.winner]
        return float(self.for_winner()[own].sum()) if own else None


def measure_decision(trace: Trace, compare: tuple[str, str]) -> Decision:
    """Share out the decision between two next words at a text's end.

    The account is exact (see ``Belt.decision``): shares and bias add up to the two logits'
    difference.

    Args:
        trace: the model's reading of the text, with its model.
        compare: two words of the vocabulary.

    Raises:
        LensError: an unknown word, a plain RNN (it has no belt), or a trace without its model.

    >>> import carousel
    >>> trace = carousel.load().trace("krish likes pizza but he orders")
    >>> decision = measure_decision(trace, ("pizza", "burger"))
    >>> decision.winner, len(decision.shares)
    ('pizza', 7)
    """
    shares = trace.belt().decision(*compare)
    model, tokenizer = trace.model, trace.tokenizer
    assert model is not None  # decision() refuses a trace without its model
    assert tokenizer is not None
    bias = model.weights["decoder.bias"]
    first, second = (find_word(tokenizer.tokens(), word)[0] for word in compare)
    return Decision(display_words(trace), compare, shares, float(bias[first]) - float(bias[second]))


def words_to_compare(traces: Sequence[Trace]) -> tuple[str, str] | None:
    """The two next words that a picture should tell apart, if the texts say which.

    Of two texts: their likeliest next words, where these differ. Of one text: its likeliest next
    word, if it stands in the text, and the word of the text that could best have stood in its
    place, by the model's own probabilities; in the text's order.

    Args:
        traces: one trace or two, with their distributions.

    Returns:
        The two words; None where the texts don't say, or where tokens are not whole words.
    """
    likeliest: list[str] = []
    for trace in traces:
        if trace.tokenizer is None or trace.logits is None or not trace.tokenizer.whole_words:
            return None
        logits = np.where(word_index(trace.tokenizer).mask, trace.logits[-1], -np.inf)
        likeliest.append(trace.tokenizer.token(int(logits.argmax())))
    if len(traces) == 1:
        other = _alternative(traces[0], likeliest[0])
        if other is None:
            return None
        likeliest = sorted([likeliest[0], other], key=traces[0].words.index)
    return (likeliest[0], likeliest[1]) if len(set(likeliest)) == 2 else None


def _alternative(trace: Trace, word: str) -> str | None:
    """The word of the text that was likeliest in the place of ``word``, or it in that word's."""
    if word not in trace.words[1:]:
        return None
    place = trace.words.index(word, 1)
    # Row t - 1 is what was expected at position t.
    expected = trace.probabilities[:-1]
    likely = np.maximum(expected[place - 1, trace.ids[1:]], expected[:, trace.ids[place]])
    likely[trace.ids[1:] == trace.ids[place]] = 0
    other = int(likely.argmax())
    return trace.words[1:][other] if likely[other] >= LIKELY else None
