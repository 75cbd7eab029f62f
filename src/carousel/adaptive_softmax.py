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
    input_size: int,
    vocab_size: int,
    cutoffs: Sequence[int],
    tail_sizes: Sequence[int],
    *,
    tied: bool = False,
) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of the decoder, by name.

    Args:
        input_size: how many values the decoder reads, ``P`` or ``H``.
        vocab_size: ``V``.
        cutoffs: the first id of each cluster.
        tail_sizes: the width of each cluster.
        tied: whether the words' rows are the embedding's.

    >>> decoder_shapes(4, 10, (3, 7), (2, 1))["decoder.head.bias"]
    (5,)
    """
    head_size = cutoffs[0] + len(cutoffs)
    shapes: dict[str, tuple[int, ...]] = {
        "decoder.head.bias": (head_size,),
        "decoder.clusters.weight" if tied else "decoder.head.weight": (
            len(cutoffs) if tied else head_size,
            input_size,
        ),
    }
    for number, (ids, size) in enumerate(
        zip(clusters(vocab_size, cutoffs), tail_sizes, strict=True)
    ):
        shapes[f"decoder.tail.{number}.0.weight"] = (size, input_size)
        if not tied:
            shapes[f"decoder.tail.{number}.1.weight"] = (len(ids), size)
    return shapes


def clusters(vocab_size: int, cutoffs: Sequence[int]) -> list[range]:
    """The ids of each cluster.

    >>> clusters(10, (3, 7))
    [range(3, 7), range(7, 10)]
    """
    return [range(*pair) for pair in zip(cutoffs, [*cutoffs[1:], vocab_size], strict=True)]


def logit_difference_direction(
    weights: Mapping[str, np.ndarray], vocab_size: int, cutoffs: Sequence[int], a: int, b: int
) -> np.ndarray | None:
    """The vector ``d`` for which ``log p(a) - log p(b) = d · x + constant``.

    Args:
        weights: the decoder's weights in float32, by the names of ``decoder_shapes``.
        vocab_size: ``V``.
        cutoffs: the first id of each cluster.
        a: the id of one word.
        b: the id of the other.

    Returns:
        ``[P or H]``, or None where the words are neither both in the head nor both in one cluster:
        only there does what normalises them cancel.
    """
    for number, ids in enumerate(clusters(vocab_size, cutoffs)):
        if a in ids and b in ids:
            rows = weights[f"decoder.tail.{number}.1.weight"]
            in_cluster: np.ndarray = rows[a - ids.start] - rows[b - ids.start]
            direction: np.ndarray = in_cluster @ weights[f"decoder.tail.{number}.0.weight"]
            return direction
    if max(a, b) >= cutoffs[0]:
        return None
    head = weights["decoder.head.weight"]
    direction = head[a] - head[b]
    return direction


def log_probs(
    hidden: np.ndarray, weights: Mapping[str, np.ndarray], vocab_size: int, cutoffs: Sequence[int]
) -> np.ndarray:
    """The log-probability of every token.

    Args:
        hidden: what the decoder reads, ``[..., P or H]``.
        weights: the decoder's weights in float32, by the names of ``decoder_shapes``.
        vocab_size: ``V``.
        cutoffs: the first id of each cluster.

    Returns:
        ``[..., V]``
    """
    head = log_softmax(hidden @ weights["decoder.head.weight"].T + weights["decoder.head.bias"])
    head_words = cutoffs[0]
    log_probabilities: np.ndarray = np.empty((*hidden.shape[:-1], vocab_size), dtype=head.dtype)
    log_probabilities[..., :head_words] = head[..., :head_words]
    for number, ids in enumerate(clusters(vocab_size, cutoffs)):
        inner = hidden @ weights[f"decoder.tail.{number}.0.weight"].T
        tail = log_softmax(inner @ weights[f"decoder.tail.{number}.1.weight"].T)
        log_probabilities[..., ids.start : ids.stop] = tail + head[..., head_words + number, None]
    return log_probabilities
