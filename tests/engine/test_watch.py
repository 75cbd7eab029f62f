"""Gates by the kernels, in blocks: those of the reference, at the places that were asked for."""

import numpy as np
import pytest

from carousel.cells import CELLS
from carousel.engine import watch as module
from carousel.engine.decoder import instruction_sets
from carousel.engine.watch import read_traced
from carousel.lens.clamp import Clamp, Held
from carousel.lens.names import points_of

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels are not built")


@pytest.fixture
def short_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("T", [0, 1, 4, 11])
def test_blocks_are_the_whole(make_model, short_blocks, cell, T):
    model = make_model(cell, layers=2)
    ids = np.random.default_rng(T).integers(0, model.config.vocab_size, (T, 3))
    points = points_of(model.config)[::2]
    seen, hidden, state = read_traced(model.decoder, ids, model.initial_state(3), points)
    expected, hidden_expected, state_expected = model.record(ids, model.initial_state(3), points)
    assert list(seen) == points
    for point in points:
        np.testing.assert_allclose(seen[point], expected[point], atol=1e-5)
    np.testing.assert_allclose(hidden, hidden_expected, atol=1e-5)
    for ours, theirs in zip(state, state_expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "clamps",
    [
        [Clamp("forget", 1.0, at="pizza")],
        [Clamp("f", [0.2, 0.4], units=[1, 3], layer=1), Clamp("f", 0.9, at=5)],
        [Clamp("cell", 0.5, at=[2, 6]), Clamp("output", 0.0, units=[0])],
        [Clamp("hidden", 0.0, at="cat", layer=0), Clamp("hidden", 0.3, at="cat", units=[2])],
    ],
)
def test_clamps_by_the_kernels_are_the_references(make_model, short_blocks, clamps):
    model = make_model(layers=2)
    text = "the cat likes pizza but the dog likes pie"
    ids = np.array([1, *model.tokenizer.encode(text)])[:, None]
    points = points_of(model.config)
    held, slow = Held(model, clamps), Held(model, clamps)
    seen, hidden, _ = held.watch(ids, held.initial_state(), points)
    expected, hidden_expected, _ = slow.record(ids, slow.initial_state(), points)
    for point in points:
        np.testing.assert_allclose(seen[point], expected[point], atol=1e-5, err_msg=point)
    np.testing.assert_allclose(hidden, hidden_expected, atol=1e-5)
    assert held.untouched() == slow.untouched() == []
    assert [b.touched for b in held.bound] == [b.touched for b in slow.bound]
