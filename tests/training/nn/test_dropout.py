"""Dropout does what PyTorch's does, with other random numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.training.nn.dropout import Dropout


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_so_many_are_dropped_and_the_others_scaled(p, dtype):
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(1000, 999, dtype=dtype))
    share = (y == 0).double().mean().item()
    assert abs(share - p) < 5 * (p * (1 - p) / 999_000) ** 0.5
    kept = y[y != 0].double()
    assert kept.unique().numel() == 1
    assert abs(kept[0].item() * (1 - p) - 1) < (1e-3 if dtype == torch.float32 else 1e-2)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(1)
    zero = (Dropout(0.5)(torch.ones(400_000)) == 0).double() - 0.5
    # Also those that share a draw: 1 to 3 apart.
    for apart in (1, 2, 3, 4, 8):
        correlation = 4 * (zero[:-apart] * zero[apart:]).mean().item()
        assert abs(correlation) < 5 / 400_000**0.5


@given(st.lists(st.integers(0, 7), min_size=0, max_size=3), st.floats(0, 0.95))
def test_the_gradient_is_that_of_the_mask(shape, p):
    x = torch.randn(shape).double().requires_grad_()
    dropout = Dropout(p)
    y = dropout(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x, y)
    dropout.eval()
    assert dropout(x) is x


def test_the_seed_decides():
    masks = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        masks.append(Dropout(0.3)(torch.ones(1001)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
