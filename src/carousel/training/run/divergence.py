"""Divergence: a loss that is not finite any more, or has exploded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

EXPLOSION_MARGIN = 5.0
"""A mean loss this many nats above that of a uniform guess is an explosion."""


class DivergenceError(Exception):
    """The loss is not finite, or has exploded. The run goes back to its last checkpoint."""


def check_loss(loss: float, vocab_size: int | None = None, name: str = "the loss") -> None:
    """Check a mean loss.

    Args:
        loss: nats per token.
        vocab_size: V; if given, a loss far above ``log V`` is refused too.
        name: what the loss is called in the message.

    Raises:
        DivergenceError: it is not finite, or has exploded.

    >>> check_loss(2.3, vocab_size=100)
    """
    if not math.isfinite(loss):
        raise DivergenceError(f"{name} is not finite")
    if vocab_size and loss > math.log(vocab_size) + EXPLOSION_MARGIN:
        raise DivergenceError(f"{name} has exploded to {loss:.1f} nats per token")


def check_finite(tensors: Sequence[Tensor]) -> None:
    """Check that all values of all tensors are finite.

    Raises:
        DivergenceError: one is not.
    """
    sums = [tensor.detach().sum() for tensor in tensors]
    if not torch.isfinite(torch.stack(sums)).all().item():
        raise DivergenceError("the loss is not finite")
