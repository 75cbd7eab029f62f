"""N-gram language models: what a recurrent model's perplexity is compared with.

A perplexity alone says little: 50 is good on one text and bad on another. A unigram knows how often
each token occurs, and nothing else. A 5-gram also knows which tokens stood after which four. It is
made in seconds, and a recurrent model that is no better than it has learned little that counting
would not give.

Interpolated Kneser-Ney smoothing with three discounts for each order ("modified"), as in Chen &
Goodman 1998, *An Empirical Study of Smoothing Techniques for Language Modeling*, and in KenLM. All
counts are arrays, so that a million tokens take about a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ORDER = 5
MOST_TRAINED = 4_000_000
"""Training tokens that ``measure_baselines`` counts: the last ones of a longer text."""
MOST_SCORED = 4_000_000
"""Tokens that ``measure_baselines`` predicts: the first ones of a longer text."""
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Discounts where a text is too small to estimate them: those of KenLM."""


@dataclass(frozen=True)
class Baselines:
    """Perplexities of a unigram and a 5-gram, trained and measured on a model's own tokens."""

    unigram: float
    five_gram: float


@dataclass(frozen=True)
class _Order:
    """The grams of one length. A gram's number is its place among the sorted ``keys``."""

    keys: np.ndarray
    """``[G]``, sorted: ``shorter * vocab_size + first``, where ``shorter`` is the number of the
    gram without its first token."""
    discounted: np.ndarray
    """``[G]``: ``(count - discount) / count of the context``."""
    backoff: np.ndarray
    """``[C]``: the weight of the shorter context, by the context's number; 1 where a context was
    never seen with a word after it."""


class NGramModel:
    """An interpolated Kneser-Ney model of token ids.

    Args:
        ids: the training text, ``[N]``.
        vocab_size: number of kinds of tokens (V). Every one has a probability above 0.
        order: the length of the longest grams: 1 for a unigram.

    >>> import numpy as np
    >>> text = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    >>> model = NGramModel(text, vocab_size=3, order=2)
    >>> model.perplexity(np.array([0, 1, 2]), start=2)
    1.5
    """

    def __init__(self, ids: np.ndarray, vocab_size: int, order: int = ORDER) -> None:
        self.vocab_size = vocab_size
        text = np.asarray(ids, dtype=np.int64)
        order = min(order, len(text))
        # Grams grow to the left, so that a gram's key leads to the gram without its first token.
        # ``numbers[t]`` is the number of the gram of the present length that starts at t.
        numbers = np.zeros(len(text) + 1, dtype=np.int64)
        keys, contexts, counts = [], [], np.zeros(0, dtype=np.int64)
        for _ in range(order):
            context, shorter = numbers[:-1], numbers[1:]
            pairs = shorter * vocab_size + text[: len(shorter)]
            found, where, numbers, counts = np.unique(
                pairs, return_index=True, return_inverse=True, return_counts=True
            )
            keys.append(found)
            contexts.append(context[where])
        self._orders = []
        for at in range(order):
            # The longest grams count as often as they occur. A shorter one counts as often as there
            # are different tokens before it.
            adjusted = counts if at == order - 1 else np.bincount(
                keys[at + 1] // vocab_size, minlength=len(keys[at])
            )  # fmt: skip
            size = len(keys[at - 1]) if at else 1
            self._orders.append(_smooth(keys[at], contexts[at], adjusted, size))

    def log_probs(self, ids: np.ndarray, *, start: int | None = None) -> np.ndarray:
        """``log p(ids[t] | ids[:t])`` in nats, ``[N]``.

        Args:
            ids: the text, ``[N]``.
            start: the token that stands before the text, such as a line's end; None if nothing is
                known of it.
        """
        text = np.asarray(ids, dtype=np.int64)
        if start is not None:
            text = np.concatenate([[start], text])
        probability = np.full(len(text), 1 / self.vocab_size)
        # The number of the gram that ends at each position, -1 if training never had it.
        ends = np.zeros(len(text), dtype=np.int64)
        for length, order in enumerate(self._orders, 1):
            context = np.zeros(len(text), dtype=np.int64)
            if length > 1:
                context[1:], context[0] = ends[:-1], -1
            first = np.full(len(text), -1)
            first[length - 1 :] = text[: len(text) - length + 1]
            known = (ends >= 0) & (first >= 0)
            key = np.where(known, ends * self.vocab_size + first, -1)
            place = np.minimum(np.searchsorted(order.keys, key), len(order.keys) - 1)
            seen = order.keys[place] == key
            ends = np.where(seen, place, -1)
            backoff = np.where(context >= 0, order.backoff[np.maximum(context, 0)], 1.0)
            probability = backoff * probability + np.where(seen, order.discounted[place], 0.0)
        logs: np.ndarray = np.log(probability[0 if start is None else 1 :])
        return logs

    def perplexity(self, ids: np.ndarray, *, start: int | None = None) -> float:
        """``exp(mean of -log p)`` of a text ``[N]``; see ``log_probs``."""
        return math.exp(-float(self.log_probs(ids, start=start).mean()))


def measure_baselines(
    train_ids: np.ndarray, ids: np.ndarray, vocab_size: int, eol_id: int
) -> Baselines:
    """Train a unigram and a 5-gram on one text and measure them on another.

    Args:
        train_ids: the text to train on, ``[N]``.
        ids: the text to predict, ``[M]``.
        vocab_size: number of kinds of tokens (V).
        eol_id: the line end, which stands before ``ids``.

    Returns:
        both perplexities per token.
    """
    train, scored = np.asarray(train_ids[-MOST_TRAINED:]), np.asarray(ids[:MOST_SCORED])
    unigram, five_gram = (
        NGramModel(train, vocab_size, order).perplexity(scored, start=eol_id)
        for order in (1, ORDER)
    )
    return Baselines(unigram, five_gram)


def _smooth(keys: np.ndarray, contexts: np.ndarray, counts: np.ndarray, size: int) -> _Order:
    """Discount the counts of one length, and give what was taken to the shorter contexts."""
    discounts = np.array([0.0, *_discounts(counts)])
    taken = np.minimum(discounts[np.minimum(counts, 3)], counts)
    totals = np.bincount(contexts, counts, minlength=size)
    left = np.bincount(contexts, taken, minlength=size)
    backoff = np.divide(left, totals, out=np.ones(size), where=totals > 0)
    # A gram at the text's very start has no continuation before it, and so may its context.
    share = np.divide(
        counts - taken, totals[contexts], out=np.zeros(len(counts)), where=totals[contexts] > 0
    )
    return _Order(keys, share, backoff)


def _discounts(counts: np.ndarray) -> tuple[float, ...]:
    """What is taken from grams that were seen once, twice, and more often (equation 26)."""
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    estimated = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    in_range = all(0 <= value <= k for k, value in enumerate(estimated, 1))
    return estimated if in_range else FALLBACK_DISCOUNTS
