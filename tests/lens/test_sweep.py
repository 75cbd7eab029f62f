"""A sweep is one clamp after the other, read side by side."""

import numpy as np
import pytest

import carousel
from carousel.errors import LensError
from carousel.lens.clamp import Clamp

TEXT = "the cat likes pizza but the dog likes"


@pytest.mark.parametrize("backend", ["auto", "numpy"])
@pytest.mark.parametrize("kind", ["set", "scale", "toward"])
def test_each_value_is_a_clamp_of_its_own(make_model, backend, kind):
    lm = make_model(layers=2, backend=backend)
    values = [0.0, 0.3, 1.0]
    clamp = Clamp("forget", 1.0, kind, at="cat")
    sweep = lm.sweep(TEXT, clamp, values, compare=("pie", "pizza"))
    for number, value in enumerate(values):
        if kind == "toward":
            one = Clamp.toward("forget", 1.0, value, at=2)
        else:
            one = Clamp("forget", value, kind, at=2)
        effect = lm.effect(TEXT, one, compare=("pie", "pizza"))
        np.testing.assert_allclose(sweep.logits[number], effect.after.logits[-1], atol=1e-5)
        assert sweep.difference[number] == pytest.approx(effect.difference_after, abs=1e-5)
    np.testing.assert_allclose(sweep.probabilities.sum(1), 1)


def test_other_clamps_are_refused(make_model):
    with pytest.raises(LensError, match="sets, scales or moves, not of 'freeze'"):
        make_model().sweep(TEXT, Clamp.freeze("forget", at="cat"), [0.0, 1.0])


def test_the_shipped_models_answer_turns_between_half_and_two_thirds():
    switch = "krish likes pizza but his friend likes burger so his friend orders"
    sweep = carousel.load().sweep(
        switch, "forget~1:1@5-8", np.linspace(0, 1, 21), compare=("burger", "pizza")
    )
    turns = np.flatnonzero(np.diff(np.sign(sweep.difference)))
    assert len(turns) == 1
    assert 0.45 <= sweep.values[turns[0]] <= 0.65
