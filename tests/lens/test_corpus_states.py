"""Reading a long text in streams gives every token's values once, as one reading would."""

import numpy as np
import pytest

from carousel.cells import CELLS
from carousel.lens import corpus_states as module
from carousel.lens.corpus_states import read_states


def gather(model, ids, points, **more):
    H = model.config.hidden_size
    made = {point: np.full((len(ids), H), np.nan) for point in points}
    for start, values in read_states(model.model, ids, points, **more):
        for point, array in values.items():
            rows = made[point][start : start + len(array)]
            assert np.isnan(rows).all()
            rows[:] = array
    return made


def in_one(model, ids, points):
    network = model.model
    reading = network.read(np.array([1, *ids])[:, None], network.initial_state(), points)
    return {point: reading.values[point][1:, 0] for point in points}


@pytest.mark.parametrize("cell", list(CELLS))
def test_a_short_text_is_read_as_a_trace_reads_it(make_model, cell):
    model = make_model(cell, layers=2, backend="numpy")
    ids = np.random.default_rng(0).integers(model.config.vocab_size, size=150).astype(np.uint16)
    points = ["layers.0.h", "layers.1.h"]
    found, wanted = gather(model, ids, points), in_one(model, ids, points)
    for point in points:
        np.testing.assert_allclose(found[point], wanted[point], atol=1e-6)


@pytest.mark.parametrize("length", [97, 640, 1000])
def test_streams_agree_with_one_reading_after_their_warm_up(make_model, monkeypatch, length):
    monkeypatch.setattr(module, "SHORTEST_STREAM", 90)
    model = make_model("gru", scale=0.4)
    ids = np.random.default_rng(1).integers(model.config.vocab_size, size=length)
    ticks = []
    found = gather(model, ids, ["layers.0.z"], on_progress=lambda *at: ticks.append(at))[
        "layers.0.z"
    ]
    wanted = in_one(model, ids, ["layers.0.z"])["layers.0.z"]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert ticks[-1] == (length, length)
    np.testing.assert_allclose(found[:90], wanted[:90], atol=1e-6)
