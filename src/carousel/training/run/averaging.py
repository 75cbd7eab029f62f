"""Averaged weights: the mean of a network's weights over many steps, which is what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

NON_MONOTONE = 5
"""How many validations NT-ASGD looks back."""


class WeightAverage:
    """The running average of weights: exponential (EMA), or over all steps once triggered.

    ``ema``: ``average = decay * average + (1 - decay) * weight`` at each step. While fewer steps
    were made than the decay looks back, the decay is ``(1 + n) / (10 + n)``, so that the first
    weights don't stay in it.

    ``nt-asgd``: the mean over all steps since validation was no better than the best one more than
    ``NON_MONOTONE`` validations ago. Before that there is no average.

    Source: Merity et al. 2018 (arXiv:1708.02182, section 3 and algorithm 1).

    Args:
        kind: ``ema`` or ``nt-asgd``.
        weights: the weights by name, as they are before the first step.
        decay: of ``ema``.

    >>> weight = torch.zeros(1)
    >>> average = WeightAverage("ema", {"w": weight}, decay=0.9)
    >>> weight += 1
    >>> average.update({"w": weight})
    >>> 0 < average.weights["w"].item() < 1
    True
    """

    def __init__(self, kind: str, weights: Mapping[str, Tensor], decay: float) -> None:
        self.kind, self.decay = kind, decay
        self.weights = {name: weight.detach().clone() for name, weight in weights.items()}
        """The average, by name."""
        self.steps = 0
        """How many steps are in it."""
        self.triggered = kind == "ema"
        """Whether steps are averaged."""

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights after one more step into the average, if it has been triggered."""
        if not self.triggered:
            return
        self.steps += 1
        if self.kind == "ema":
            change = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        else:
            change = 1 / self.steps
        for name, average in self.weights.items():
            average.lerp_(weights[name], change)

    def look_at(self, valid_losses: Sequence[float]) -> None:
        """Trigger NT-ASGD if the last validation is no better than one long ago.

        Args:
            valid_losses: the losses of all validations so far, the newest last.
        """
        if self.triggered or len(valid_losses) <= NON_MONOTONE:
            return
        self.triggered = valid_losses[-1] > min(valid_losses[:-NON_MONOTONE])
