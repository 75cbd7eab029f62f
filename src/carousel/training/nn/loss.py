"""Cross-entropy losses that never hold the logits of a whole batch.

The softmax of a large vocabulary takes ``[T * B, V]`` logits, and their gradient as much again. The
losses here go over a batch in chunks. While the logits of a chunk are at hand, their gradient
``softmax - onehot`` is made too, in the same memory, and multiplied into the gradients of the
inputs. So the gradients are made in the forward pass, and the backward pass only hands them on.

All losses are in nats. With bfloat16 inputs, products are made in bfloat16 with float32 sums; the
softmax is always in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_BYTES = 32 * 2**20
"""Size of a chunk's logits on a CPU. Each chunk adds once to the gradient of the whole matrix."""
CACHE_BYTES = 2 * 2**20
"""Size of the float32 logits of one softmax on a CPU: these fit into the cache."""
GPU_CHUNK_BYTES = 256 * 2**20
"""Size of a chunk's logits on a GPU, where few large operations are fast."""


class Gradients(NamedTuple):
    """Where the gradients of a product with its softmax are written."""

    x: Tensor
    """``[N, D]``, written over."""
    weight: Tensor
    """``[V, D]`` in float32, added to."""
    bias: Tensor | None
    """``[V]`` in float32, added to; None where there is no bias."""


