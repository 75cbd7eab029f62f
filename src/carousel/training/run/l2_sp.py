"""L2-SP: fine-tuned weights are pulled back to where they started, so that less is forgotten."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class L2SP:
    """The pull of a run's weights to its starting point.

    Li, Grandvalet & Davoine 2018 (arXiv:1802.01483, equation 2) add ``alpha/2 |w - w0|^2`` to the
    loss. Here the pull is decoupled from the gradient, as AdamW's weight decay is: after each step
    ``w = w - rate * alpha * (w - w0)``, so that Adam does not rescale it.

    Args:
        weights: the weights by name, as they are before the first step (``w0``).
        strength: ``alpha``; below 1 when multiplied by the rate (``Settings`` checks it).

    >>> weight = torch.zeros(1)
    >>> pull = L2SP({"w": weight}, strength=5.0)
    >>> weight += 1
    >>> pull.apply({"w": weight}, learning_rate=0.1)
    >>> weight.item()
    0.5
    """

    def __init__(self, weights: Mapping[str, Tensor], strength: float) -> None:
        self.start = {name: weight.detach().clone() for name, weight in weights.items()}
        self.strength = strength

    @torch.no_grad()
    def apply(self, weights: Mapping[str, Tensor], learning_rate: float) -> None:
        """Pull the weights, in place, after a step of the optimizer at ``learning_rate``."""
        for name, weight in weights.items():
            weight.lerp_(self.start[name], learning_rate * self.strength)
