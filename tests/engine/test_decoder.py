"""The decoder equals the cells, on every instruction set, at every point of a trace."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.cells import CELLS
from carousel.engine.decoder import Decoder
from carousel.engine.extension import instruction_sets
from carousel.errors import EngineError
from carousel.inference.backend import NumPyBackend
from carousel.inference.model import RecurrentLM
from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.storage.number_formats import DTYPES, Quantized, cast_weights, to_float32, to_tiles
from front_door import read_logits

SETS = instruction_sets()
pytestmark = pytest.mark.skipif(not SETS, reason="the kernels are not built")


def make(cell="lstm", dtype="float32", seed=0, scale=0.4, **sizes):
    """A configuration, random weights in float32, and as they are stored."""
    sizes = {"vocab_size": 37, "embedding_size": 9, "hidden_size": 11, "layers": 1} | sizes
    config = Config(cell=cell, dtype=dtype, tied=sizes.pop("tied", False), **sizes)
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(scale=scale, size=shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    return config, weights, cast_weights(weights, dtype)


def by_cells(config, stored, exactly=False):
    """The same model on NumPy and ``cells.py``, in float64 where it is to be exact."""
    if exactly:
        stored = {name: to_float32(kept).astype(np.float64) for name, kept in stored.items()}
    model = RecurrentLM(config, stored, backend="numpy")
    return model


def close(found, expected, atol=1e-5):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=atol)


shapes = st.fixed_dictionaries(
    {
        "vocab_size": st.integers(2, 70),
        "embedding_size": st.integers(1, 40),
        "hidden_size": st.integers(1, 40),
        "layers": st.integers(1, 3),
        "projection_size": st.sampled_from([0, 0, 5, 18]),
        "biases": st.booleans(),
        "carry_state": st.booleans(),
    }
)


@pytest.mark.parametrize("isa", SETS)
@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from(list(CELLS)),
    sizes=shapes,
    dtype=st.sampled_from(["float32", "bfloat16"]),
    T=st.integers(0, 5),
    B=st.sampled_from([1, 2, 3, 4, 9, 17, 33, 70]),
    seed=st.integers(0, 99),
)
def test_reading_and_decoding_equal_the_cells(isa, cell, sizes, dtype, T, B, seed):
    config, _, stored = make(cell, dtype, seed, **sizes)
    model, decoder = by_cells(config, stored, True), Decoder(config, stored, isa=isa)
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, config.vocab_size, (T, B))
    start = decoder.pack(model.initial_state(B))
    start += rng.uniform(-1, 1, start.shape).astype(np.float32)
    hidden, after = decoder.read(ids, start)
    expected, state = model.read(ids, decoder.unpack(start))[:2]
    close(hidden, expected)
    close(after, decoder.pack(state))
    close(decoder.logits(after), model.logits(decoded(model, state)))
    if T:  # a step alone, before differences of rounding add up
        _, state = model.read(ids[:1], decoder.unpack(start))[:2]
        close(decoder.step(ids[0], start), decoder.pack(state), atol=2e-6)
    one_by_one = start
    for words in ids:
        one_by_one = decoder.step(words, one_by_one)
    close(one_by_one, after)
    close(decoder.steps(ids, start), after)


def decoded(model, state):
    """What the decoder gets of a state."""
    projection = model.weights.get("projection.weight")
    return state.h[-1] if projection is None else state.h[-1] @ projection.T


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("cell", CELLS)
def test_long_prompts_are_read_in_blocks(isa, cell):
    config, _, stored = make(cell, layers=2)
    decoder = Decoder(config, stored, isa=isa)
    ids = np.random.default_rng(1).integers(0, config.vocab_size, (150, 3))
    hidden, after = decoder.read(ids, decoder.initial_state(3))
    expected, state = by_cells(config, stored).read(ids, decoder.unpack(0 * after))[:2]
    close(hidden, expected)
    close(after, decoder.pack(state))
    alone = decoder.steps(ids[:, 0], decoder.initial_state(2))
    close(alone, np.repeat(after[:1], 2, axis=0))


@pytest.mark.parametrize("isa", SETS)
@settings(max_examples=25, deadline=None)
@given(
    cell=st.sampled_from(list(CELLS)),
    H=st.integers(1, 35),
    B=st.integers(1, 3),
    seed=st.integers(0, 99),
    points=st.sets(st.integers(0, 11), max_size=4),
)
def test_traces_and_clamps_equal_the_cells(isa, cell, H, B, seed, points):
    config, _, stored = make(cell, hidden_size=H, layers=2, seed=seed)
    model, decoder = by_cells(config, stored), Decoder(config, stored, isa=isa)
    rng = np.random.default_rng(seed)
    T = 4
    ids = rng.integers(0, config.vocab_size, (T, B))
    clamps = {
        point: (rng.uniform(0, 1, (T, B, H)), rng.uniform(-1, 1, (T, B, H)))
        for n, point in enumerate(decoder.points)
        if n in points
    }
    expected = {point: np.empty((T, B, H)) for point in decoder.points}
    order = []

    def edit(point, t, value):
        if point in clamps:
            scale, offset = clamps[point]
            value = (scale[t] * value + offset[t]).astype(np.float32)
        expected[point][t] = value
        if t == 0:
            order.append(point)
        return value

    hidden, state = NumPyBackend(config, model.weights).read(
        ids, model.initial_state(B), edit=edit
    )[:2]
    seen = decoder.trace(ids, decoder.initial_state(B), clamps=clamps)
    assert list(seen.values) == decoder.points == order
    for point, values in seen.values.items():
        close(values, expected[point])
    close(seen.hidden, hidden)
    close(seen.state, decoder.pack(state))
    some = decoder.trace(ids, decoder.initial_state(B), decoder.points[::2], clamps)
    assert list(some.values) == decoder.points[::2]
    for point, values in some.values.items():
        np.testing.assert_array_equal(values, seen.values[point])
    np.testing.assert_array_equal(some.state, seen.state)


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_clamps_of_every_kind(isa, cell, dtype):
    """Scale 1 and offset 0 change no bit, 0 and a value set it, and all shapes broadcast."""
    T, B, H = 5, 3, 11
    config, _, stored = make(cell, dtype, layers=2)
    decoder = Decoder(config, stored, isa=isa)
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (T, B))
    state = decoder.initial_state(B)
    hidden, after = decoder.read(ids, state)
    free = decoder.trace(ids, state)
    same = decoder.trace(ids, state, clamps=dict.fromkeys(decoder.points, (1, 0)))
    for seen in (free, same):
        np.testing.assert_array_equal(seen.hidden, hidden)
        np.testing.assert_array_equal(seen.state, after)
        for point in decoder.points:
            np.testing.assert_array_equal(seen.values[point], free.values[point])
    target = np.linspace(-1, 1, H, dtype=np.float32)
    for point in decoder.points:
        held = decoder.trace(ids, state, [point], {point: (0, target)})
        np.testing.assert_array_equal(held.values[point], np.broadcast_to(target, (T, B, H)))
        rows = np.zeros((T, 1, 1), np.float32)  # clamped at the first token, free after it
        rows[1:] = 1
        first = decoder.trace(ids, state, [point], {point: (rows, (1 - rows) * target)})
        np.testing.assert_array_equal(first.values[point][0], np.broadcast_to(target, (B, H)))
        assert (first.values[point][1:] != target).any()
    with pytest.raises(ValueError, match="a clamp's offset holds a value that is not finite"):
        decoder.trace(ids, state, clamps={point: (1, np.nan)})
    with pytest.raises(ValueError, match="broadcast"):
        decoder.trace(ids, state, clamps={point: (np.ones(H + 1), 0)})
    with pytest.raises(ValueError, match=r"no 'layers.9.h' among"):
        decoder.trace(ids, state, ["layers.9.h"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("projection", [0, 6])
def test_the_best_words_of_what_was_read(dtype, projection):
    config, _, stored = make(dtype=dtype, projection_size=projection, layers=2)
    decoder = Decoder(config, stored)
    ids = np.random.default_rng(1).integers(0, config.vocab_size, (70, 1))
    hidden, after = decoder.read(ids, decoder.initial_state())
    best, log_probs = decoder.top_k_hidden(hidden[:, 0], 4)
    assert best.shape == log_probs.shape == (70, 4)
    last, last_log_probs = decoder.top_k(after, 4)
    np.testing.assert_array_equal(best[-1:], last)
    close(log_probs[-1:], last_log_probs)
    scores = decoder.decode(hidden[:, 0])
    np.testing.assert_array_equal(best[:, 0], scores.argmax(axis=1))


# -- rounding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", SETS)
@settings(max_examples=15, deadline=None)
@given(
    H=st.integers(1, 200),
    V=st.integers(1, 70),
    N=st.sampled_from([1, 2, 7, 8, 13]),
    spread=st.floats(0.01, 30),
    seed=st.integers(0, 99),
)
def test_rounded_decoders_are_within_their_bounds(isa, H, V, N, spread, seed):
    x = np.random.default_rng(seed).standard_t(3, (N, H)).astype(np.float32)
    for dtype in ("int8", "bfloat16"):
        config, weights, stored = make(
            dtype=dtype, hidden_size=H, vocab_size=V, seed=seed, scale=spread
        )
        found = Decoder(config, stored, isa=isa).decode(x).astype(np.float64)
        true = weights["decoder.weight"].astype(np.float64)
        exact = x.astype(np.float64) @ true.T + weights["decoder.bias"]
        kept = to_float32(stored["decoder.weight"]).astype(np.float64)
        # Weights move by at most half a step; a vector's values by half of its largest / 127.
        bound = np.abs(x) @ np.abs(kept - true).T
        if dtype == "int8":
            assert (np.abs(kept - true) <= 0.501 * stored["decoder.weight"].scale[:, None]).all()
            half = np.abs(x).max(axis=1, keepdims=True) / 254
            bound += half * np.abs(kept).sum(axis=1)
        else:
            assert (np.abs(kept - true) <= np.abs(true) * 2**-8).all()
        slack = 1e-5 * (np.abs(x) @ np.abs(true).T + np.abs(weights["decoder.bias"]))
        assert (np.abs(found - exact) <= bound * 1.00001 + slack).all()


def rounded(x):
    """What int8 products see of vectors: their largest magnitude in 127 steps."""
    scale = np.abs(x).max(axis=-1, keepdims=True) / np.float32(127)
    return np.rint(x / np.where(scale == 0, 1, scale)) * scale


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("cell", CELLS)
def test_int8_cells_round_their_vectors_and_nothing_else(isa, cell, monkeypatch):
    config, _, stored = make(cell, "int8", layers=2, hidden_size=21)
    decoder = Decoder(config, stored, isa=isa)
    ids = np.random.default_rng(5).integers(0, config.vocab_size, (6, 3))
    hidden, _ = decoder.read(ids, decoder.initial_state(3))

    def linear(x, weight, bias):
        y = rounded(x) @ weight.T
        return y if bias is None else y + bias

    monkeypatch.setattr("carousel.cells.linear", linear)
    expected, _ = by_cells(config, stored).read(ids, decoder.unpack(decoder.initial_state(3)))[:2]
    # A value that lies on the edge of two steps may fall to either.
    close(hidden, expected, atol=1e-2)
    assert np.median(np.abs(hidden - expected)) < 1e-6


@pytest.mark.parametrize("isa", SETS)
@settings(max_examples=25, deadline=None)
@given(
    cell=st.sampled_from(list(CELLS)),
    sizes=shapes,
    tied=st.booleans(),
    B=st.sampled_from([1, 3, 9, 17, 70]),
    seed=st.integers(0, 99),
)
def test_tiles_are_read_as_rows_are(isa, cell, sizes, tied, B, seed):
    if tied:
        sizes = sizes | {"embedding_size": sizes["projection_size"] or sizes["hidden_size"]}
    config, _, stored = make(cell, "int8", seed, tied=tied, **sizes)
    tiles = {
        name: to_tiles(weight) if name in config.tiled_matrices() else weight
        for name, weight in stored.items()
    }
    found, expected = (Decoder(config, weights, isa=isa) for weights in (tiles, stored))
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, (3, B))
    hidden, after = found.read(ids, found.initial_state(B))
    for ours, theirs in zip((hidden, after), expected.read(ids, 0 * after), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.logits(after), expected.logits(after))


def test_an_embedding_in_tiles_is_refused():
    config, _, stored = make(dtype="int8")
    assert isinstance(stored["embedding.weight"], Quantized)
    with pytest.raises(ValueError, match="the embedding must lie row by row"):
        Decoder(config, stored | {"embedding.weight": to_tiles(stored["embedding.weight"])})


def test_int8_products_are_the_same_on_all_instruction_sets():
    """Also at the ends of the range, where 16-bit sums of unsigned products would saturate."""
    config, weights, _ = make(dtype="int8", hidden_size=70, vocab_size=19)
    signs = np.random.default_rng(0).choice([-1, 1], (19, 70)).astype(np.float32)
    stored = cast_weights(weights | {"decoder.weight": signs}, "int8")
    assert set(np.unique(stored["decoder.weight"].values)) == {-127, 127}
    x = np.concatenate([signs, -signs, np.zeros_like(signs)]) * np.float32(0.9)
    found = [Decoder(config, stored, isa=isa).decode(x) for isa in SETS]
    expected = x @ signs.T + weights["decoder.bias"]
    for scores in found:
        np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-5)


def test_the_largest_and_smallest_numbers_make_gates_and_not_nan():
    config, weights, _ = make(hidden_size=5, vocab_size=4, embedding_size=4)
    weights["embedding.weight"] = np.diag([1e-38, 90, -90, 3e4]).astype(np.float32)
    model = by_cells(config, weights)
    for isa in SETS:
        decoder = Decoder(config, weights, isa=isa)
        ids = np.arange(4)[:, None]
        seen = decoder.trace(ids, decoder.initial_state())
        expected, _ = model.read(ids, model.initial_state())[:2]
        close(seen.hidden, expected)
        assert all(np.isfinite(values).all() for values in seen.values.values())


# -- many at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_more_threads_give_the_same(dtype):
    config, _, stored = make(dtype=dtype, vocab_size=9000, hidden_size=130, embedding_size=40)
    ids = np.random.default_rng(0).integers(0, 9000, (3, 5))
    one, three = Decoder(config, stored), Decoder(config, stored)
    three.threads = 3
    assert (one.threads, three.threads) == (1, 3)
    state = one.steps(ids, one.initial_state(5))
    np.testing.assert_array_equal(three.steps(ids, three.initial_state(5)), state)
    for found, expected in zip(three.top_k(state, 7), one.top_k(state, 7), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(three.logits(state), one.logits(state))
    np.testing.assert_allclose(
        three.log_prob(state, ids[0]), one.log_prob(state, ids[0]), rtol=1e-6
    )
    assert Decoder(config, stored, threads=3).threads in (1, 2, 3)
    assert Decoder(config, stored, threads=None).threads >= 1
    with pytest.raises(ValueError, match="threads must be 1 to 64"):
        Decoder(config, stored, threads=0)
    with pytest.raises(ValueError, match="threads must be 1 to 64"):
        three.threads = 65


def test_one_decoder_serves_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    config, _, stored = make(vocab_size=300, hidden_size=40)
    decoder = Decoder(config, stored)
    decoder.threads = 2
    ids = np.random.default_rng(0).integers(0, 300, (8, 50))
    expected = [decoder.score(row, decoder.initial_state())[0] for row in ids]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: decoder.score(row, decoder.initial_state())[0], ids))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("isa", SETS)
def test_scores_of_a_text_are_those_of_its_words(isa):
    config, _, stored = make(layers=2, projection_size=6)
    decoder = Decoder(config, stored, isa=isa)
    ids = np.random.default_rng(3).integers(0, config.vocab_size, (70, 2))
    found, after = decoder.score(ids, decoder.initial_state(2))
    state = decoder.initial_state(2)
    for t, words in enumerate(ids):
        np.testing.assert_allclose(found[t], decoder.log_prob(state, words), rtol=1e-5, atol=1e-6)
        state = decoder.step(words, state)
    close(after, state)


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B", [0, 1, 3, 70])
def test_a_step_with_its_predictions_is_both_calls(isa, dtype, B):
    config, _, stored = make(dtype=dtype, layers=2, vocab_size=300)
    decoder = Decoder(config, stored, isa=isa)
    tokens = np.arange(B)
    state = np.random.default_rng(B).uniform(-1, 1, (B, decoder.state_size)).astype(np.float32)
    expected = decoder.step(tokens, state)
    kept = state.copy()
    for out in (None, state):
        after, ids, log_probs = decoder.step_top_k(tokens, kept if out is None else state, 4, out)
        np.testing.assert_array_equal(after, expected)
        for found, alone in zip((ids, log_probs), decoder.top_k(expected, 4), strict=True):
            np.testing.assert_array_equal(found, alone)
    np.testing.assert_array_equal(state, expected)


# -- the face -------------------------------------------------------------------------------------


def test_states_are_plain_buffers():
    config, _, stored = make(layers=2)
    decoder = Decoder(config, stored)
    assert decoder.state_size == 2 * 2 * 11
    assert decoder.state_bytes == 4 * decoder.state_size
    state = decoder.initial_state(3)
    kept = state.copy()
    after = decoder.step([1, 2, 3], state)
    np.testing.assert_array_equal(state, kept)
    again = np.frombuffer(kept.tobytes(), dtype=np.float32).reshape(3, -1)
    np.testing.assert_array_equal(decoder.step([1, 2, 3], again), after)
    np.testing.assert_array_equal(decoder.step([1, 2, 3], state, out=state), after)
    np.testing.assert_array_equal(state, after)
    np.testing.assert_array_equal(decoder.pack(decoder.unpack(after)), after)


def test_the_instruction_set_is_chosen_by_the_environment(monkeypatch):
    config, _, stored = make()
    assert Decoder(config, stored).isa == SETS[0]
    monkeypatch.setenv("CAROUSEL_ISA", "plain")
    assert Decoder(config, stored).isa == "plain"
    monkeypatch.setenv("CAROUSEL_ISA", "mmx")
    with pytest.raises(EngineError, match=r"CAROUSEL_ISA may be .*plain"):
        Decoder(config, stored)


def test_a_decoder_opens_a_folder_and_says_what_it_is():
    from carousel.pretrained import PRETRAINED

    decoder = Decoder.open(PRETRAINED / "stories-lstm")
    assert repr(decoder).startswith("Decoder(lstm, float32, ")
    assert decoder.bytes_read > 4 * decoder.config.vocab_size * decoder.config.hidden_size


def test_a_model_without_the_engine_says_so_once_and_runs(make_model, monkeypatch):
    model = make_model()
    expected, _ = read_logits(model, [2, 3])
    monkeypatch.setattr("carousel.engine.extension._kernels", None)
    monkeypatch.setattr("carousel.engine.extension.MISSING", "no such file")
    alone = LanguageModel.from_weights(model.config, model.model.stored, model.tokenizer)
    with pytest.warns(RuntimeWarning, match="NumPy does their work: no such file"):
        found, _ = read_logits(alone, [2, 3])
    read_logits(alone, [2])  # which does not warn again, or the test would fail
    close(found, expected)
    with pytest.raises(EngineError, match="no such file"):
        Decoder(model.config, model.model.stored)
