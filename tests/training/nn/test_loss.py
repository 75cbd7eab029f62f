"""The fused losses: PyTorch's own cross-entropies, value and gradients, whatever the chunks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from carousel.training.nn import loss as module
from carousel.training.nn.loss import (
    adaptive_cross_entropy,
    linear_cross_entropy,
    sampled_cross_entropy,
)


def leaves(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]


def compare(actual, expected, inputs):
    """Value and gradients of two losses are the same; both are scaled on their way back."""
    wanted = torch.autograd.grad(3 * expected, inputs)
    grads = torch.autograd.grad(3 * actual, inputs)
    torch.testing.assert_close(actual, expected)
    for ours, theirs in zip(grads, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 17),
    d=st.integers(1, 6),
    v=st.integers(2, 30),
    rows=st.integers(1, 9),
    cached=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_equals_pytorch(n, d, v, rows, cached, seed):
    x, weight, bias = leaves(seed, (n, d), (v, d), (v,))
    targets = torch.randint(v, (n,), generator=torch.Generator().manual_seed(seed))
    expected = F.cross_entropy(F.linear(x, weight, bias), targets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", rows * 4 * v)
        patch.setattr(module, "CACHE_BYTES", cached * 4 * v)
        actual = linear_cross_entropy(x, weight, bias, targets)
        compare(actual, expected, (x, weight, bias))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 17),
    cut=st.sets(st.integers(1, 28), min_size=1, max_size=3),
    rows=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_adaptive_equals_pytorch(n, cut, rows, seed):
    torch.manual_seed(seed)
    cutoffs = sorted(cut)
    theirs = nn.AdaptiveLogSoftmaxWithLoss(6, 30, cutoffs, div_value=1.5, head_bias=True)
    (x,) = leaves(seed, (n, 6))
    targets = torch.randint(30, (n,))
    head = [theirs.head.weight, theirs.head.bias]
    tails = [half.weight for tail in theirs.tail for half in tail]
    # A cluster that no target is in has no gradient with them, and zeros with us.
    reached = 0 * sum(weight.sum() for weight in tails)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", rows * 4 * 30)
        actual = adaptive_cross_entropy(x, head, tails, targets, cutoffs)
        compare(actual, theirs(x, targets).loss + reached, (x, *head, *tails))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 17),
    cut=st.sets(st.integers(1, 28), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_tied_is_the_same_matrix_in_parts(n, cut, seed):
    torch.manual_seed(seed)
    cutoffs = sorted(cut)
    x, words, rows, bias = leaves(
        seed, (n, 6), (30, 6), (len(cutoffs), 6), (cutoffs[0] + len(cutoffs),)
    )
    narrow = leaves(seed + 1, *[(6, 6) for _ in cutoffs])
    targets = torch.randint(30, (n,))
    head = [torch.cat([words[: cutoffs[0]], rows]), bias]
    spans = [*cutoffs, 30]
    tails = [
        half for k, square in enumerate(narrow) for half in (square, words[spans[k] : spans[k + 1]])
    ]
    expected = adaptive_cross_entropy(x, head, tails, targets, cutoffs)
    actual = adaptive_cross_entropy(x, [words, rows, bias], narrow, targets, cutoffs)
    compare(actual, expected, (x, words, rows, bias, *narrow))


def test_bfloat16_is_close():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(40, 16), torch.randn(50, 16), torch.randn(50)
    targets = torch.randint(50, (40,))
    expected = F.cross_entropy(F.linear(x, weight, bias), targets)
    actual = linear_cross_entropy(x.bfloat16(), weight, bias, targets)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, rtol=0.02, atol=0.02)


def test_autocast_is_not_heard():
    torch.manual_seed(0)
    x, words, rows, bias, narrow = leaves(0, (9, 6), (30, 6), (1, 6), (11,), (6, 6))
    targets = torch.randint(30, (9,))
    inputs = (x, words, rows, bias, narrow)
    expected = adaptive_cross_entropy(x, [words, rows, bias], [narrow], targets, [10])
    wanted = torch.autograd.grad(expected, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        actual = adaptive_cross_entropy(x, [words, rows, bias], [narrow], targets, [10])
    assert torch.equal(actual, expected)
    for ours, theirs in zip(torch.autograd.grad(actual, inputs), wanted, strict=True):
        assert torch.equal(ours, theirs)


def test_without_gradients_none_are_kept():
    x, weight, bias = torch.randn(4, 3), torch.randn(5, 3), torch.zeros(5)
    assert not linear_cross_entropy(x, weight, bias, torch.zeros(4, dtype=torch.long)).requires_grad


def test_gradients_are_taken_once():
    x, weight, bias = leaves(0, (4, 3), (5, 3), (5,))
    loss = linear_cross_entropy(x, weight, bias, torch.zeros(4, dtype=torch.long))
    torch.autograd.grad(loss, x, retain_graph=True)
    with pytest.raises(RuntimeError, match="only once"):
        torch.autograd.grad(loss, x)


def test_many_samples_come_to_the_full_loss():
    torch.manual_seed(0)
    x, weight, bias = leaves(0, (60, 8), (50, 8), (50,))
    targets = torch.randint(50, (60,))
    full = linear_cross_entropy(x, weight, bias, targets)
    wanted = torch.autograd.grad(full, (x, weight, bias))
    actual = sampled_cross_entropy(x, weight, bias, targets, 200_000)
    torch.testing.assert_close(actual, full.detach(), rtol=0.01, atol=0.0)
    for ours, theirs in zip(torch.autograd.grad(actual, (x, weight, bias)), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.002)
