"""The decoder in training: the full softmax, its sampled estimate, or the adaptive one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from carousel.adaptive_softmax import clusters
from carousel.training.nn.loss import (
    adaptive_cross_entropy,
    linear_cross_entropy,
    sampled_cross_entropy,
)

SAMPLES = 2048
"""Words drawn for a batch by the sampled softmax."""
MOST_CLUSTERS = 3
PLACES = 96
"""Places at which a vocabulary may be parted."""
CLUSTER_COST = 200
"""What it costs a word that there is one more cluster, in rows of the decoder."""


class FullDecoder(nn.Module):
    """A row and a bias a word. ``sampled`` trains it on an estimate of its loss."""

    def __init__(
        self, width: int, vocab_size: int, tied: nn.Parameter | None, *, sampled: bool = False
    ) -> None:
        super().__init__()
        self.sampled = sampled
        self.weight = start(vocab_size, width) if tied is None else tied
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of ``targets [N]`` from ``hidden [N, P or H]``."""
        if self.sampled and self.training and len(self.weight) > SAMPLES:
            return sampled_cross_entropy(hidden, self.weight, self.bias, targets, SAMPLES)
        return linear_cross_entropy(hidden, self.weight, self.bias, targets)

    def named_weights(self) -> dict[str, Tensor]:
        """Its weights by the names of a model folder."""
        return {"decoder.weight": self.weight, "decoder.bias": self.bias}


class AdaptiveDecoder(nn.Module):
    """Frequent words in a head, rare ones in clusters (see ``adaptive``).

    Tied, the words' rows are those of the embedding, and each cluster starts as the full softmax
    would have it: what it reads is passed on unchanged.
    """

    def __init__(
        self,
        width: int,
        vocab_size: int,
        cutoffs: Sequence[int],
        tail_sizes: Sequence[int],
        tied: nn.Parameter | None,
    ) -> None:
        super().__init__()
        self.cutoffs = tuple(cutoffs)
        self.tied = tied is not None
        rows = cutoffs[0] + len(cutoffs)
        if tied is None:
            self.words = start(rows, width)
        else:
            self.words = tied
            self.clusters = start(len(cutoffs), width)
        self.bias = nn.Parameter(torch.zeros(rows))
        self.narrow = nn.ParameterList(
            torch.eye(width) if self.tied else nn.init.xavier_uniform_(torch.empty(size, width))
            for size in tail_sizes
        )
        self.wide = nn.ParameterList(
            []
            if self.tied
            else [
                start(len(ids), size)
                for ids, size in zip(clusters(vocab_size, cutoffs), tail_sizes, strict=True)
            ]
        )

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of ``targets [N]`` from ``hidden [N, P or H]``."""
        if self.tied:
            head, tails = [self.words, self.clusters, self.bias], list(self.narrow)
        else:
            head = [self.words, self.bias]
            tails = [one for pair in zip(self.narrow, self.wide, strict=True) for one in pair]
        return adaptive_cross_entropy(hidden, head, tails, targets, self.cutoffs)

    def named_weights(self) -> dict[str, Tensor]:
        """Its weights by the names of a model folder."""
        own = self.clusters if self.tied else self.words
        name = "decoder.clusters.weight" if self.tied else "decoder.head.weight"
        weights: dict[str, Tensor] = {name: own, "decoder.head.bias": self.bias}
        for half, tails in enumerate((self.narrow, self.wide)):
            weights |= {f"decoder.tail.{n}.{half}.weight": tail for n, tail in enumerate(tails)}
        return weights


def start(rows: int, width: int) -> nn.Parameter:
    """A matrix of small random numbers, as PyTorch's linear layers start."""
    bound = width**-0.5
    return nn.Parameter(torch.empty(rows, width).uniform_(-bound, bound))


def choose_cutoffs(counts: np.ndarray) -> tuple[int, ...]:
    """Where to part a vocabulary so that a word costs the fewest rows of the decoder.

    ``counts [V]`` is how often each id is seen in training. A word reads the whole head, and the
    whole of its own cluster if it is in one; ``CLUSTER_COST`` is added for each cluster (Grave et
    al. 2017, section 4.3, with the sizes of the matrices as the cost).
    Empty where the full softmax is no dearer.
    """
    total, words = counts.sum(), len(counts)
    seen = np.concatenate([[0], np.cumsum(counts)]) / total

    def cost(start: int, end: int) -> float:
        """Of the cluster from ``start`` to ``end``, a word."""
        return CLUSTER_COST + float(seen[end] - seen[start]) * (end - start)

    # From the back: the cheapest way to have n clusters of which the first starts at each place.
    plans: dict[int, tuple[float, tuple[int, ...]]] = {
        end: (cost(end, words), (end,)) for end in places(words)
    }
    best: tuple[float, tuple[int, ...]] = (float(words), ())
    for _ in range(MOST_CLUSTERS):
        best = min([best, *((cuts[0] + rest, cuts) for rest, cuts in plans.values())])
        plans = {
            start: min((cost(start, cuts[0]) + rest, (start, *cuts)) for rest, cuts in later)
            for start in plans
            if (later := [plan for plan in plans.values() if plan[1][0] > start])
        }
    return best[1]


def places(words: int) -> list[int]:
    """Where a vocabulary may be parted: evenly on a scale of ratios, as word counts fall."""
    return sorted({int(at) for at in np.geomspace(min(16, words), words, PLACES)} - {words})


def choose_tail_sizes(width: int, count: int, *, tied: bool) -> tuple[int, ...]:
    """The width of each cluster: the embedding's where tied, else a quarter of the one before.

    Grave et al. 2017, section 4.2: rare words need fewer dimensions.
    """
    return tuple(width if tied else max(1, width // 4 ** (n + 1)) for n in range(count))


def count_words(ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each id is in ``ids [N]``, memory-mapped or not: ``[V]``."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for at in range(0, len(ids), 2**22):
        counts += np.bincount(ids[at : at + 2**22], minlength=vocab_size)
    return counts
