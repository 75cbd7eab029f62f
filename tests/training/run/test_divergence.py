"""Divergence: what is not finite, or far above a uniform guess."""

import math

import pytest
import torch

from carousel.training.run.divergence import (
    EXPLOSION_MARGIN,
    DivergenceError,
    check_finite,
    check_loss,
)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite(loss):
    with pytest.raises(DivergenceError, match="the loss on validation is not finite"):
        check_loss(loss, name="the loss on validation")


def test_a_loss_far_above_that_of_a_uniform_guess():
    limit = math.log(100) + EXPLOSION_MARGIN
    check_loss(limit - 0.01, 100)
    check_loss(limit + 0.01)
    with pytest.raises(DivergenceError, match=r"has exploded to 9\.6 nats per token"):
        check_loss(limit + 0.01, 100)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_value_that_is_not_finite_is_enough(value):
    tensors = [torch.ones(3, 2), torch.ones(4)]
    check_finite(tensors)
    tensors[0][1, 1] = value
    with pytest.raises(DivergenceError):
        check_finite(tensors)
