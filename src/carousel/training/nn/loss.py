"""Cross-entropy of a decoder, without ever holding the logits of the whole batch.

All losses here are in nats, made with their gradients in the forward pass, while a chunk's logits
are at hand: they are ``softmax - onehot``. With bfloat16 inputs the products are bfloat16 with
float32 sums; the softmax is float32 always.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_BYTES = 32 * 2**20
"""The logits held at any moment: each chunk adds once to the gradient of the whole matrix."""
CACHE_BYTES = 2 * 2**20
"""Of these the softmax takes so much at a time, in float32, while it is in the cache."""
GPU_CHUNK_BYTES = 256 * 2**20
"""As ``CHUNK_BYTES`` on a GPU, which wants few and large steps: there a whole chunk at a time."""


class Gradients(NamedTuple):
    """Where the gradients of a product and its softmax are added up."""

    x: Tensor
    """``[N, D]``, written over; the others are added to, in float32."""
    weight: Tensor
    bias: Tensor | None


def sum_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    into: Gradients | None,
    scale: float,
) -> Tensor:
    """The sum of the cross-entropies of ``x [N, D]`` by ``weight [V, D]`` and ``bias [V]``.

    Its gradients times ``scale`` go ``into``, where they are wanted. ``x`` may have more rows than
    there are ``targets``: no loss is made of those.
    """
    words = len(weight)
    total = torch.zeros((), dtype=torch.float32, device=x.device)
    most = CHUNK_BYTES if x.is_cpu else GPU_CHUNK_BYTES
    rows = max(1, min(len(x), most // (x.element_size() * words)))
    cached = max(1, CACHE_BYTES // (4 * words)) if x.is_cpu else rows
    # One buffer for all chunks: fresh memory costs more than the products that fill it.
    held = x.new_empty(rows, words)
    for start in range(0, len(x), rows):
        part, chunk = x[start : start + rows], held[: len(x) - start]
        if bias is None:
            torch.mm(part, weight.T, out=chunk)
        else:
            torch.addmm(bias.to(x.dtype), part, weight.T, out=chunk)
        real = max(0, min(len(part), len(targets) - start))
        chunk[real:] = 0
        for first in range(0, real, cached):
            logits = chunk[first : min(first + cached, real)]
            target = targets[start + first : start + first + len(logits), None]
            log_probs = torch.log_softmax(logits, 1, dtype=torch.float32)
            total -= log_probs.gather(1, target).sum()
            if into is not None:
                grad = log_probs.exp_()
                grad.scatter_add_(1, target, grad.new_full((1, 1), -1.0).expand_as(target))
                logits.copy_(grad.mul_(scale))
        if into is not None:
            torch.mm(chunk, weight, out=into.x[start : start + rows])
            if x.dtype == torch.float32:
                into.weight.addmm_(chunk.T, part)
            else:
                into.weight.add_(chunk.T @ part)
            if into.bias is not None:
                into.bias.add_(chunk.sum(0, dtype=torch.float32))
    return total


class _Made(torch.autograd.Function):
    """Hands on gradients that were made with the loss."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, grads: Sequence[Tensor], *inputs: Tensor) -> Tensor:
        ctx.grads = grads
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients, scaled in place by the one that comes in: they are large."""
        (grad,) = outer
        if ctx.grads is None:
            raise RuntimeError("the gradients of a fused loss can be taken only once")
        grads, ctx.grads = ctx.grads, None
        # On a GPU looking at the factor would mean waiting for it.
        if not (grad.is_cpu and grad.item() == 1):
            for made in grads:
                made.mul_(grad)
        return (None, None, *grads)


def _with_gradients(loss: Tensor, grads: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    whole = [grad.to(given.dtype) for grad, given in zip(grads, inputs, strict=True)]
    made: Tensor = _Made.apply(loss, whole, *inputs)  # type: ignore[no-untyped-call]
    return made


def linear_cross_entropy(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats of ``x [N, D]`` decoded by ``weight [V, D]`` and ``bias [V]``.

    The products are made in ``x``'s number format; the gradients can be taken once.
    """
    inputs = (x, weight, bias)
    wanted = torch.is_grad_enabled() and any(given.requires_grad for given in inputs)
    with torch.no_grad(), _as_given(x):
        into = None
        if wanted:
            into = Gradients(torch.empty_like(x), _zeros(weight), _zeros(bias))
        total = sum_cross_entropy(x, weight.to(x.dtype), bias, targets, into, 1 / len(x))
    loss = total / len(x)
    return loss if into is None else _with_gradients(loss, into, inputs)  # type: ignore[arg-type]


