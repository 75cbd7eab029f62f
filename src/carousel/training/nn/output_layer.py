"""The output layers in training: full softmax, its sampled estimate, adaptive softmax.

The names of their parameters are those of checkpoints on disk.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from carousel.adaptive_softmax import clusters
from carousel.training.nn.loss import (
    adaptive_cross_entropy,
    linear_cross_entropy,
    sampled_cross_entropy,
)

SAMPLES = 2048
"""Number of words that the sampled softmax draws for a batch."""


class FullSoftmax(nn.Module):
    """A linear layer with a softmax over the vocabulary.

    Args:
        width: size of the vectors that it reads (P or H).
        vocab_size: V.
        tied: the embedding's weight ``[V, width]`` to use, or None for a weight of its own.
    """

    def __init__(self, width: int, vocab_size: int, tied: nn.Parameter | None) -> None:
        super().__init__()
        self.weight = uniform_parameter(vocab_size, width) if tied is None else tied
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of ``targets [N]`` given ``hidden [N, P or H]``."""
        return linear_cross_entropy(hidden, self.weight, self.bias, targets)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores ``[..., V]`` of the next word given ``hidden [..., P or H]``."""
        return F.linear(hidden, self.weight, self.bias)

    def named_weights(self) -> dict[str, Tensor]:
        """Its weights by their names in a model folder."""
        return {"decoder.weight": self.weight, "decoder.bias": self.bias}


class SampledSoftmax(FullSoftmax):
    """A full softmax that is trained on an estimate of its loss and evaluated exactly."""

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of ``targets [N]`` given ``hidden [N, P or H]``.

        It is an estimate in training mode, unless the vocabulary is as small as the sample.
        """
        if self.training and len(self.weight) > SAMPLES:
            return sampled_cross_entropy(hidden, self.weight, self.bias, targets, SAMPLES)
        return super().loss(hidden, targets)


class AdaptiveSoftmax(nn.Module):
    """An adaptive softmax: frequent words in a head, rare ones in clusters.

    See ``carousel.adaptive_softmax``. With tied embeddings the words' rows are the embedding's,
    and each cluster starts out as the full softmax would be: its first matrix is the identity.

    Args:
        width: size of the vectors that it reads (P or H).
        vocab_size: V.
        cutoffs: the first id of each cluster.
        tail_sizes: the width of each cluster.
        tied: the embedding's weight ``[V, width]`` to use, or None for weights of its own.
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
        head_rows = cutoffs[0] + len(cutoffs)
        if tied is None:
            self.words = uniform_parameter(head_rows, width)
        else:
            self.words = tied
            self.clusters = uniform_parameter(len(cutoffs), width)
        self.bias = nn.Parameter(torch.zeros(head_rows))
        self.narrow = nn.ParameterList(
            torch.eye(width) if self.tied else nn.init.xavier_uniform_(torch.empty(size, width))
            for size in tail_sizes
        )
        self.wide = nn.ParameterList(
            []
            if self.tied
            else [
                uniform_parameter(len(ids), size)
                for ids, size in zip(clusters(vocab_size, cutoffs), tail_sizes, strict=True)
            ]
        )

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of ``targets [N]`` given ``hidden [N, P or H]``."""
        if self.tied:
            head, tails = [self.words, self.clusters, self.bias], list(self.narrow)
        else:
            head = [self.words, self.bias]
            pairs = zip(self.narrow, self.wide, strict=True)
            tails = [weight for pair in pairs for weight in pair]
        return adaptive_cross_entropy(hidden, head, tails, targets, self.cutoffs)

    def logits(self, hidden: Tensor) -> Tensor:
        """Log-probabilities ``[..., V]`` of the next word given ``hidden [..., P or H]``.

        See ``carousel.adaptive_softmax.log_probs``.
        """
        first = self.cutoffs[0]
        if self.tied:
            rows = torch.cat([self.words[:first], self.clusters])
            ranges = clusters(len(self.words), self.cutoffs)
            wide = [self.words[ids.start : ids.stop] for ids in ranges]
        else:
            rows, wide = self.words, list(self.wide)
        head = F.log_softmax(F.linear(hidden, rows, self.bias), dim=-1)
        parts = [head[..., :first]]
        for number, (narrow, words) in enumerate(zip(self.narrow, wide, strict=True)):
            within = F.log_softmax(F.linear(F.linear(hidden, narrow), words), dim=-1)
            parts.append(within + head[..., first + number, None])
        return torch.cat(parts, dim=-1)

    def named_weights(self) -> dict[str, Tensor]:
        """Its weights by their names in a model folder."""
        own_rows = self.clusters if self.tied else self.words
        name = "decoder.clusters.weight" if self.tied else "decoder.head.weight"
        weights: dict[str, Tensor] = {name: own_rows, "decoder.head.bias": self.bias}
        for half, tails in enumerate((self.narrow, self.wide)):
            weights |= {f"decoder.tail.{n}.{half}.weight": tail for n, tail in enumerate(tails)}
        return weights


def uniform_parameter(rows: int, width: int) -> nn.Parameter:
    """A matrix ``[rows, width]`` of small random numbers, as PyTorch's linear layers start."""
    bound = width**-0.5
    return nn.Parameter(torch.empty(rows, width).uniform_(-bound, bound))
