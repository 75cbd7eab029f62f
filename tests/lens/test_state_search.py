"""Phrases: which units are on together, and where else, against a search written plainly."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.errors import LensError, TextError
from carousel.lens import state_search as module
from carousel.lens.clamp import Clamp
from carousel.lens.state_search import StateIndex, index_states
from carousel.text.cache import clear_cache
from front_door import parts, read_logits

TEXT = "the cat sat on the mat and the dog ran to the cat\nshe likes pizza but he likes pie\n"


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 40)
    return path


def test_the_index_holds_what_a_trace_shows(make_model, corpus, tmp_path):
    model = make_model(layers=2, hidden_size=13)
    index = index_states(
        *parts(model), [corpus], name="cell", layer=0, threshold=0.1, cache=tmp_path
    )
    assert index.point == "layers.0.c"
    assert index.bits.shape == (len(index.ids), 2)
    on = np.unpackbits(index.bits, axis=1)[:, :13].astype(bool)
    words = model.tokenizer.encode(TEXT)
    np.testing.assert_array_equal(index.ids[: len(words)], words)
    first = model.trace(TEXT.removesuffix("\n"), only=["layers.0.c"])["c", 0][1:]
    np.testing.assert_array_equal(on[: len(first)], first > 0.1)


def test_what_was_read_once_is_kept(make_model, corpus, tmp_path, monkeypatch):
    model = make_model()
    index = index_states(*parts(model), [corpus], cache=tmp_path)
    ticks = []
    again = index_states(
        *parts(model), [corpus], cache=tmp_path, on_progress=lambda *at: ticks.append(at)
    )
    np.testing.assert_array_equal(index.bits, again.bits)
    assert not ticks
    index_states(
        *parts(model),
        [corpus],
        threshold=0.31,
        cache=tmp_path,
        on_progress=lambda *at: ticks.append(at),
    )
    index_states(*parts(make_model(seed=1)), [corpus], cache=tmp_path)
    kept = sorted(tmp_path.glob("*.bits"))
    assert len(kept) == 3
    assert ticks[-1] == (len(index.ids), len(index.ids))
    # A file that was cut short is made anew.
    for path in kept:
        path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(
        index_states(*parts(model), [corpus], cache=tmp_path).bits, again.bits
    )
    assert not list(tmp_path.glob("*.part"))


def plain_search(on, units, length, off_before, off_after):
    """Every window's units, in plain Python."""
    made = []
    for start in range(len(on) - length + 1):
        made.append({
            unit for unit in units
            if all(on[start : start + length, unit])
            and not (off_before and start and on[start - 1, unit])
            and not (off_after and start + length < len(on) and on[start + length, unit])
        })  # fmt: skip
    return made


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 9999),
    length=st.integers(1, 5),
    rows=st.integers(1, 70),
    block=st.integers(3, 20),
    share=st.sampled_from([0.2, 0.6, 0.9]),
    before=st.booleans(),
    after=st.booleans(),
    k=st.integers(1, 5),
)
def test_a_search_finds_what_a_plain_one_finds(
    make_model, seed, length, rows, block, share, before, after, k
):
    model = make_model(hidden_size=19)
    rng = np.random.default_rng(seed)
    on = rng.random((rows, 19)) < share
    units = rng.choice(19, size=rng.integers(1, 6), replace=False).tolist()
    ids = rng.integers(model.config.vocab_size, size=rows)
    index = StateIndex(*parts(model), "layers.0.h", 0.5, ids, np.packbits(on, axis=1))
    saved, module.ROWS = module.ROWS, block
    try:
        found = index.find(units, length, off_before=before, off_after=after, k=k)
    finally:
        module.ROWS = saved
    windows = plain_search(on, units, length, before, after)
    assert found.units == sorted(units)
    assert found.together == on[:, units].all(1).sum()
    ranks = [(len(place.units), place.length) for place in found.places]
    assert ranks == sorted(ranks, reverse=True)
    assert len(ranks) <= k
    best = max(map(len, windows), default=0)
    assert bool(found.places) == (best > 0)
    if best:
        assert ranks[0][0] == best
    taken = np.zeros(rows, dtype=int)
    for place in found.places:
        end = place.start + place.length
        taken[place.start : end] += 1
        assert place.units == sorted(place.units)
        assert on[place.start : end, place.units].all()
        assert place.length >= length
        assert any(windows[at] == set(place.units) for at in range(place.start, end - length + 1))
        # It goes on for as long as it can.
        if not before and place.start:
            assert not on[place.start - 1, place.units].all()
        if not after and end < rows:
            assert not on[end, place.units].all()
        assert place.line == 1 + (ids[: place.start] == 1).sum()
    assert taken.max(initial=0) <= 1


