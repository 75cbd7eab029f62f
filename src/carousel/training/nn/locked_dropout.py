"""Locked (variational) dropout: one mask for all words of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from carousel.training.nn.dropout import Dropout


class LockedDropout(Dropout):
    """Dropout that drops the same elements at every word of a sequence.

    Source: Gal & Ghahramani 2016 (arXiv:1512.05287), as Merity et al. 2018 (arXiv:1708.02182,
    section 4.2) use it between the layers of a language model.

    Args:
        p: the probability, 0 to 1.

    >>> _ = torch.manual_seed(0)
    >>> y = LockedDropout(0.5)(torch.ones(3, 1, 4))
    >>> bool((y[0] == y[1]).all() and (y[1] == y[2]).all())
    True
    """

    def forward(self, x: Tensor) -> Tensor:
        """``x [T, B, H]`` in training mode with one mask ``[1, B, H]``, unchanged otherwise."""
        if not self.training or self.p == 0:
            return x
        return x * super().forward(torch.ones_like(x[:1]))
