"""Whole words from characters and byte pairs, against every word there is."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import softmax_by_hand
from carousel.predict.next_words import predict_next
from front_door import parts, read_logits

LETTERS = "ab"


def probability_of_tokens(model, context, tokens):
    """``P(tokens | context)`` and the distribution after them, a step at a time."""
    p = 1.0
    logits, state = read_logits(model, context)
    for token in tokens:
        p *= softmax_by_hand(logits)[token]
        scores, state = model.model.step([token], state)
        logits = scores[0]
    return p, softmax_by_hand(logits)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 50))
def test_characters_equal_the_enumeration_of_all_words(make_model, seed):
    model = make_model(kind="chars", text="ab ba\n", seed=seed, scale=1.0)
    token = model.tokenizer.id
    context = model.tokenizer.encode("ab ")
    expected = {}
    for n in range(1, 7):
        for letters in itertools.product(LETTERS, repeat=n):
            p, after = probability_of_tokens(model, context, [token(x) for x in letters])
            more = math.fsum(after[token(x)] for x in LETTERS)
            expected["".join(letters)] = p * (1 - more)
    best = sorted(expected.items(), key=lambda item: -item[1])[:4]
    found = predict_next(*parts(model), "ab", k=4)
    assert [p.word for p in found] == [word for word, _ in best]
    np.testing.assert_allclose([p.probability for p in found], [p for _, p in best], rtol=1e-4)


def test_a_prefix_is_kept(make_model):
    model = make_model(kind="chars", text="ab ba\n", seed=3)
    found = predict_next(*parts(model), "ab ", k=4, prefix="ab")
    assert len(found) == 4
    assert all(p.word.startswith("ab") for p in found)
    assert predict_next(*parts(model), "ab ab", k=4, complete=True) == found
    assert sum(p.probability for p in found) <= 1 + 1e-9


@pytest.mark.parametrize("text", ["the cat", "", "the cat\n"])
def test_byte_pairs_find_whole_words(make_model, text):
    model = make_model(kind="bpe", vocab=300, text="the cat sat on the mat\n" * 3)
    found = predict_next(*parts(model), text, k=5)
    assert len({p.word for p in found}) == 5
    assert all(p.word.strip() == p.word and p.word for p in found)
    ranked = [p.probability for p in found]
    assert ranked == sorted(ranked, reverse=True)
    assert 0 < sum(ranked) <= 1


def test_byte_pairs_with_a_prefix(make_model):
    model = make_model(kind="bpe", vocab=300, text="the cat sat on the mat\n" * 3)
    found = predict_next(*parts(model), "the cat", k=3, prefix="ca")
    assert found
    assert all(p.word.startswith("ca") for p in found)
