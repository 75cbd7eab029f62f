"""How sure a number is: intervals over stories, and the spread over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

DRAWS = 1000


def interval(
    values: np.ndarray, groups: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The 95% interval of the mean over stories, by the bootstrap (Efron 1979).

    Whole groups are drawn, as stories that tell the same facts are no independent evidence.

    Args:
        values: ``[N, ...]``, one row a story.
        groups: ``[N]``: which facts each story tells.
        draws: how many times groups are drawn.
        seed: of the draws.

    Returns:
        The lower and the upper end, ``[...]`` each.
    """
    names, which = np.unique(groups, return_inverse=True)
    rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, which, rows)
    counts = np.bincount(which).astype(np.float64)
    rng = np.random.default_rng(seed)
    # How often each group is drawn, instead of the groups themselves: two products do the rest for
    # all columns at once. scipy.stats.bootstrap agrees (the tests ask it), but draws one by one.
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    means = (times @ sums) / (times @ counts)[:, None]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    shape = np.shape(values)[1:]
    return low.reshape(shape), high.reshape(shape)


def summarize(values: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Of ``values [seeds, N, ...]``: the mean, its interval over stories, and each seed's mean.

    The interval is of the mean over these seeds; how much another seed may differ is what the
    seeds' own means show.
    """
    values = np.asarray(values, dtype=np.float64)
    low, high = interval(values.mean(0), groups)
    return {
        "mean": values.mean((0, 1)).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "seeds": values.mean(1).tolist(),
    }


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share, ``right`` of ``count`` (Wilson 1927).

    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    """
    ends = binomtest(right, count).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)
