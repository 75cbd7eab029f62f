"""Unrolling: pieces and wholes, edits in place and time, the exact account of the belt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.cells import CELLS, Weights, weight_shapes
from carousel.unroll import initial_state, unroll


def make(name, seed, T=6, B=2, E=3, H=4, L=2):
    rng = np.random.default_rng(seed)
    weights, width = [], E
    for _ in range(L):
        shapes = weight_shapes(CELLS[name], width, H)
        weights.append(Weights(**{k: rng.normal(size=s) for k, s in shapes.items()}))
        width = H
    x = rng.normal(size=(T, B, E))
    zero = initial_state(CELLS[name], L, B, H, x)
    state = type(zero)(*(rng.normal(size=part.shape) for part in zero))
    return CELLS[name], weights, x, state


@pytest.mark.parametrize("name", CELLS)
@settings(max_examples=10, deadline=None)
@given(cut=st.integers(0, 6), seed=st.integers(0, 1000))
def test_in_pieces_with_carried_state_equals_at_once(name, cut, seed):
    cell, weights, x, state = make(name, seed)
    whole, end = unroll(cell, weights, x, state)
    first, middle = unroll(cell, weights, x[:cut], state)
    second, last = unroll(cell, weights, x[cut:], middle)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-13)
    for a, b in zip(last, end, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_members_of_a_batch_are_independent(name):
    cell, weights, x, state = make(name, 1, B=3)
    whole, _ = unroll(cell, weights, x, state)
    for b in range(3):
        one = type(state)(*(part[:, b : b + 1] for part in state))
        alone, _ = unroll(cell, weights, x[:, b : b + 1], one)
        np.testing.assert_allclose(alone[:, 0], whole[:, b], atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_an_edit_acts_from_its_word_on(name):
    cell, weights, x, state = make(name, 2)

    def edit(point, t, value):
        return value * 0 + 0.5 if (point, t) == ("layers.0.h", 3) else value

    free, _ = unroll(cell, weights, x, state)
    edited, _ = unroll(cell, weights, x, state, edit)
    np.testing.assert_array_equal(free[:3], edited[:3])
    assert all(np.abs(free[t] - edited[t]).max() > 1e-9 for t in range(3, 6))


def test_points_are_named_layer_by_layer_word_by_word():
    cell, weights, x, state = make("lstm", 3, T=2)
    seen = []
    unroll(cell, weights, x, state, lambda point, t, value: seen.append((point, t)) or value)
    gates = ["i", "f", "g", "c", "o", "h"]
    assert seen == [(f"layers.{lay}.{g}", t) for lay in (0, 1) for t in (0, 1) for g in gates]


def test_no_words_leave_the_state_as_it_was():
    cell, weights, x, state = make("lstm", 4)
    y, after = unroll(cell, weights, x[:0], state)
    assert y.shape == (0, 2, 4)
    for a, b in zip(after, state, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shut", ["i", "g", "o"])
def test_a_shut_belt_says_nothing_whichever_gate_shuts_it(shut):
    # From a zero state: with i or g at 0 nothing is put on the belt, with o at 0 nothing is read.
    cell, weights, x, _ = make("lstm", 5)
    zero = initial_state(cell, 2, 2, 4, x)
    y, _ = unroll(cell, weights, x, zero, lambda point, t, v: v * 0 if point.endswith(shut) else v)
    np.testing.assert_array_equal(y, np.zeros_like(y))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), T=st.integers(1, 12))
def test_the_belt_is_the_sum_of_what_each_word_put_on_it(seed, T):
    # c_t = (prod f) c_0 + sum_s (prod_{s<k<=t} f_k) i_s g_s, with nothing left over.
    cell, weights, x, state = make("lstm", seed, T=T, L=1)
    seen = {}

    def record(point, t, value):
        seen[point[-1], t] = value
        return value

    _, after = unroll(cell, weights, x, state, record)
    total = np.prod([seen["f", k] for k in range(T)], axis=0) * state.c[0]
    for s in range(T):
        kept = np.prod([seen["f", k] for k in range(s + 1, T)], axis=0) if s + 1 < T else 1.0
        total = total + kept * seen["i", s] * seen["g", s]
    np.testing.assert_allclose(total, after.c[0], rtol=1e-10, atol=1e-12)
