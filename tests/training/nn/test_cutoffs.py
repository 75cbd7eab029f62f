"""Where the adaptive softmax divides a vocabulary: nowhere else would be cheaper."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.training.nn import cutoffs as module
from carousel.training.nn.cutoffs import (
    choose_cutoffs,
    choose_tail_sizes,
    count_tokens,
)


def rows_read(counts, cutoffs):
    """The rows of the decoder that a word reads on average, and what its clusters cost."""
    if not cutoffs:
        return len(counts)
    spans = pairwise([*cutoffs, len(counts)])
    tails = sum(counts[a:b].sum() * (b - a) for a, b in spans)
    return cutoffs[0] + tails / counts.sum() + len(cutoffs) * module.CLUSTER_COST


@settings(max_examples=20, deadline=None)
@given(st.integers(30, 3000), st.floats(0.3, 2), st.integers(1, 3))
def test_no_other_parting_of_the_same_places_is_cheaper(words, steepness, most):
    counts = np.ceil(1e6 * np.arange(1, words + 1) ** -steepness)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_CLUSTERS", most)
        patch.setattr(module, "CANDIDATES", 12)
        actual = choose_cutoffs(counts)
        places = module.candidate_cutoffs(words)
    others = [rows_read(counts, cut) for n in range(most + 1) for cut in combinations(places, n)]
    assert rows_read(counts, actual) == pytest.approx(min(others))


def test_few_or_equally_frequent_words_stay_together():
    assert choose_cutoffs(np.ones(100)) == ()
    assert choose_cutoffs(1e6 / np.arange(1, 150)) == ()


def test_a_large_vocabulary_costs_a_seventh():
    counts = 1e9 / np.arange(1, 33_279)
    assert rows_read(counts, choose_cutoffs(counts)) < 33_278 / 7


def test_widths_of_the_clusters():
    assert choose_tail_sizes(200, 3, tied=False) == (50, 12, 3)
    assert choose_tail_sizes(200, 2, tied=True) == (200, 200)
    assert choose_tail_sizes(2, 2, tied=False) == (1, 1)


def test_words_are_counted_in_stretches():
    ids = np.array([3, 1, 3, 0], dtype=np.uint16)
    assert count_tokens(ids, 5).tolist() == [1, 1, 0, 2, 0]
