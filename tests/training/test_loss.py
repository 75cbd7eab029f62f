"""The chunked loss: PyTorch's cross-entropy, value and gradients, whatever the chunks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from carousel.training import loss as module
from carousel.training.loss import linear_cross_entropy


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 17),
    d=st.integers(1, 6),
    v=st.integers(2, 30),
    rows=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_equals_pytorch(n, d, v, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    x, weight, bias = (
        torch.randn(size, generator=generator, requires_grad=True) for size in ((n, d), (v, d), v)
    )
    targets = torch.randint(v, (n,), generator=generator)
    expected = F.cross_entropy(F.linear(x, weight, bias), targets)
    wanted = torch.autograd.grad(3 * expected, (x, weight, bias))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", rows * 4 * v)
        found = linear_cross_entropy(x, weight, bias, targets)
        grads = torch.autograd.grad(3 * found, (x, weight, bias))
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(grads, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_bfloat16_is_close():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(40, 16), torch.randn(50, 16), torch.randn(50)
    targets = torch.randint(50, (40,))
    expected = F.cross_entropy(F.linear(x, weight, bias), targets)
    found = linear_cross_entropy(x.bfloat16(), weight.bfloat16(), bias, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


def test_without_gradients_none_are_kept():
    x, weight, bias = torch.randn(4, 3), torch.randn(5, 3), torch.zeros(5)
    assert not linear_cross_entropy(x, weight, bias, torch.zeros(4, dtype=torch.long)).requires_grad
