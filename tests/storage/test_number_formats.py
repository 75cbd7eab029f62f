"""Fewer bits a weight: each rounding keeps its bound, and is PyTorch's where PyTorch has one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.storage.number_formats import (
    DTYPES,
    MAX_WEIGHT,
    Quantized,
    cast_weights,
    find_invalid_values,
    from_tiles,
    quantize_rows,
    tiles_shape,
    to_bfloat16,
    to_float32,
    to_tiles,
)

SHAPES = st.tuples(st.integers(0, 9), st.integers(0, 9))


def matrix(shape, seed):
    """Numbers of every magnitude that float32 has."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * 10.0 ** rng.uniform(-44, 37.5, size=shape)).astype(np.float32)


EXTREMES = np.array([[3.4e38, -3.4e38, 1.0], [1e-45, 0, -1e-45], [0, 0, 0]], dtype=np.float32)


@settings(max_examples=50, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 9999))
def test_int8_moves_no_weight_by_more_than_half_a_step(shape, seed):
    check_int8(matrix(shape, seed))


def test_int8_of_extreme_rows():
    check_int8(EXTREMES)


def check_int8(weight):
    found = quantize_rows(weight)
    assert (find_invalid_values(found) is None) == (np.abs(weight).max(initial=0) <= MAX_WEIGHT)
    assert found.values.dtype == np.int8
    assert found.scale.dtype == np.float32
    assert found.shape == weight.shape
    exact = found.values * found.scale[:, None].astype(np.float64)
    # The step itself is rounded to float32, which its 127-fold shows.
    bound = found.scale[:, None] * np.float64(0.5 + 127 * 2**-23)
    assert (np.abs(exact - weight) <= bound).all()
    np.testing.assert_allclose(to_float32(found), exact, rtol=1e-7)


@pytest.mark.parametrize("rows", [3, 0])
def test_int8_uses_the_whole_range(rows):
    weight = np.random.default_rng(0).normal(size=(rows, 40)).astype(np.float32)
    assert (np.abs(quantize_rows(weight).values).max(axis=1, initial=0) == 127).all()


@settings(max_examples=50, deadline=None)
@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 11)), seed=st.integers(0, 9999))
def test_tiles_are_the_matrix_and_zeros_around_it(shape, seed):
    rows = quantize_rows(matrix(shape, seed))
    tiled = to_tiles(rows)
    assert tiled.shape == rows.shape == shape
    assert tiled.tiles.shape == tiles_shape(shape)
    for n, k in np.ndindex(shape):
        assert tiled.tiles[n // 16, k // 4, n % 16, k % 4] == rows.values[n, k]
    assert np.count_nonzero(tiled.tiles) == np.count_nonzero(rows.values)
    np.testing.assert_array_equal(from_tiles(tiled).values, rows.values)
    np.testing.assert_array_equal(to_float32(tiled), to_float32(rows))
    assert tiled.nbytes >= rows.nbytes
    assert (find_invalid_values(tiled) is None) == (find_invalid_values(rows) is None)
    tiled.scale[:] = 1
    tiled.tiles[-1, -1, -1, -1] = -128
    assert "-128" in find_invalid_values(tiled)


@settings(max_examples=50, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 9999))
def test_bfloat16_rounds_as_pytorch_does(shape, seed):
    weight = matrix(shape, seed)
    found = to_bfloat16(weight)
    assert (find_invalid_values(found) is None) == (
        np.abs(to_float32(found)).max(initial=0) <= MAX_WEIGHT
    )
    theirs = torch.from_numpy(weight).bfloat16().float().numpy()
    finite = np.isfinite(theirs)
    np.testing.assert_array_equal(to_float32(found)[finite], theirs[finite])


def test_the_largest_numbers_stay_finite_in_bfloat16():
    assert (np.abs(to_float32(to_bfloat16(EXTREMES))) < np.inf).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_matrices_are_stored_in_fewer_bits(dtype):
    rng = np.random.default_rng(1)
    weights = {"w": rng.normal(size=(4, 5)).astype(np.float32), "b": np.ones(4, np.float32)}
    stored = cast_weights(weights, dtype)
    assert stored["b"] is weights["b"]
    size = {"float32": 80, "bfloat16": 40, "int8": 20 + 16}[dtype]
    assert stored["w"].nbytes == size
    np.testing.assert_allclose(to_float32(stored["w"]), weights["w"], atol=0.02)


def int8(values=((1, -127),), scale=(1.0,)):
    return Quantized(np.array(values, np.int8), np.array(scale, np.float32))


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (int8(), None),
        (int8(values=((0, -128),)), "-128"),
        (int8(scale=[0]), "positive and finite"),
        (int8(scale=[-1]), "positive and finite"),
        (int8(scale=[np.nan]), "positive and finite"),
        (int8(scale=[np.inf]), "positive and finite"),
        (int8(scale=[3e38]), "positive and finite"),
        (int8(scale=[1e13]), "beyond"),
        (np.array([1, 0x5800, 0xD800], np.uint16), None),
        (np.array([1, 0x7F7F, 0xFF7F], np.uint16), "beyond 1e+15"),
        (np.array([1, 0x7F80], np.uint16), "not finite"),
        (np.array([0xFFC0, 1], np.uint16), "not finite"),
        (np.array([9e14, 9e14, -9e14], np.float32), None),
        (np.array([1, 1e37], np.float32), "beyond 1e+15"),
        (np.array([1, -1e37], np.float32), "beyond 1e+15"),
        (np.array([1, np.nan], np.float32), "not finite"),
        (np.array([1, -np.inf], np.float32), "not finite"),
    ],
)
def test_faults_are_found(stored, said):
    found = find_invalid_values(stored)
    assert found is None if said is None else said in found


def test_a_fault_at_the_very_end_of_a_long_array_is_found():
    weight = np.zeros(2**20 + 3, np.uint16)
    assert find_invalid_values(weight) is None
    weight[-1] = 0x7F80
    assert find_invalid_values(weight) is not None
