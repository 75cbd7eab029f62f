"""Cross-entropy of a linear decoder, without ever holding the logits of the whole batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 32 * 2**20
"""The logits held at any moment, in bytes of float32."""


class LinearCrossEntropy(torch.autograd.Function):
    """``mean(cross_entropy(x Wᵀ + b, targets))``, in chunks of rows.

    The gradients are made in the forward pass, while a chunk's logits are at hand: they are
    ``softmax - onehot``, over N. With bfloat16 ``x`` and ``weight`` the products are bfloat16
    with float32 sums; the softmax is float32 always.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        """``x [N, D]``, ``weight [V, D]``, ``bias [V]``, ``targets [N]``: the mean loss in nats."""
        rows = max(1, CHUNK_BYTES // (4 * weight.shape[0]))
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        wanted = any(ctx.needs_input_grad[:3])
        grad_x = torch.empty_like(x)
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=x.device)
        grad_bias = torch.zeros(bias.shape, dtype=torch.float32, device=x.device)
        for x_part, grad_part, target in zip(
            torch.split(x, rows), torch.split(grad_x, rows), torch.split(targets, rows), strict=True
        ):
            logits = torch.addmm(bias.to(x.dtype), x_part, weight.T).float()
            normaliser = torch.logsumexp(logits, dim=1, keepdim=True)
            picked = logits.gather(1, target[:, None])
            total += (normaliser - picked).sum()
            if not wanted:
                continue
            logits.sub_(normaliser).exp_().scatter_add_(
                1, target[:, None], torch.full_like(picked, -1.0)
            )
            logits /= x.shape[0]
            grad_bias += logits.sum(0)
            grad_logits = logits.to(x.dtype)
            torch.mm(grad_logits, weight, out=grad_part)
            if x.dtype == torch.float32:
                grad_weight.addmm_(grad_logits.T, x_part)
            else:
                grad_weight += grad_logits.T @ x_part
        ctx.save_for_backward(grad_x, grad_weight.to(weight.dtype), grad_bias.to(bias.dtype))
        return total / x.shape[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The stored gradients, scaled by the one that comes in."""
        (grad,) = grads
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        return grad_x * grad, grad_weight * grad, grad_bias * grad, None


def linear_cross_entropy(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats of ``x [N, D]`` decoded by ``weight [V, D]`` and ``bias [V]``."""
    loss: Tensor = LinearCrossEntropy.apply(x, weight, bias, targets)  # type: ignore[no-untyped-call]
    return loss