def sum_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    gradients: Gradients | None,
    scale: float,
) -> Tensor:
    """The sum of the cross-entropies of ``softmax(x weight^T + bias)``, chunk by chunk.

    Args:
        x: ``[N, D]``. Rows after the last target are padding and add nothing to the loss.
        weight: ``[V, D]`` in the number format of ``x``.
        bias: ``[V]``, or None.
        targets: ids, ``[N]`` or fewer.
        gradients: where the gradients, times ``scale``, are written; None if none are needed.
        scale: a factor on the gradients.

    Returns:
        The sum in nats, a float32 scalar.
    """
    vocab_size = len(weight)
    total = torch.zeros((), dtype=torch.float32, device=x.device)
    chunk_bytes = CHUNK_BYTES if x.is_cpu else GPU_CHUNK_BYTES
    chunk_rows = max(1, min(len(x), chunk_bytes // (x.element_size() * vocab_size)))
    cache_rows = max(1, CACHE_BYTES // (4 * vocab_size)) if x.is_cpu else chunk_rows
    # One buffer for all chunks: fresh memory costs more than the products that fill it.
    buffer = x.new_empty(chunk_rows, vocab_size)
    for start in range(0, len(x), chunk_rows):
        x_chunk, chunk = x[start : start + chunk_rows], buffer[: len(x) - start]
        if bias is None:
            torch.mm(x_chunk, weight.T, out=chunk)
        else:
            torch.addmm(bias.to(x.dtype), x_chunk, weight.T, out=chunk)
        unpadded = max(0, min(len(x_chunk), len(targets) - start))
        chunk[unpadded:] = 0
        for first in range(0, unpadded, cache_rows):
            logits = chunk[first : min(first + cache_rows, unpadded)]
            target = targets[start + first : start + first + len(logits), None]
            log_probs = torch.log_softmax(logits, 1, dtype=torch.float32)
            total -= log_probs.gather(1, target).sum()
            if gradients is not None:
                gradient = log_probs.exp_()
                minus_one = gradient.new_full((1, 1), -1.0).expand_as(target)
                gradient.scatter_add_(1, target, minus_one)
                logits.copy_(gradient.mul_(scale))
        if gradients is not None:
            torch.mm(chunk, weight, out=gradients.x[start : start + chunk_rows])
            if x.dtype == torch.float32:
                gradients.weight.addmm_(chunk.T, x_chunk)
            else:
                gradients.weight.add_(chunk.T @ x_chunk)
            if gradients.bias is not None:
                gradients.bias.add_(chunk.sum(0, dtype=torch.float32))
    return total


class _PrecomputedGradients(torch.autograd.Function):
    """A loss whose gradients were made together with it."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor], *inputs: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients times the incoming one, in place, because they are large."""
        (outer_gradient,) = outer
        if ctx.gradients is None:
            raise RuntimeError("the gradients of a fused loss can be taken only once")
        gradients, ctx.gradients = ctx.gradients, None
        # On a GPU, to look at the factor would mean to wait for it.
        if not (outer_gradient.is_cpu and outer_gradient.item() == 1):
            for gradient in gradients:
                gradient.mul_(outer_gradient)
        return (None, None, *gradients)


def _with_gradients(loss: Tensor, gradients: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """``loss`` as a function of ``inputs``, with these gradients."""
    typed = [grad.to(given.dtype) for grad, given in zip(gradients, inputs, strict=True)]
    attached: Tensor = _PrecomputedGradients.apply(loss, typed, *inputs)  # type: ignore[no-untyped-call]
    return attached


def linear_cross_entropy(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of a linear layer with a softmax.

    Equals ``F.cross_entropy(F.linear(x, weight, bias), targets)`` with less memory. Products are
    made in the number format of ``x``.

    Args:
        x: ``[N, D]``.
        weight: ``[V, D]``.
        bias: ``[V]``.
        targets: ids, ``[N]``.

    Returns:
        The mean in nats per row, a float32 scalar. Its gradients can be taken once.

    Raises:
        RuntimeError: its gradients are taken a second time.

    >>> x, weight = torch.zeros(2, 3), torch.zeros(4, 3)
    >>> loss = linear_cross_entropy(x, weight, torch.zeros(4), torch.tensor([0, 3]))
    >>> round(loss.item(), 4)  # log 4
    1.3863
    """
    inputs = (x, weight, bias)
    needs_gradients = torch.is_grad_enabled() and any(given.requires_grad for given in inputs)
    with torch.no_grad(), _no_autocast(x):
        gradients = None
        if needs_gradients:
            gradients = Gradients(torch.empty_like(x), _zeros(weight), _zeros(bias))
        total = sum_cross_entropy(x, weight.to(x.dtype), bias, targets, gradients, 1 / len(x))
    loss = total / len(x)
    return loss if gradients is None else _with_gradients(loss, gradients, inputs)  # type: ignore[arg-type]


def adaptive_cross_entropy(
    x: Tensor,
    head: Sequence[Tensor],
    tails: Sequence[Tensor],
    targets: Tensor,
    cutoffs: Sequence[int],
) -> Tensor:
    """The mean cross-entropy of an adaptive softmax (Grave et al. 2017, arXiv:1609.04309).

    ``carousel.adaptive_softmax`` has the formulas. Equals the loss of
    ``nn.AdaptiveLogSoftmaxWithLoss``.

    Args:
        x: ``[N, D]``.
        head: weight ``[cutoffs[0] + n, D]`` and bias of the head. With tied embeddings: the
            embedding ``[V, D]``, the rows of the clusters ``[n, D]``, and the bias.
        tails: the two weights of each cluster, one cluster after the other. With tied embeddings:
            only the first weight of each.
        targets: ids, ``[N]``.
        cutoffs: the first id of each of the ``n`` clusters.

    Returns:
        The mean in nats per row, a float32 scalar. Its gradients can be taken once.

    Raises:
        RuntimeError: its gradients are taken a second time.
    """
    inputs = (x, *head, *tails)
    needs_gradients = torch.is_grad_enabled() and any(given.requires_grad for given in inputs)
    head_words = cutoffs[0]
    with torch.no_grad(), _no_autocast(x):
        cast = [weight.to(x.dtype) for weight in (*head, *tails)]
        grads = [torch.zeros_like(x), *map(_zeros, (*head, *tails))] if needs_gradients else []
        *row_blocks, bias = cast[: len(head)]
        sizes = [head_words, len(cutoffs)] if len(row_blocks) == 2 else [len(row_blocks[0])]
        weight = torch.cat([rows[:size] for rows, size in zip(row_blocks, sizes, strict=True)])
        cluster = torch.bucketize(targets, torch.tensor(cutoffs, device=targets.device), right=True)
        # In the head a whole cluster is one word.
        head_targets = torch.where(cluster > 0, head_words + cluster - 1, targets)
        head_grads = (
            Gradients(grads[0], _zeros(weight), grads[len(head)]) if needs_gradients else None
        )
        scale = 1 / len(x)
        total = sum_cross_entropy(x, weight, bias, head_targets, head_grads, scale)
        if head_grads is not None:
            for grad, part in zip(grads[1:], torch.split(head_grads.weight, sizes), strict=False):
                grad[: len(part)] = part
        weight_pairs = _cluster_pairs(cast, len(head), cutoffs)
        grad_pairs = _cluster_pairs(grads[1:], len(head), cutoffs) if needs_gradients else []
        _add_cluster_losses(
            total, x, cluster, targets, cutoffs, weight_pairs, grad_pairs, grads[:1], scale
        )
    loss = total * scale
    return _with_gradients(loss, grads, inputs) if needs_gradients else loss


def _add_cluster_losses(
    total: Tensor,
    x: Tensor,
    cluster: Tensor,
    targets: Tensor,
    cutoffs: Sequence[int],
    weight_pairs: Sequence[tuple[Tensor, Tensor]],
    grad_pairs: Sequence[tuple[Tensor, Tensor]],
    x_grad: Sequence[Tensor],
    scale: float,
) -> None:
    """Add to ``total`` the part of the adaptive loss that is inside the clusters.

    ``cluster [N]`` is 0 for a word of the head and ``n + 1`` for one in cluster ``n``. Gradients
    are added to ``grad_pairs`` and to the one tensor in ``x_grad``; both are empty if none are
    needed.
    """
    for n, (narrow, wide) in enumerate(weight_pairs):
        rows = (cluster == n + 1).nonzero()[:, 0]
        if not len(rows):
            continue
        x_cluster = x.new_zeros(_padded(len(rows)), x.shape[1])
        x_cluster[: len(rows)] = x[rows]
        inner = x_cluster @ narrow.T
        gradients = Gradients(torch.empty_like(inner), grad_pairs[n][1], None) if x_grad else None
        cluster_targets = targets[rows] - cutoffs[n]
        total += sum_cross_entropy(inner, wide, None, cluster_targets, gradients, scale)
        if gradients is not None:
            grad_pairs[n][0].add_(gradients.x.T @ x_cluster)
            x_grad[0].index_add_(0, rows, (gradients.x @ narrow)[: len(rows)])


def _cluster_pairs(
    tensors: Sequence[Tensor], head_count: int, cutoffs: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """Both matrices of each cluster; with tied embeddings, the second is a view of the embedding.

    ``tensors`` are the ``head_count`` tensors of the head and then those of the tails.
    """
    words, tails = tensors[0], tensors[head_count:]
    if len(tails) == 2 * len(cutoffs):
        return list(zip(tails[::2], tails[1::2], strict=True))
    bounds = pairwise([*cutoffs, len(words)])
    return [(tail, words[low:high]) for tail, (low, high) in zip(tails, bounds, strict=True)]


def sampled_cross_entropy(
    x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, samples: int
) -> Tensor:
    """An estimate of ``linear_cross_entropy`` from the targets and random other words.

    Ids must be ordered by frequency: word ``k`` is drawn with the log-uniform probability
    ``q = log((k + 2) / (k + 1)) / log(V + 1)``, which falls as word frequencies do (Zipf's law). A
    drawn word stands for ``1 / (samples q)`` words, so the normalizer of the softmax is estimated
    without bias (Bengio & Senécal 2003, "Quick training of probabilistic neural nets").

    Args:
        x: ``[N, D]``.
        weight: ``[V, D]``.
        bias: ``[V]``.
        targets: ids, ``[N]``.
        samples: how many words are drawn, with replacement, for all rows together.

    Returns:
        The mean in nats per row, a float32 scalar.
    """
    vocab_size = len(weight)
    uniform = torch.rand(samples, device=x.device, dtype=torch.float64)
    drawn = ((vocab_size + 1) ** uniform).long().sub_(1).clamp_(0, vocab_size - 1)
    # Both at once: the gradient of each choice of rows is as large as the matrix.
    both = torch.cat([drawn, targets])
    rows, biases = weight.index_select(0, both), bias.index_select(0, both)
    q = torch.log1p(1 / (drawn.double() + 1)) / math.log(vocab_size + 1)
    offsets = biases[:samples] - torch.log(samples * q).float()
    sample_logits = torch.addmm(offsets.to(x.dtype), x, rows[:samples].T.to(x.dtype)).float()
    # A target among the samples does not count a second time.
    sample_logits = sample_logits.masked_fill(drawn == targets[:, None], -torch.inf)
    target_logits = (x.float() * rows[samples:]).sum(1) + biases[samples:]
    logits = torch.cat([target_logits[:, None], sample_logits], 1)
    return (torch.logsumexp(logits, 1) - target_logits).mean()


def _padded(rows: int) -> int:
    """The number of rows, rounded up: to a multiple of 16, or by a quarter at most.

    A cluster has another number of words in each batch, and for each new shape of a product the
    matrix library would prepare, and keep, new code.
    """
    step = max(16, (1 << rows.bit_length()) // 8)
    return -(-rows // step) * step


def _no_autocast(x: Tensor) -> torch.autocast:
    """Turns autocast off: products are made in the number formats of their inputs."""
    return torch.autocast(x.device.type, enabled=False)


def _zeros(like: Tensor) -> Tensor:
    return torch.zeros(like.shape, dtype=torch.float32, device=like.device)
