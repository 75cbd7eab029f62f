"""When a run's loss is lost: it is not finite any more, or it has exploded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

EXPLODED = 5.0
"""Nats above those of a uniform guess: a mean loss above that is an explosion."""


class LostError(Exception):
    """The loss is not finite, or has exploded."""


def check_mean(mean: float, vocab_size: int | None = None, what: str = "the loss") -> None:
    """Raise LostError where a mean loss is not finite, or far above that of a uniform guess."""
    if not math.isfinite(mean):
        raise LostError(f"{what} is not finite")
    if vocab_size and mean > math.log(vocab_size) + EXPLODED:
        raise LostError(f"{what} has exploded to {mean:.1f} nats per token")


def check_finite(tensors: Sequence[Tensor]) -> None:
    """Raise LostError where a tensor holds what is not finite."""
    sums = [tensor.detach().sum() for tensor in tensors]
    if not torch.isfinite(torch.stack(sums)).all().item():
        raise LostError("the loss is not finite")