def adaptive_cross_entropy(
    x: Tensor,
    head: Sequence[Tensor],
    tails: Sequence[Tensor],
    targets: Tensor,
    cutoffs: Sequence[int],
) -> Tensor:
    """Mean cross-entropy in nats of ``x [N, D]`` by an adaptive softmax (see ``adaptive``).

    Args:
        x: what the decoder reads.
        head: the weight ``[cutoffs[0] + n, D]`` and the bias of the head; or, tied, the embedding
            ``[V, D]``, the rows of the clusters ``[n, D]``, and the bias.
        tails: both weights of each cluster one after the other; tied, only the first of each.
        targets: ``[N]``.
        cutoffs: the first id of each of the ``n`` clusters.
    """
    inputs = (x, *head, *tails)
    wanted = torch.is_grad_enabled() and any(given.requires_grad for given in inputs)
    first = cutoffs[0]
    with torch.no_grad(), _as_given(x):
        low = [given.to(x.dtype) for given in (*head, *tails)]
        grads = [torch.zeros_like(x), *map(_zeros, (*head, *tails))] if wanted else []
        *words, bias = low[: len(head)]
        parts = [first, len(cutoffs)] if len(words) == 2 else [len(words[0])]
        weight = torch.cat([own[:rows] for own, rows in zip(words, parts, strict=True)])
        where = torch.bucketize(targets, torch.tensor(cutoffs, device=targets.device), right=True)
        # In the head a whole cluster is one word.
        heads = torch.where(where > 0, first + where - 1, targets)
        into = Gradients(grads[0], _zeros(weight), grads[len(head)]) if wanted else None
        scale = 1 / len(x)
        total = sum_cross_entropy(x, weight, bias, heads, into, scale)
        if into is not None:
            for grad, part in zip(grads[1:], torch.split(into.weight, parts), strict=False):
                grad[: len(part)] = part
        pairs = _clusters(low, len(head), cutoffs)
        sums = _clusters(grads[1:], len(head), cutoffs) if wanted else []
        for n, (narrow, wide) in enumerate(pairs):
            rows = (where == n + 1).nonzero()[:, 0]
            if not len(rows):
                continue
            read = x.new_zeros(_padded(len(rows)), x.shape[1])
            read[: len(rows)] = x[rows]
            small = read @ narrow.T
            inner = Gradients(torch.empty_like(small), sums[n][1], None) if wanted else None
            total += sum_cross_entropy(small, wide, None, targets[rows] - cutoffs[n], inner, scale)
            if inner is not None:
                sums[n][0].add_(inner.x.T @ read)
                grads[0].index_add_(0, rows, (inner.x @ narrow)[: len(rows)])
    loss = total * scale
    return _with_gradients(loss, grads, inputs) if wanted else loss


def _clusters(
    tensors: Sequence[Tensor], heads: int, cutoffs: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """Of the head's ``heads`` tensors and the tails', both of each cluster; views where tied."""
    words, tails = tensors[0], tensors[heads:]
    if len(tails) == 2 * len(cutoffs):
        return list(zip(tails[::2], tails[1::2], strict=True))
    spans = pairwise([*cutoffs, len(words)])
    return [(tail, words[low:high]) for tail, (low, high) in zip(tails, spans, strict=True)]


def sampled_cross_entropy(
    x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, samples: int
) -> Tensor:
    """An estimate of ``linear_cross_entropy`` from the targets and ``samples`` random words.

    Ids must be ordered by frequency: word ``k`` is drawn with the log-uniform probability
    ``q = log((k + 2) / (k + 1)) / log(V + 1)``, which falls as Zipf's law has words fall. A drawn
    word stands for ``1 / (samples q)`` words, so that what normalises the softmax is estimated
    without bias (Bengio & Senécal 2003, "Quick training of probabilistic neural nets").
    """
    words = len(weight)
    spread = torch.rand(samples, device=x.device, dtype=torch.float64)
    drawn = ((words + 1) ** spread).long().sub_(1).clamp_(0, words - 1)
    # Both at once: the gradient of each choice of rows is as large as the matrix.
    both = torch.cat([drawn, targets])
    rows, biases = weight.index_select(0, both), bias.index_select(0, both)
    q = torch.log1p(1 / (drawn.double() + 1)) / math.log(words + 1)
    offsets = biases[:samples] - torch.log(samples * q).float()
    others = torch.addmm(offsets.to(x.dtype), x, rows[:samples].T.to(x.dtype)).float()
    # A target among the samples is no other word.
    others = others.masked_fill(drawn == targets[:, None], -torch.inf)
    own = (x.float() * rows[samples:]).sum(1) + biases[samples:]
    return (torch.logsumexp(torch.cat([own[:, None], others], 1), 1) - own).mean()


def _padded(rows: int) -> int:
    """A round number of rows: a multiple of 16, at most a quarter more where they are many.

    A cluster has another number of words in each batch, and for each new shape of a product the
    library would prepare, and keep, new code.
    """
    step = max(16, (1 << rows.bit_length()) // 8)
    return -(-rows // step) * step


def _as_given(x: Tensor) -> torch.autocast:
    """No autocast: the products are made in the number format of ``x``, and of what follows."""
    return torch.autocast(x.device.type, enabled=False)


def _zeros(like: Tensor) -> Tensor:
    return torch.zeros(like.shape, dtype=torch.float32, device=like.device)
