"""Activation regularization: penalties on large and on quickly changing hidden states."""

from __future__ import annotations

from torch import Tensor


def activation_penalty(dropped: Tensor, hidden: Tensor, alpha: float, beta: float) -> Tensor:
    r"""The penalty that is added to the loss.

    ``alpha * mean(dropped ** 2) + beta * mean((hidden[t + 1] - hidden[t]) ** 2)``: activation
    regularization (AR) and temporal activation regularization (TAR).

    Source: Merity, McCann & Socher 2017 (arXiv:1708.01009); Merity et al. 2018 (arXiv:1708.02182,
    section 4.6).

    Args:
        dropped: what the decoder reads, ``[T, B, P or H]``.
        hidden: the same before dropout, ``[T, B, P or H]``.
        alpha: the weight of AR.
        beta: the weight of TAR.

    Returns:
        A scalar.

    >>> import torch
    >>> ones = torch.ones(3, 1, 2)
    >>> activation_penalty(ones, ones, alpha=2.0, beta=1.0)
    tensor(2.)
    """
    penalty = alpha * dropped.square().mean()
    if beta and len(hidden) > 1:
        penalty = penalty + beta * (hidden[1:] - hidden[:-1]).square().mean()
    return penalty
