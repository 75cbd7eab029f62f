"""Two sentences: every word in one pair, distances by hand, patches that decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import carousel
from carousel.errors import LensError
from carousel.lens.compare import align, compare_texts, patch_texts
from front_door import parts

A = "the cat likes pizza but the cat orders"
B = "the cat likes pizza but a dog ran to the cat orders"
WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


@given(first=WORDS, second=WORDS)
def test_every_word_is_in_one_pair_in_order(first, second):
    pairs = align(first, second)
    assert [s for s, _ in pairs if s is not None] == list(range(len(first)))
    assert [t for _, t in pairs if t is not None] == list(range(len(second)))
    assert (None, None) not in pairs


def test_equal_texts_are_no_distance_apart(make_model):
    same = make_model(layers=2).compare(A, A)
    assert same.distance.shape == (6, 2, 9)
    np.testing.assert_array_equal(same.distance, 0)
    assert same.parting() is None


def test_distances_by_hand(make_model):
    model = make_model("gru")
    found = compare_texts(*parts(model), A, B)
    a, b = model.trace(A), model.trace(B)
    parting = found.parting()
    assert found.first.words[found.pairs[parting - 1][0]] == "but"
    np.testing.assert_allclose(found.distance[:, :, :parting], 0, atol=1e-6)
    for gate, name in enumerate(found.names):
        for number, (s, t) in enumerate(found.pairs):
            if s is None or t is None:
                assert np.isnan(found.distance[gate, 0, number])
            else:
                expected = np.abs(a[name][s] - b[name][t]).mean()
                assert found.distance[gate, 0, number] == pytest.approx(expected, abs=1e-6)


def test_the_last_hidden_state_decides_alone(make_model):
    model = make_model(layers=2)
    found = compare_texts(*parts(model), A, B)
    moved = patch_texts(*parts(model), found, ("pizza", "pie"))
    assert moved.shape == found.distance.shape
    assert moved[found.names.index("h"), 1, -1] == pytest.approx(1, abs=1e-4)
    # Where the texts are still the same there is nothing to patch in.
    np.testing.assert_allclose(moved[:, :, : found.parting()], 0, atol=1e-4)
    with pytest.raises(LensError, match="vocabulary"):
        patch_texts(*parts(model), found, ("sushi", "pie"))


def test_the_switch_is_in_the_pretrained_models_cell():
    model = carousel.load()
    found = compare_texts(
        *parts(model),
        "krish likes pizza but he does not like burger so he orders",
        "krish likes pizza but his friend likes burger so his friend orders",
    )
    moved = patch_texts(*parts(model), found, ("pizza", "burger"))
    words = [None if s is None else found.first.words[s] for s, _ in found.pairs]
    assert moved[found.names.index("c"), 0, words.index("orders")] > 0.5
