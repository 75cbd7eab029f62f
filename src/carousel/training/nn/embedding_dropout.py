"""Embedding dropout: whole words are dropped, at all their places in a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EmbeddingDropout(nn.Module):
    """Sets the embedding of some kinds of words to zero and scales that of the others.

    A word is dropped at all its places in a batch or at none, and the others are multiplied by
    ``1 / (1 - p)``: dropout on the rows of the embedding's matrix.

    Source: Gal & Ghahramani 2016 (arXiv:1512.05287); Merity et al. 2018 (arXiv:1708.02182,
    section 4.3).

    Args:
        vocab_size: V.
        p: the probability, 0 to less than 1.

    >>> vectors, ids = torch.ones(2, 1, 3), torch.tensor([[4], [4]])
    >>> y = EmbeddingDropout(5, 0.5)(vectors, ids)
    >>> bool((y[0] == y[1]).all())
    True
    """

    def __init__(self, vocab_size: int, p: float) -> None:
        super().__init__()
        self.vocab_size, self.p = vocab_size, p

    def forward(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """The words' ``vectors [T, B, E]`` of the ``ids [T, B]``, some of them zero."""
        if not self.training or self.p == 0:
            return vectors
        draws = torch.rand(self.vocab_size, device=vectors.device)
        scales = (draws >= self.p).to(vectors.dtype) / (1 - self.p)
        return vectors * scales[ids].unsqueeze(-1)
