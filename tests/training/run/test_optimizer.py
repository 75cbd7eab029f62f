"""The learning rate over a run."""

import itertools

import numpy as np
import pytest

from carousel.training.run.optimizer import learning_rate_factor


def test_the_schedule_rises_then_falls_to_nothing():
    values = [learning_rate_factor(at, 0.1) for at in np.linspace(0, 1, 101)]
    assert values[5] == pytest.approx(0.5)
    assert max(values) == values[10] == 1
    assert values[-1] == pytest.approx(0, abs=1e-12)
    assert all(a >= b for a, b in itertools.pairwise(values[10:]))
    assert learning_rate_factor(0.0, 0.0) == 1
