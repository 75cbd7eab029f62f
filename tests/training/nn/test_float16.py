"""Parts of a network in float16: small gradients survive, and weights lie in one block."""

import pytest
import torch

from carousel.training.nn.float16 import contiguous, enter_float16, leave_float16


@pytest.mark.parametrize("name", ["rnn_tanh", "gru", "lstm"])
def test_gradients_too_small_for_float16_are_those_of_float32(name):
    torch.manual_seed(0)
    module = {"rnn_tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[name](16, 16)
    x = torch.randn(20, 8, 16, requires_grad=True)
    states = [torch.zeros(1, 8, 16)] * (2 if name == "lstm" else 1)
    inputs = [x, *module.parameters()]

    def gradients(scale):
        x, *rest = inputs
        given = [x, *states, *rest]
        if scale:
            given = [enter_float16(part, scale) for part in given]
        x, *rest = given
        state = rest[: len(states)] if name == "lstm" else rest[0]
        weights = rest[len(states) :]
        results = getattr(torch, name)(x, state, weights, True, 1, 0.0, True, False, False)
        if scale:
            assert all(part.dtype == torch.float16 for part in results)
            results = [leave_float16(part, scale) for part in results]
        total = sum((part.double() * 1e-7).sum() for part in results)
        return torch.cat([part.flatten() for part in torch.autograd.grad(total, inputs)])

    exact = gradients(None)
    assert (gradients(1000) - exact).norm() < 0.01 * exact.norm()
    assert (gradients(1) - exact).norm() > 0.1 * exact.norm()


def test_contiguous_weights_are_the_same_and_have_gradients():
    weights = [torch.randn(4, 3, requires_grad=True), torch.randn(5, requires_grad=True)]
    block = contiguous(weights)
    assert [torch.equal(a, b) for a, b in zip(block, weights, strict=True)] == [True, True]
    assert block[1].data_ptr() == block[0].data_ptr() + block[0].nbytes
    (block[0].sum() * 2 + block[1].sum() * 3).backward()
    assert weights[0].grad.unique().tolist() == [2]
    assert weights[1].grad.unique().tolist() == [3]
