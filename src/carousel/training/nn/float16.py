"""cuDNN's layers in float16, with gradients of a size that float16 can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

WORD_GRADIENT = 2**-4
"""The weight of a word's loss in float16 gradients. In a mean over thousands of words it is so
small that many gradients are below float16's smallest number, 6e-8. With a weight of 1, the sum
over a very large batch could be above its largest, 65504."""


def enter_float16(x: Tensor, scale: float) -> Tensor:
    """``x`` in float16. Its own gradient is what comes back divided by ``scale``, in float32.

    With ``leave_float16`` on what is computed from it, gradients are ``scale`` times as large while
    they are in float16, and nowhere else: loss scaling (Micikevicius et al. 2018, arXiv:1710.03740,
    section 3.2) for a part of a network.

    >>> x = torch.full((2,), 3.0, requires_grad=True)
    >>> y = leave_float16(enter_float16(x, 1024) ** 2, 1024)
    >>> y.backward(torch.full((2,), 1e-8))  # in float16 this is 0
    >>> [f"{gradient:.1e}" for gradient in x.grad.tolist()], y.dtype
    (['6.0e-08', '6.0e-08'], torch.float32)
    """
    return _scale_gradient(x, 1 / scale).half()


def leave_float16(x: Tensor, scale: float) -> Tensor:
    """``x`` of float16 in float32. The gradient that comes back is multiplied by ``scale``."""
    return _scale_gradient(x.float(), scale)


def contiguous(weights: Sequence[Tensor]) -> list[Tensor]:
    """Copies of weights in one block of memory, with gradients: cuDNN reads them from one.

    >>> first, second = contiguous([torch.zeros(2, 3), torch.ones(4)])
    >>> first.shape, second.shape, second.storage_offset()
    (torch.Size([2, 3]), torch.Size([4]), 6)
    """
    block = torch.cat([weight.flatten() for weight in weights])
    parts = torch.split(block, [weight.numel() for weight in weights])
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        return outer[0] * ctx.factor, None


def _scale_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` itself, whose gradient is multiplied by ``factor``."""
    return cast("Tensor", _ScaledGradient.apply(x, factor))  # type: ignore[no-untyped-call]
