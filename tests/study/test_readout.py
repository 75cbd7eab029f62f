"""The linear readout and the explained variance, on states made by hand."""

import numpy as np
import pytest
from scipy.stats import f_oneway

from carousel.study.readout import explained, read_out

RNG = np.random.default_rng(0)
LABELS = np.array(["pizza", "rice", "soup"])[RNG.integers(0, 3, size=300)]


def test_a_planted_direction_is_read_and_noise_is_not():
    states = RNG.normal(size=(300, 20))
    noise = read_out(states[:200], LABELS[:200], states[200:]) == LABELS[200:]
    assert noise.mean() == pytest.approx(1 / 3, abs=0.17)
    states[:, 4] += 6.0 * (LABELS == "rice")
    states[:, 9] += 6.0 * (LABELS == "soup")
    found = read_out(states[:200], LABELS[:200], states[200:])
    assert (found == LABELS[200:]).mean() > 0.95


def test_explained_variance_by_its_definition():
    values = RNG.normal(size=(300, 3)) + np.array([0.0, 1.0, 5.0]) * (LABELS == "rice")[:, None]
    found = explained(values, LABELS)
    for unit in range(3):
        x = values[:, unit]
        groups = [x[kind == LABELS] for kind in set(LABELS)]
        within = sum(((group - group.mean()) ** 2).sum() for group in groups)
        assert found[unit] == pytest.approx(1 - within / ((x - x.mean()) ** 2).sum())
    assert found[0] < 0.1 < found[1] < found[2] < 1


def test_explained_variance_and_the_f_of_an_analysis_of_variance_are_one():
    values = RNG.normal(size=(300, 4)) + (LABELS == "soup")[:, None]
    f = f_oneway(*(values[kind == LABELS] for kind in np.unique(LABELS))).statistic
    between, within = 2, 300 - 3
    np.testing.assert_allclose(explained(values, LABELS), f * between / (f * between + within))


def test_a_unit_that_never_moves_explains_nothing():
    np.testing.assert_array_equal(explained(np.ones((300, 2)), LABELS), 0)
