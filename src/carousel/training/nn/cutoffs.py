"""Where an adaptive softmax divides a vocabulary, and how wide its clusters are."""

from __future__ import annotations

import numpy as np

MAX_CLUSTERS = 3
CANDIDATES = 96
"""Number of ids that are tried as a cutoff."""
CLUSTER_COST = 200
"""The cost of one more cluster for every word, in rows of the decoder."""


def choose_cutoffs(counts: np.ndarray) -> tuple[int, ...]:
    """The cutoffs at which a word costs the fewest rows of the decoder.

    A word reads the whole head, and the whole of its own cluster if it is in one.
    ``CLUSTER_COST`` is added for each cluster (Grave et al. 2017, section 4.3, with the sizes of
    the matrices as the cost).

    Args:
        counts: how often each id occurs in the training text, ``[V]``.

    Returns:
        The first id of each cluster; empty if the full softmax costs no more.

    >>> choose_cutoffs(np.ones(100))
    ()
    """
    total, vocab_size = counts.sum(), len(counts)
    cumulative = np.concatenate([[0], np.cumsum(counts)]) / total

    def cost(start: int, end: int) -> float:
        """Mean cost per word of the cluster of the ids from ``start`` to below ``end``."""
        return CLUSTER_COST + float(cumulative[end] - cumulative[start]) * (end - start)

    # From the back: the cheapest way to have n clusters of which the first starts at each id.
    plans: dict[int, tuple[float, tuple[int, ...]]] = {
        start: (cost(start, vocab_size), (start,)) for start in candidate_cutoffs(vocab_size)
    }
    best: tuple[float, tuple[int, ...]] = (float(vocab_size), ())
    for _ in range(MAX_CLUSTERS):
        best = min([best, *((cuts[0] + rest, cuts) for rest, cuts in plans.values())])
        plans = {
            start: min((cost(start, cuts[0]) + rest, (start, *cuts)) for rest, cuts in later)
            for start in plans
            if (later := [plan for plan in plans.values() if plan[1][0] > start])
        }
    return best[1]


def candidate_cutoffs(vocab_size: int) -> list[int]:
    """The ids that are tried as a cutoff: evenly spaced on a logarithmic scale.

    >>> candidate_cutoffs(20)
    [16, 17, 18, 19]
    """
    candidates = np.geomspace(min(16, vocab_size), vocab_size, CANDIDATES)
    return sorted({int(candidate) for candidate in candidates} - {vocab_size})


def choose_tail_sizes(width: int, count: int, *, tied: bool) -> tuple[int, ...]:
    """The width of each cluster: rare words need fewer dimensions (Grave et al. 2017, section 4.2).

    Args:
        width: what the decoder reads (P or H).
        count: the number of clusters.
        tied: with tied embeddings every cluster is as wide as the embedding; otherwise each has a
            quarter of the width of the one before it.

    >>> choose_tail_sizes(200, 3, tied=False)
    (50, 12, 3)
    """
    return tuple(width if tied else max(1, width // 4 ** (n + 1)) for n in range(count))


def count_tokens(ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each id occurs in ``ids [N]``, which may be memory-mapped: ``[V]``.

    >>> count_tokens(np.array([1, 3, 1]), 4).tolist()
    [0, 2, 0, 1]
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    chunk = 2**22
    for start in range(0, len(ids), chunk):
        counts += np.bincount(ids[start : start + chunk], minlength=vocab_size)
    return counts
