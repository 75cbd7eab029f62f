"""Whatever a caller hands in, the engine answers or raises: it never reads beyond an array."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carousel.cells import CELLS
from carousel.engine import extension
from carousel.engine.decoder import Decoder
from carousel.engine.extension import instruction_sets
from carousel.errors import FolderError
from carousel.inference.backend import NumPyBackend
from carousel.storage.config import Config
from carousel.storage.model_folder import write_folder
from carousel.storage.number_formats import (
    MAX_BFLOAT16,
    MAX_SCALE,
    MAX_WEIGHT,
    Quantized,
    cast_weights,
    find_invalid_values,
    to_float32,
)

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels are not built")

REFUSED = (TypeError, ValueError, IndexError)
V, E, H = 23, 5, 7


def make(cell="lstm", dtype="float32", **sizes):
    config = Config(
        cell=cell, dtype=dtype,
        **{"vocab_size": V, "embedding_size": E, "hidden_size": H, "layers": 1, "tied": False}
        | sizes,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    return config, cast_weights(weights, dtype)


@pytest.fixture(scope="module")
def decoder():
    return Decoder(*make())


def odd_arrays():
    """Arrays of many types, shapes and layouts, some of them right."""

    def build(shape, dtype, layout, fill):
        with np.errstate(all="ignore"):
            array = np.full(shape, fill).astype(dtype)
        if layout == "strided" and array.ndim:
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        if layout == "fortran":
            array = np.asfortranarray(array)
        if layout == "backward" and array.ndim:
            array = array[::-1]
        if layout == "unaligned" and array.size:
            raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
            array = raw.view(array.dtype).reshape(array.shape)
        if layout == "read-only":
            array.flags.writeable = False
        return array

    axis = st.sampled_from([0, 1, 2, 3, H, 2 * H, V])
    return st.builds(
        build,
        st.lists(axis, max_size=3).map(tuple),
        st.sampled_from(["f4", "f4", "f4", "f8", "i8", "i4", "u1", "?", ">f4", "c8", "f2"]),
        st.sampled_from(["plain", "plain", "strided", "fortran", "backward", "unaligned",
                         "read-only"]),
        st.sampled_from([0.0, 1.0, -1.0, 22.0, 23.0, 1e30, np.nan, np.inf]),
    )  # fmt: skip


anything = st.one_of(
    odd_arrays(),
    st.lists(st.integers(-2, V + 1), max_size=4),
    st.integers(-2, 2**40),
    st.none(),
    st.text(max_size=2),
)
right_state = st.integers(0, 3).map(lambda B: np.zeros((B, 2 * H), np.float32))
right_tokens = st.lists(st.integers(0, V - 1), min_size=1, max_size=3)
state = st.one_of(right_state, anything)
tokens = st.one_of(right_tokens, anything)
calls = st.one_of(
    st.tuples(st.just("step"), tokens, state),
    st.tuples(st.just("step"), tokens, state, state),
    st.tuples(st.sampled_from(["steps", "read", "score"]), tokens, state),
    st.tuples(st.just("trace"), tokens, state),
    st.tuples(
        st.just("trace"), right_tokens, right_state, st.none(),
        st.dictionaries(
            st.sampled_from(["layers.0.f", "layers.0.c", "layers.9.f"]),
            st.tuples(anything, anything), max_size=2,
        ),
    ),
    st.tuples(st.sampled_from(["top_k", "rank"]), state, st.one_of(st.integers(-1, V + 1),
                                                                    anything)),
    st.tuples(st.just("step_top_k"), tokens, state, st.one_of(st.integers(-1, V + 1), anything)),
    st.tuples(st.just("log_prob"), state, tokens),
    st.tuples(st.sampled_from(["logits", "decode"]), state),
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(call=calls)
def test_random_arguments_give_answers_or_errors(decoder, call):
    name, *arguments = call
    try:
        getattr(decoder, name)(*arguments)
    except (*REFUSED, AttributeError, OverflowError):
        pass
    # And it still works.
    assert decoder.top_k(decoder.initial_state(), 1)[0].shape == (1, 1)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["read", "trace", "top_k", "step_top_k", "decode", "log_prob", "score"]),
    arguments=st.lists(st.one_of(anything, right_state, st.booleans()), max_size=6),
)
def test_the_extension_itself_checks_all_it_is_given(decoder, name, arguments):
    try:
        getattr(decoder._decoder, name)(*arguments)
    except (*REFUSED, RuntimeError):
        pass


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cell=st.sampled_from(list(CELLS)),
    dtype=st.sampled_from(["float32", "bfloat16", "int8"]),
    which=st.integers(0, 8),
    instead=st.one_of(anything, st.tuples(anything, anything)),
)
def test_random_weights_give_decoders_or_errors(cell, dtype, which, instead):
    config, stored = make(cell, dtype)
    name = list(stored)[which % len(stored)]
    weights = dict(stored)
    if isinstance(instead, tuple):
        weights[name] = Quantized(*instead)
    else:
        weights[name] = instead
    try:
        made = Decoder(config, weights)
    except (*REFUSED, AttributeError):
        return
    made.top_k(made.step([0], made.initial_state()), 2)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e37, "just beyond", "largest"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_engine_takes_the_weights_that_a_folder_takes(dtype, value):
    """Beyond them sums would overflow, and the engine would say less than NumPy's NaN does."""
    config, stored = make("lstm-peephole", dtype)
    for name, weight in stored.items():
        array = weight.scale if isinstance(weight, Quantized) else weight
        limit = np.float32(MAX_SCALE if isinstance(weight, Quantized) else MAX_WEIGHT)
        changed = array.copy()
        if array.dtype == np.uint16:
            bits = {"just beyond": MAX_BFLOAT16 + 1, "largest": MAX_BFLOAT16}
            if value not in bits:
                bits[value] = np.float32(value).view(np.uint32) >> 16
            changed.flat[-1] = bits[value]
        else:
            numbers = {"just beyond": np.nextafter(limit, np.float32(np.inf)), "largest": limit}
            changed.flat[-1] = numbers.get(value, value)
        whole = Quantized(weight.values, changed) if isinstance(weight, Quantized) else changed
        assert (find_invalid_values(whole) is None) == (value == "largest")
        if value == "largest":
            Decoder(config, stored | {name: whole})
            continue
        with pytest.raises(ValueError, match=r"not finite, or beyond 1e\+15"):
            Decoder(config, stored | {name: whole})


