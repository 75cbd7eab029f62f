"""What a state can be read for: a linear readout, fitted on other stories than it is judged on."""

from __future__ import annotations

import numpy as np

PENALTY = 0.01
"""Of the ridge, for each row: enough to keep directions that hardly vary from deciding."""


def read_out(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The labels that a ridge regression on one column a label gives, ``[M]``.

    Args:
        known: states ``[N, H]`` whose labels are known.
        labels: ``[N]``.
        asked: states ``[M, H]``.
    """
    mean, spread = known.mean(0), known.std(0) + 1e-6
    names, which = np.unique(labels, return_inverse=True)
    x = np.column_stack([(known - mean) / spread, np.ones(len(known))])
    target = np.eye(len(names))[which]
    gram = x.T @ x + PENALTY * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ target)
    scores = np.column_stack([(asked - mean) / spread, np.ones(len(asked))]) @ weights
    chosen: np.ndarray = names[scores.argmax(1)]
    return chosen


def explained(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``[H]``: the share of each unit's variance that the label explains, ``η²`` (Fisher 1925).

    Args:
        values: ``[N, H]``.
        labels: ``[N]``, any number of kinds.
    """
    x = np.asarray(values, dtype=np.float64)
    x = x - x.mean(0)
    names, which = np.unique(labels, return_inverse=True)
    counts = np.bincount(which)[:, None]
    means = (np.eye(len(names))[which].T @ x) / counts
    total = (x * x).sum(0)
    share: np.ndarray = np.where(
        total > 0, (counts * means**2).sum(0) / np.maximum(total, 1e-300), 0
    )
    return share