def test_a_phrase_is_found_where_it_stands(make_model, corpus, tmp_path):
    model = make_model(hidden_size=40, seed=3)
    index = index_states(*parts(model), [corpus], threshold=0.15, cache=tmp_path)
    text = "the cat sat on the mat"
    values = model.trace(text)["hidden"]
    units = index.units_of(text, (2, 3))
    np.testing.assert_array_equal(units, np.flatnonzero((values[2:4] > 0.15).all(0)))
    found = index.find_phrase(text, (2, 3), k=200)
    assert found.units == units
    assert found.table()["places"][0]["text"] == found.places[0].text
    # The corpus begins with the same words, read from the same state: all units are on there.
    (first,) = (place for place in found.places if place.start <= 1 < place.start + place.length)
    assert first.units == units
    assert first.line == 1
    assert "cat sat" in first.text
    assert f"{first.before} {first.text} {first.after}".split()[:6] == text.split()
    new = index.units_of(text, (2, 3), off_before=True)
    assert set(new) < set(units)
    assert (values[1, new] <= 0.15).all()
    ended = index.units_of(text, (2, 3), off_after=True)
    assert (values[4, ended] <= 0.15).all()


def test_what_can_not_be_asked(make_model, corpus, tmp_path):
    model = make_model()
    index = index_states(*parts(model), [corpus], threshold=0.1, cache=tmp_path)
    for words in ((0, 1), (2, 1), (1, 9)):
        with pytest.raises(LensError, match="words 1 to 3"):
            index.units_of("the cat sat", words)
    with pytest.raises(LensError, match="no word comes after"):
        index.units_of("the cat sat", (2, 3), off_after=True)
    with pytest.raises(LensError, match="there is no unit 6; there are 0 to 5"):
        index.find([6])
    with pytest.raises(LensError, match="at least one unit"):
        index.find([])
    high = index_states(*parts(model), [corpus], threshold=0.999, cache=tmp_path)
    with pytest.raises(LensError, match="lower the threshold"):
        high.units_of("the cat sat", (1, 3))
    low = index_states(*parts(model), [corpus], threshold=-2, cache=tmp_path)
    with pytest.raises(LensError, match="beside them, too"):
        low.units_of("the cat sat", (2, 2), off_before=True)
    with pytest.raises(LensError, match="there is no layer 1"):
        index_states(*parts(model), [corpus], layer=1, cache=tmp_path)
    with pytest.raises(LensError, match="keep is made of gates"):
        index_states(*parts(model), [corpus], name="keep", cache=tmp_path)
    with pytest.raises(LensError, match="must be a number"):
        index_states(*parts(model), [corpus], threshold=float("nan"), cache=tmp_path)
    with model.clamp(Clamp("forget", 1.0)) as held:
        with pytest.raises(LensError, match="without its clamps"):
            index_states(*parts(held), [corpus], cache=tmp_path)
        read_logits(held, [3])
    (tmp_path / "file").write_text("")
    with pytest.raises(TextError, match="CAROUSEL_CACHE names another"):
        index_states(*parts(model), [corpus], cache=tmp_path / "file")


def test_a_cache_that_is_cleared_all_the_time_gives_the_index(
    make_model, corpus, tmp_path, monkeypatch
):
    model, cache = make_model(), tmp_path / "cleared"
    expected = index_states(*parts(model), [corpus], cache=tmp_path)
    replace = os.replace

    def clear_first(source, target):
        clear_cache(cache)
        replace(source, target)

    monkeypatch.setattr(os, "replace", clear_first)
    index = index_states(*parts(model), [corpus], cache=cache)
    np.testing.assert_array_equal(index.bits, expected.bits)
    assert not list(cache.iterdir())
