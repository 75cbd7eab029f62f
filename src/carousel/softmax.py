"""Softmax, log-softmax and log-sum-exp over the last axis, which never overflow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def softmax(logits: np.ndarray | Sequence[float]) -> np.ndarray:
    """Probabilities ``[..., V]`` of logits ``[..., V]``, in float64.

    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    scores = np.asarray(logits, dtype=np.float64)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities ``[..., V]`` of logits ``[..., V]``, in the logits' own type.

    >>> log_softmax(np.array([0.0, 0.0])).round(4).tolist()
    [-0.6931, -0.6931]
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probabilities


def log_sum_exp(scores: np.ndarray) -> np.ndarray:
    """``log Σ exp(scores)`` over the last axis: ``[..., V]`` gives ``[...]``; -inf for no scores.

    >>> float(log_sum_exp(np.log([0.25, 0.5])).round(4))
    -0.2877
    """
    if not scores.shape[-1]:
        return np.full(scores.shape[:-1], -np.inf)
    highest = scores.max(axis=-1, keepdims=True)
    highest = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        sums: np.ndarray = np.log(np.exp(scores - highest).sum(axis=-1))
    return sums + highest[..., 0]
