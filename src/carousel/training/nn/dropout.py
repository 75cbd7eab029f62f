"""Dropout whose random numbers take little of a CPU's time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 2**16
"""Steps in which a probability can be given: each element is decided by 16 random bits."""


class Dropout(nn.Module):
    """As ``nn.Dropout``: zeros with probability ``p``, the others scaled up by ``1 / (1 - p)``.

    PyTorch decides each element by a random float64, one after the other on one thread, which a
    small network's step feels. Here ``p`` is rounded to a multiple of ``2 ** -16``, and
    four elements share a draw of 64 bits. On other devices it is PyTorch's own.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape."""
        if not self.training or self.p == 0:
            return x
        if not x.is_cpu:
            return F.dropout(x, self.p)
        dropped = round(self.p * LEVELS)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
        mask = (bits >= dropped - LEVELS // 2).to(x.dtype)
        return x * mask.mul_(LEVELS / (LEVELS - dropped))
