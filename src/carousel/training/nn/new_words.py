"""Weights for new words at the end of a model's vocabulary, where fine-tuning begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from carousel.storage.config import Config
from carousel.text.tokenizer import Tokenizer


def add_words(
    config: Config, weights: Mapping[str, np.ndarray], counts: np.ndarray
) -> tuple[Config, dict[str, np.ndarray]]:
    """A model that knows more words, each of which is at first as the unknown word was.

    With a full softmax, a new word has the unknown word's vectors, and they all share the unknown
    word's probability by their counts: its bias ``b`` becomes ``b + log(count / total)``. So every
    word that was known keeps the probability that it had, exactly. In an adaptive softmax, whose
    clusters have no biases, new words join the last cluster, the one of the rarest words, with the
    mean of its vectors.

    Args:
        config: the model's configuration, of V words.
        weights: its weights by name, float32.
        counts: how often each id occurs in the text to train on, ``[V + new]``.

    Returns:
        The configuration and the weights with the new words; the ones given where there are none.

    >>> import numpy as np
    >>> config = Config("rnn", 3, embedding_size=2, hidden_size=2, layers=1, tied=True)
    >>> weights = {"embedding.weight": np.eye(3, 2), "decoder.bias": np.zeros(3)}
    >>> larger, grown = add_words(config, weights, np.array([1, 9, 9, 3]))
    >>> grown["embedding.weight"][3].tolist(), np.exp(grown["decoder.bias"]).round(2).tolist()
    ([1.0, 0.0], [0.25, 1.0, 1.0, 0.75])
    """
    known = config.vocab_size
    new = len(counts) - known
    if new == 0:
        return config, dict(weights)
    grown = dict(weights)
    unknown = Tokenizer.unknown_id
    rare = slice(config.cutoffs[-1], known) if config.cutoffs else slice(unknown, unknown + 1)
    if config.cutoffs:
        last = f"decoder.tail.{len(config.cutoffs) - 1}.1.weight"
        tables = {"embedding.weight": rare} | ({} if config.tied else {last: slice(None)})
    else:
        tables = dict.fromkeys(["embedding.weight"] + ["decoder.weight"] * (not config.tied), rare)
        shared = np.maximum(counts[[unknown, *range(known, len(counts))]], 1)
        bias = weights["decoder.bias"]
        biases = bias[unknown] + np.log(shared / shared.sum())
        grown["decoder.bias"] = np.concatenate([bias, biases[1:]]).astype(bias.dtype)
        grown["decoder.bias"][unknown] = biases[0]
    for name, rows in tables.items():
        mean = grown[name][rows].mean(axis=0, keepdims=True)
        grown[name] = np.concatenate([grown[name], np.repeat(mean, new, axis=0)])
    return replace(config, vocab_size=len(counts)), grown
