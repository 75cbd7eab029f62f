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
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def decoder_shapes(
    width: int, vocab_size: int, cutoffs: Sequence[int], tail_sizes: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of the decoder, by name; ``width`` is what it reads."""
    head = cutoffs[0] + len(cutoffs)
    shapes: dict[str, tuple[int, ...]] = {
        "decoder.head.weight": (head, width),
        "decoder.head.bias": (head,),
    }
    for number, (words, size) in enumerate(
        zip(clusters(vocab_size, cutoffs), tail_sizes, strict=True)
    ):
        shapes[f"decoder.tail.{number}.0.weight"] = (size, width)
        shapes[f"decoder.tail.{number}.1.weight"] = (len(words), size)
    return shapes


def clusters(vocab_size: int, cutoffs: Sequence[int]) -> list[range]:
    """The ids of each cluster."""
    return [range(*pair) for pair in zip(cutoffs, [*cutoffs[1:], vocab_size], strict=True)]


def log_probs(
    hidden: np.ndarray, weights: Mapping[str, np.ndarray], vocab_size: int, cutoffs: Sequence[int]
) -> np.ndarray:
    """``hidden [..., P or H]`` to the log-probability of every token, ``[..., V]``.

    ``weights`` are float32, by the names of ``decoder_shapes``.
    """
    head = log_softmax(hidden @ weights["decoder.head.weight"].T + weights["decoder.head.bias"])
    first = cutoffs[0]
    made: np.ndarray = np.empty((*hidden.shape[:-1], vocab_size), dtype=head.dtype)
    made[..., :first] = head[..., :first]
    for number, words in enumerate(clusters(vocab_size, cutoffs)):
        small = hidden @ weights[f"decoder.tail.{number}.0.weight"].T
        tail = log_softmax(small @ weights[f"decoder.tail.{number}.1.weight"].T)
        made[..., words.start : words.stop] = tail + head[..., first + number, None]
    return made


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    made: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return made