def test_scores_that_overflow_are_an_error(decoder):
    config, stored = make()
    huge = stored | {"decoder.weight": np.full((V, H), MAX_WEIGHT, np.float32)}
    made = Decoder(config, huge)
    state = np.full((1, 2 * H), 1e30, np.float32)
    with pytest.raises(ValueError, match="too large"):
        made.top_k(state, 1)
    with pytest.raises(ValueError, match="too large"):
        made.log_prob(state, [1])
    assert made.rank(state, V).shape == (1, V)
    with pytest.raises(ValueError, match="not finite"):
        decoder.step([1], np.full((1, 2 * H), np.nan, np.float32))


def test_sums_that_overflow_are_as_for_the_cells():
    """A gate that is not a number stays one, and a ranking of such scores is some ranking."""
    config, stored = make()
    huge = stored | {"layers.0.weight_hh": np.full((4 * H, H), MAX_WEIGHT, np.float32)}
    huge["layers.0.weight_hh"][:, ::2] *= -1
    for isa in instruction_sets():
        decoder = Decoder(config, huge, isa=isa)
        state = np.full((1, 2 * H), 1e30, np.float32)
        hidden, after = decoder.read([1], state)
        backend = NumPyBackend(config, {name: to_float32(w) for name, w in huge.items()})
        with np.errstate(all="ignore"):
            expected = backend.read(np.array([[1]]), decoder.unpack(state)).hidden
        assert np.isnan(expected).any()
        np.testing.assert_array_equal(np.isnan(hidden), np.isnan(expected))
        with pytest.raises(ValueError, match="state holds a value that is not finite"):
            decoder.step([1], after)
        rows = np.full((V, H), MAX_WEIGHT, np.float32)
        rows[:, ::2] *= -1
        overflowing = Decoder(config, stored | {"decoder.weight": rows}, isa=isa)
        for k in (1, 5, V):
            assert len(set(overflowing.rank(state, k)[0].tolist())) == k


def test_wrong_arguments_say_what_is_wrong(decoder):
    state = decoder.initial_state(2)
    with pytest.raises(IndexError, match="token 23 is not among the 23 known"):
        decoder.step([0, 23], state)
    with pytest.raises(ValueError, match=r"state has shape \[2, 14\], not \[3, 14\]"):
        decoder.step([0, 1, 2], state)
    with pytest.raises(TypeError, match="state has another type"):
        decoder.step([0, 1], state.astype(np.float64))
    with pytest.raises(ValueError, match="state must be contiguous"):
        decoder.step([0, 1], np.asfortranarray(state))
    kept = state.copy()
    kept.flags.writeable = False
    with pytest.raises(TypeError):
        decoder.step([0, 1], state, out=kept)
    with pytest.raises(TypeError, match="whole numbers"):
        decoder.step([0.5, 1], state)
    with pytest.raises(ValueError, match="k must be 1 to 23"):
        decoder.top_k(state, 24)
    with pytest.raises(ValueError, match=r"no 'layers.0.r' among layers.0.i"):
        decoder.trace([1], state, clamps={"layers.0.r": (0.0, 0.0)})


def test_truncated_folders_are_refused(make_model, tmp_path):
    model = make_model()
    write_folder(tmp_path / "m", model.config, model.model.stored, model.tokenizer)
    Decoder.open(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    whole = file.read_bytes()
    for size in (0, 7, 100, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(FolderError):
            Decoder.open(tmp_path / "m")


def test_a_decoder_keeps_its_weights_alive():
    config, stored = make()
    copies = {name: weight.copy() for name, weight in stored.items()}
    made = Decoder(config, copies)
    expected = made.top_k(made.initial_state(), 5)
    copies.clear()
    [np.ones(V * H, np.float32) for _ in range(200)]
    np.testing.assert_array_equal(made.top_k(made.initial_state(), 5), expected)
    assert extension.MISSING == ""
