"""Intervals by the bootstrap, against what theory says of means."""

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from carousel.study.intervals import interval, summarize, wilson


def test_of_independent_stories_it_is_the_means_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval(values, np.arange(400))
    error = values.std() / np.sqrt(400)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=error / 2)


def test_ten_tellings_of_the_same_are_no_more_evidence_than_one():
    values = np.random.default_rng(1).normal(size=40)
    once = interval(values, np.arange(40))
    often = interval(np.repeat(values, 10), np.repeat(np.arange(40), 10))
    np.testing.assert_allclose(often, once)


def test_it_is_the_bootstrap_of_groups_that_scipy_gives():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(60), rng.integers(1, 6, size=60))
    values = rng.normal(size=60)[groups] + rng.normal(size=len(groups))
    sums, counts = np.bincount(groups, values), np.bincount(groups)
    wanted = bootstrap(
        (sums, counts),
        lambda sums, counts, axis: sums.sum(axis) / counts.sum(axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    low, high = interval(values, groups, draws=20_000)
    assert [low, high] == pytest.approx([wanted.low, wanted.high], abs=0.03 * (high - low))


def test_shapes_and_what_never_varies():
    values = np.ones((12, 3)) * [1.0, 2.0, 3.0]
    low, high = interval(values, np.arange(12) // 2)
    np.testing.assert_allclose([low, high], [[1, 2, 3]] * 2)


def test_a_summary_tells_the_mean_and_each_seed():
    values = np.stack([np.zeros((10, 2)), np.ones((10, 2))])
    summary = summarize(values, np.arange(10))
    assert summary["mean"] == [0.5, 0.5] == summary["low"] == summary["high"]
    assert summary["seeds"] == [[0, 0], [1, 1]]


def test_wilson_is_the_interval_whose_ends_are_one_test_away():
    """Its ends solve |share - p| = z sqrt(p (1 - p) / n), which defines it."""
    for right, count in ((0, 10), (3, 10), (95, 100), (1000, 1000)):
        for end in wilson(right, count):
            if 0 < end < 1:
                wanted = norm.ppf(0.975) * np.sqrt(end * (1 - end) / count)
                assert abs(right / count - end) == pytest.approx(wanted)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)
