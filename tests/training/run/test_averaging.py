"""Averaged weights against their closed forms."""

import numpy as np
import pytest
import torch

from carousel.training.run.averaging import NON_MONOTONE, WeightAverage


def averaged(average, values):
    for value in values:
        average.update({"w": torch.tensor([value])})
    return average.weights["w"].item()


def test_ema_forgets_at_its_rate():
    average = WeightAverage("ema", {"w": torch.zeros(1)}, decay=0.9)
    average.steps = 1000  # long after the start
    values = [1.0, 5.0, -2.0]
    expected = sum(0.1 * 0.9 ** (2 - n) * value for n, value in enumerate(values))
    assert averaged(average, values) == pytest.approx(expected)


def test_ema_soon_forgets_where_it_began():
    average = WeightAverage("ema", {"w": torch.tensor([100.0])}, decay=0.999)
    assert averaged(average, [1.0] * 100) == pytest.approx(1, abs=0.1)


def test_nt_asgd_is_the_mean_since_its_trigger():
    average = WeightAverage("nt-asgd", {"w": torch.zeros(1)}, decay=0.9)
    averaged(average, [9.0, 9.0])
    assert average.steps == 0
    average.triggered = True
    values = np.random.default_rng(0).normal(size=50).tolist()
    assert averaged(average, values) == pytest.approx(np.mean(values), rel=1e-5)


def test_nt_asgd_waits_until_validation_stalls():
    average = WeightAverage("nt-asgd", {}, decay=0.9)
    losses = []
    for loss in [5.0, 4.0, 3.0, 3.2, 3.1, 3.3, 3.05]:
        losses.append(loss)
        average.look_at(losses)
        assert not average.triggered
    # No better than the best of all but the last NON_MONOTONE validations.
    losses.append(3.01)
    assert losses[-1] > min(losses[:-NON_MONOTONE])
    average.look_at(losses)
    assert average.triggered


def test_the_average_is_a_copy():
    weight = torch.ones(2)
    average = WeightAverage("ema", {"w": weight}, decay=0.5)
    weight.zero_()
    assert average.weights["w"].tolist() == [1, 1]
