"""How the weights move: the optimizer, and the rate over a run."""

from __future__ import annotations

import math

import torch

from carousel.training.nn.network import Network
from carousel.training.settings import Settings

MOMENTS = {"adamw": ("step", "exp_avg", "exp_avg_sq"), "sgd": ()}
"""What each optimizer gathers of each weight."""


def schedule(fraction: float, warmup: float) -> float:
    """The rate's factor at ``fraction`` of the run: a linear rise, then half a cosine down to 0."""
    if fraction < warmup:
        return max(fraction / warmup, 1e-3)
    return 0.5 + 0.5 * math.cos(math.pi * (fraction - warmup) / (1 - warmup))


def make_optimizer(
    network: Network, settings: Settings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or plain SGD over all of the network's weights."""
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
