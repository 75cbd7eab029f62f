"""The optimizer, and its learning rate over a run."""

from __future__ import annotations

import math

import torch

from carousel.training.nn.network import Network
from carousel.training.settings import Settings

OPTIMIZER_STATE = {"adamw": ("step", "exp_avg", "exp_avg_sq"), "sgd": ()}
"""The names of the tensors that each optimizer keeps for each parameter."""


def learning_rate_factor(fraction: float, warmup: float, schedule: str = "cosine") -> float:
    """The learning rate at a point of the run, as a fraction of the highest one.

    It rises linearly, then falls to 0 along half a cosine, or stays.

    Args:
        fraction: how much of the run is done, 0 to 1.
        warmup: the fraction of the run in which the rate rises.
        schedule: ``cosine`` or ``constant``.

    >>> learning_rate_factor(0.05, 0.1), learning_rate_factor(0.1, 0.1)
    (0.5, 1.0)
    """
    if fraction < warmup:
        return max(fraction / warmup, 1e-3)
    if schedule == "constant":
        return 1.0
    return 0.5 + 0.5 * math.cos(math.pi * (fraction - warmup) / (1 - warmup))


def make_optimizer(
    network: Network, settings: Settings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or plain SGD over all parameters of the network."""
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
    return torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        # 0.99 where the default is 0.999: runs here are thousands of steps, not millions.
        betas=(0.9, 0.99),
        weight_decay=settings.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )
