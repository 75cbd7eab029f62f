"""Holding gates: what the equations say must follow, and nothing left behind."""

import warnings

import numpy as np
import pytest

import carousel
from carousel.cells import CELLS
from carousel.errors import LensError, UntouchedWarning
from carousel.lens.clamp import Clamp, hold
from carousel.lens.trace import trace_text
from front_door import parts

TEXT = "the cat likes pizza but the dog likes pie"


def traced(model, *clamps, text=TEXT):
    with hold(*parts(model), *clamps) as held:
        return trace_text(held, model.tokenizer, text)


@pytest.mark.parametrize("layers", [1, 2])
def test_nothing_in_nothing_out_or_no_candidate_are_one(make_model, layers):
    """With i = 0, g = 0 or o = 0 everywhere from a zero state, h is 0 and the rest follows."""
    model = make_model(layers=layers)
    shut = [traced(model, Clamp(gate, 0.0)) for gate in ("input", "output", "candidate")]
    for one in shut:
        np.testing.assert_array_equal(one["h", layers - 1], 0)
        np.testing.assert_array_equal(one.logits, shut[0].logits)


def test_an_open_forget_gate_and_a_shut_input_keep_the_belt_as_it_is(make_model):
    trace = traced(
        make_model(), Clamp("forget", 1.0, at=[3, 4, 5]), Clamp("input", 0.0, at=[3, 4, 5])
    )
    for t in (3, 4, 5):
        np.testing.assert_array_equal(trace["c"][t], trace["c"][2])
    assert np.abs(trace["c"][6] - trace["c"][5]).max() > 1e-3


def test_it_acts_from_that_word_on_as_the_state_carries_it(make_model):
    model = make_model(layers=2)
    free, held = model.trace(TEXT), traced(model, Clamp("forget", 0.0, layer=1, at="pizza"))
    at = free.words.index("pizza")
    for point, values in free.values.items():
        np.testing.assert_array_equal(held.values[point][:at], values[:at])
    np.testing.assert_array_equal(held["f", 1][at], 0)
    np.testing.assert_array_equal(held["c", 0], free["c", 0])
    assert np.abs(held["h", 1][at:] - free["h", 1][at:]).min(1).max() > 1e-6
    assert not np.allclose(held.logits[-1], free.logits[-1])


def test_each_way_to_hold(make_model):
    model = make_model()
    free = model.trace(TEXT)
    other = model.trace("the dog ran to pizza and pie and a cat")
    units = [1, 4]
    rest = [0, 2, 3, 5]

    def first(clamp):
        return traced(model, clamp)["g"][3]

    was = free["g"][3]
    checks = {
        "set": (Clamp("g", 0.25, at=3, units=units), np.full(2, 0.25)),
        "each": (Clamp("g", [0.1, 0.2], at=3, units=units), np.float32([0.1, 0.2])),
        "scale": (Clamp("g", 0.5, "scale", at=3, units=units), was[units] * np.float32(0.5)),
        "freeze": (Clamp("g", how="freeze", at=3, units=units), free["g"][2, units]),
        "mean": (Clamp("g", other, "mean", at=3, units=units), other["g"].mean(0)[units]),
        "patch": (Clamp("g", other, at=3, units=units), other["g"][3, units]),
        "source": (Clamp("g", other, at=3, units=units, source=5), other["g"][5, units]),
        "function": (Clamp("g", lambda now: -now, at=3, units=units), -was[units]),
    }
    for name, (clamp, expected) in checks.items():
        np.testing.assert_allclose(first(clamp)[units], expected, rtol=1e-6, err_msg=name)
        # Kernels and reference round differently.
        np.testing.assert_allclose(first(clamp)[rest], was[rest], atol=1e-6, err_msg=name)
    noise = Clamp("g", 0.3, "noise", at=3)
    assert 0.02 < np.abs(first(noise) - was).mean() < 1
    np.testing.assert_array_equal(first(noise), first(noise))


def test_a_whole_run_patched_in_is_that_run(make_model):
    model = make_model("gru", layers=2)
    a, b = "the cat likes pizza", "a dog ran to"
    other = model.trace(b)
    clamps = [Clamp(name, other) for name in "rznh"]
    np.testing.assert_allclose(traced(model, *clamps, text=a).logits, other.logits, atol=1e-6)


def test_a_frozen_unit_stands_still_for_several_words(make_model):
    model = make_model()
    trace = traced(model, Clamp("cell", how="freeze", at=[3, 4, 5], units=[2]))
    expected = model.trace(TEXT)["c"][2, 2]
    np.testing.assert_allclose(trace["c"][3:6, 2], expected, atol=1e-6)
    assert np.ptp(trace["c"][3:6, 2]) == 0


def test_a_held_gru_reset_gate_changes_its_candidate(make_model):
    for cell in ("gru", "gru-reset-before"):
        model = make_model(cell)
        free, held = model.trace(TEXT), traced(model, Clamp("reset", 0.0, at=4))
        assert np.abs(held["n"][4] - free["n"][4]).max() > 1e-4
        np.testing.assert_allclose(held["z"][4], free["z"][4], atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_is_left_behind(make_model, cell):
    model = make_model(cell)
    before = model.trace(TEXT)
    copies = {name: weight.copy() for name, weight in model.model.weights.items()}
    with model.clamp("hidden", 0.0, at="cat") as held:
        assert held.model.interventions
        held.next_words(TEXT)
        with held.clamp("hidden", 1.0, at="dog") as both:
            trace = both.trace(TEXT)
            np.testing.assert_array_equal(trace["h"][[2, 7]], [[0] * 6, [1] * 6])
    np.testing.assert_array_equal(model.trace(TEXT).logits, before.logits)
    for name, weight in model.model.weights.items():
        np.testing.assert_array_equal(weight, copies[name])


def test_words_are_held_in_sessions_and_while_generating(make_model):
    model = make_model()
    with model.clamp("input", 0.0) as held:
        # With nothing ever put on the belt every word is as good as the line's start.
        start = held.next_words("", 1)[0]
        session = held.session()
        session.feed("the cat")
        session.feed("likes")
        assert session.next_words(1)[0] == start
        assert held.generate("the", max_tokens=3, seed=0) != "the"
    with model.clamp("input", 0.0, at="likes") as held:
        session = held.session()
        session.feed("the cat")
        session.feed("likes")
        assert session.next_words(3) == held.next_words("the cat likes", 3)


def test_what_touched_nothing_warns(make_model):
    model = make_model()
    with (
        pytest.warns(UntouchedWarning, match="forget touched nothing: 'pizza' was never read"),
        model.clamp("forget", 1.0, at="pizza") as held,
    ):
        held.next_words("the cat")
    with pytest.warns(UntouchedWarning, match="any word"), model.clamp("forget", 1.0):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with model.clamp("forget", 1.0, at="pizza") as held:
            held.next_words("the pizza")


@pytest.mark.parametrize(
    ("clamp", "said"),
    [
        (Clamp("gate", 0.0), r"no 'gate'; there are forget \(f\)"),
        (Clamp("forget", 0.0, layer=3), "no layer 3; there are 0 to 1"),
        (Clamp("layers.3.forget", 0.0), "no layer 3"),
        (Clamp("layers.1.forget", 0.0, layer=0), "another than layer=0"),
        (Clamp("forget", 0.0, units=[2, 6]), "no unit 6; there are 0 to 5"),
        (Clamp("forget", 0.0, at="sushi"), "'sushi' is not a word of the vocabulary; there are"),
        (Clamp("forget", 0.0, at=-1), "positions count from 0"),
        (Clamp("forget", 0.0, at=[]), "at no word at all"),
        (Clamp("forget", "much"), "wants a number"),
        (Clamp("forget", float("nan")), "finite"),
        (Clamp("forget", [1.0, 2.0]), "one number, or one for each of 6"),
        (Clamp("forget", 1.0, "squash"), "how must be one of set, scale"),
        (Clamp("forget", 1.0, "mean"), "wants a trace"),
        (Clamp("forget", 1.0, "function"), "wants a function"),
        (Clamp("keep", 1.0), "hold those"),
    ],
)
def test_what_can_not_be_held(make_model, clamp, said):
    with pytest.raises(LensError, match=said), hold(*parts(make_model(layers=2)), clamp):
        pass


def test_a_patch_beyond_the_other_run(make_model):
    model = make_model()
    short = model.trace("the cat")
    with pytest.raises(LensError, match="the other run has no word 3"):
        traced(model, Clamp("forget", short))


def test_the_shipped_model_forgets_what_no_gate_let_in():
    model = carousel.load()
    switch = "krish likes pizza but his friend likes burger so his friend orders"
    shut = ["input=0@burger", "forget=1@burger", "output=0@burger"]
    # The input gate alone does not keep the word out: what the other two do tells it, too.
    alone = model.effect(switch, shut[0], compare=("burger", "pizza"))
    assert alone.difference_before > 15 > 10 > alone.difference_after
    effect = model.effect(switch, shut, compare=("burger", "pizza"))
    assert effect.difference_before > 5 > -5 > effect.difference_after
    assert effect.changes[0].word in ("burger", "pizza")
    assert effect.divergence > 3
