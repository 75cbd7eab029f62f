"""The adaptive softmax: frequent words in a head, rare ones in clusters behind it.

Grave et al. 2017, "Efficient softmax approximation for GPUs" (arXiv:1609.04309), with the weights
and the names of ``torch.nn.AdaptiveLogSoftmaxWithLoss``. Ids are ordered by frequency, as
tokenizers of words and characters number them: ids below ``cutoffs[0]`` are rows of the head;
cluster ``i`` has the ids from ``cutoffs[i]`` to below ``cutoffs[i + 1]`` (the last one to below
``V``), one row of the head that stands for the whole of it, and a smaller width of its own::

    log p(w) = log_softmax(W_head x + b)[w]                                       w in the head
    log p(w) = log_softmax(W_head x + b)[cutoffs[0] + i]
             + log_softmax(W_i1 W_i0 x)[w - cutoffs[i]]                           w in cluster i

Every distribution is exact: a probability needs no word outside the head and its own cluster.

Tied with the embedding, all words' rows are the embedding's: the head's weight is its first
``cutoffs[0]`` rows and ``decoder.clusters.weight``, and each ``W_i1`` is the rows of its cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from carousel.softmax import log_softmax


def decoder_shapes(
    width: int,
    vocab_size: int,
    cutoffs: Sequence[int],
    tail_sizes: Sequence[int],
    *,
    tied: bool = False,
) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of the decoder, by name; ``width`` is what it reads."""
    head = cutoffs[0] + len(cutoffs)
    shapes: dict[str, tuple[int, ...]] = {
        "decoder.head.bias": (head,),
        "decoder.clusters.weight" if tied else "decoder.head.weight": (
            len(cutoffs) if tied else head,
            width,
        ),
    }
    for number, (words, size) in enumerate(
        zip(clusters(vocab_size, cutoffs), tail_sizes, strict=True)
    ):
        shapes[f"decoder.tail.{number}.0.weight"] = (size, width)
        if not tied:
            shapes[f"decoder.tail.{number}.1.weight"] = (len(words), size)
    return shapes


def clusters(vocab_size: int, cutoffs: Sequence[int]) -> list[range]:
    """The ids of each cluster."""
    return [range(*pair) for pair in zip(cutoffs, [*cutoffs[1:], vocab_size], strict=True)]


def difference(
    weights: Mapping[str, np.ndarray], vocab_size: int, cutoffs: Sequence[int], a: int, b: int
) -> np.ndarray | None:
    """The vector ``d [P or H]`` for which ``log p(a) - log p(b) = d . x`` and a constant.

    It is there where both words are in the head or in the same cluster, so that all that
    normalises them cancels; None where they are not.
    """
    for number, words in enumerate(clusters(vocab_size, cutoffs)):
        if a in words and b in words:
            rows = weights[f"decoder.tail.{number}.1.weight"]
            apart: np.ndarray = rows[a - words.start] - rows[b - words.start]
            inner: np.ndarray = apart @ weights[f"decoder.tail.{number}.0.weight"]
            return inner
    if max(a, b) >= cutoffs[0]:
        return None
    head = weights["decoder.head.weight"]
    apart_in_head: np.ndarray = head[a] - head[b]
    return apart_in_head


def log_probs(
    hidden: np.ndarray, weights: Mapping[str, np.ndarray], vocab_size: int, cutoffs: Sequence[int]
) -> np.ndarray:
    """``hidden [..., P or H]`` to the log-probability of every token, ``[..., V]``.

    ``weights`` are float32, by the names of ``decoder_shapes``.
    """
    head = log_softmax(hidden @ weights["decoder.head.weight"].T + weights["decoder.head.bias"])
    first = cutoffs[0]
    log_probabilities: np.ndarray = np.empty((*hidden.shape[:-1], vocab_size), dtype=head.dtype)
    log_probabilities[..., :first] = head[..., :first]
    for number, words in enumerate(clusters(vocab_size, cutoffs)):
        small = hidden @ weights[f"decoder.tail.{number}.0.weight"].T
        tail = log_softmax(small @ weights[f"decoder.tail.{number}.1.weight"].T)
        log_probabilities[..., words.start : words.stop] = tail + head[..., first + number, None]
    return log_probabilities
