"""Cells against PyTorch's own layers, and against identities of their equations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.cells import CELLS, GRU, LSTM, HiddenState, LSTMState, Weights, sigmoid, weight_shapes
from carousel.unroll import initial_state, unroll

FUSED = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
SIZES = st.tuples(
    st.integers(1, 7), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)
)


def random_weights(name, input_size, hidden_size, rng, layers=1, dtype=np.float64):
    made = []
    for _ in range(layers):
        shapes = weight_shapes(CELLS[name], input_size, hidden_size)
        made.append(Weights(**{k: rng.normal(size=s).astype(dtype) for k, s in shapes.items()}))
        input_size = hidden_size
    return made


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("arrays", ["numpy", "torch"])
@settings(max_examples=12, deadline=None)
@given(sizes=SIZES, seed=st.integers(0, 2**31 - 1))
def test_equals_pytorch(name, dtype, tolerance, arrays, sizes, seed):
    T, B, E, H, L = sizes
    torch.manual_seed(seed)
    fused = FUSED[name](E, H, L).to(dtype)
    x = torch.randn(T, B, E, dtype=dtype)
    parts = [torch.randn(L, B, H, dtype=dtype) for _ in CELLS[name].states]
    expected, after = fused(x, tuple(parts) if len(parts) == 2 else parts[0])
    after = after if len(parts) == 2 else (after,)

    convert = (lambda t: t.detach().numpy()) if arrays == "numpy" else (lambda t: t.detach())
    weights = [
        Weights(
            **{
                kind: convert(getattr(fused, f"{kind}_l{layer}"))
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
        )
        for layer in range(L)
    ]
    state = (LSTMState if len(parts) == 2 else HiddenState)(*map(convert, parts))
    y, state = unroll(CELLS[name], weights, convert(x), state)

    for ours, theirs in zip((y, *state), (expected, *after), strict=True):
        np.testing.assert_allclose(
            np.asarray(ours), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("name", FUSED)
def test_gradients_equal_pytorch(name):
    torch.manual_seed(0)
    fused = FUSED[name](3, 5, 2).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    fused(x)[0].square().sum().backward()
    copies = {k: v.detach().clone().requires_grad_() for k, v in fused.named_parameters()}
    weights = [
        Weights(**{k[:-3]: v for k, v in copies.items() if k.endswith(f"_l{layer}")})
        for layer in range(2)
    ]
    y, _ = unroll(CELLS[name], weights, x, initial_state(CELLS[name], 2, 2, 5, x))
    y.square().sum().backward()
    for key, theirs in fused.named_parameters():
        torch.testing.assert_close(copies[key].grad, theirs.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
@settings(max_examples=10, deadline=None)
@given(sizes=SIZES, seed=st.integers(0, 2**31 - 1))
def test_numpy_and_torch_agree_for_every_cell(name, sizes, seed):
    T, B, E, H, L = sizes
    rng = np.random.default_rng(seed)
    weights = random_weights(name, E, H, rng, L)
    x = rng.normal(size=(T, B, E))
    cell = CELLS[name]
    y, state = unroll(cell, weights, x, initial_state(cell, L, B, H, x))
    as_torch = [
        Weights(*(None if w is None else torch.from_numpy(w) for w in ws)) for ws in weights
    ]
    x2 = torch.from_numpy(x)
    y2, state2 = unroll(cell, as_torch, x2, initial_state(cell, L, B, H, x2))
    for ours, theirs in zip((y, *state), (y2, *state2), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


def test_sigmoid_is_the_logistic_function_and_never_overflows():
    x = np.array([-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4])
    np.testing.assert_allclose(sigmoid(x), torch.sigmoid(torch.from_numpy(x)).numpy(), atol=1e-15)


ORDER = {
    "rnn": ["h"],
    "gru": ["r", "z", "n", "h"],
    "gru-reset-before": ["r", "z", "n", "h"],
    "lstm": ["i", "f", "g", "c", "o", "h"],
    "lstm-peephole": ["i", "f", "g", "c", "o", "h"],
    "cifg": ["i", "f", "g", "c", "o", "h"],
    "cifg-peephole": ["i", "f", "g", "c", "o", "h"],
}


def one_step(name, edit, seed=0):
    rng = np.random.default_rng(seed)
    cell = CELLS[name]
    (weights,) = random_weights(name, 3, 4, rng)
    state = type(cell.initial_state(2, 4, np.zeros(1)))(
        *(rng.normal(size=(2, 4)) for _ in cell.states)
    )
    pre = cell.project(weights, rng.normal(size=(2, 3)), state)
    return cell.update(weights, pre, state, edit), state


@pytest.mark.parametrize("name", CELLS)
def test_edit_sees_everything_in_the_order_of_the_equations(name):
    seen = []

    def watch(gate, value):
        seen.append(gate)
        assert value.shape == (2, 4)
        return value

    watched, _ = one_step(name, watch)
    free, _ = one_step(name, lambda gate, value: value)
    assert seen == ORDER[name]
    for a, b in zip(watched, free, strict=True):
        np.testing.assert_array_equal(a, b)


def hold(**values):
    """An edit that sets gates to constants, and a record of what was there before and after."""
    record = {}

    def edit(gate, value):
        record[gate] = value if gate not in values else np.full_like(value, values[gate])
        return record[gate]

    return edit, record


@pytest.mark.parametrize("name", ["gru", "gru-reset-before"])
def test_a_held_reset_gate_changes_the_candidate(name):
    free, free_seen = hold()
    held, held_seen = hold(r=0.0)
    one_step(name, free)
    one_step(name, held)
    assert np.abs(free_seen["n"] - held_seen["n"]).max() > 1e-3
    np.testing.assert_array_equal(free_seen["z"], held_seen["z"])


def test_a_held_cell_changes_a_peepholes_output_gate_and_no_other_cells():
    for name, changes in (("lstm-peephole", True), ("cifg-peephole", True), ("lstm", False)):
        free, free_seen = hold()
        held, held_seen = hold(c=2.0)
        one_step(name, free)
        after, _ = one_step(name, held)
        assert bool(np.abs(free_seen["o"] - held_seen["o"]).max() > 1e-3) == changes
        np.testing.assert_array_equal(after.c, np.full((2, 4), 2.0))


def test_a_held_input_gate_moves_the_coupled_forget_gate():
    held, seen = hold(i=0.25)
    one_step("cifg", held)
    np.testing.assert_array_equal(seen["f"], np.full((2, 4), 0.75))


def test_an_open_forget_gate_and_a_shut_input_gate_keep_the_cell_exactly():
    held, _ = hold(f=1.0, i=0.0)
    after, before = one_step("lstm", held)
    np.testing.assert_array_equal(after.c, before.c)


def test_an_open_update_gate_keeps_the_grus_state_exactly():
    for name in ("gru", "gru-reset-before"):
        held, _ = hold(z=1.0)
        after, before = one_step(name, held)
        np.testing.assert_array_equal(after.h, before.h)


def test_weight_shapes_follow_pytorch():
    for name, layer in FUSED.items():
        theirs = {k[:-3]: tuple(v.shape) for k, v in layer(3, 5).named_parameters()}
        assert weight_shapes(CELLS[name], 3, 5) == theirs
    assert weight_shapes(LSTM(peephole=True), 3, 5)["weight_ch"] == (15,)
    assert weight_shapes(LSTM(coupled=True, peephole=True), 3, 5)["weight_ch"] == (10,)
    assert weight_shapes(GRU(reset_after=False), 3, 5) == weight_shapes(GRU(), 3, 5)
