"""Units that react: against pair counting, closed forms, planted units and plain noise."""

import json
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from carousel.errors import LensError
from carousel.lens.clamp import Clamp
from carousel.lens.trace import trace_texts
from carousel.lens.units import (
    ablate_units,
    effect_sizes,
    find_units,
    gather,
    halves,
    separations,
)
from front_door import parts

FEW = st.sampled_from([-1.0, 0.0, 0.5, 3.0])
TIES = arrays(np.float64, st.tuples(st.integers(4, 12), st.just(2)), elements=FEW)


@given(TIES, st.data())
def test_auc_is_the_share_of_pairs_in_order(values, data):
    n = len(values)
    labels = np.zeros(n, dtype=bool)
    labels[data.draw(st.permutations(range(n)))[: data.draw(st.integers(2, n - 2))]] = True
    for unit, found in enumerate(separations(values, labels)):
        pairs = [
            (a > b) + 0.5 * (a == b) for a in values[labels, unit] for b in values[~labels, unit]
        ]
        assert found == pytest.approx(sum(pairs) / len(pairs))


@given(TIES, st.data())
def test_hedges_g_by_its_formula(values, data):
    n = len(values)
    labels = np.arange(n) < data.draw(st.integers(2, n - 2))
    for unit, found in enumerate(effect_sizes(values, labels)):
        a, b = values[labels, unit].tolist(), values[~labels, unit].tolist()
        squares = statistics.pvariance(a) * len(a) + statistics.pvariance(b) * len(b)
        apart = statistics.fmean(a) - statistics.fmean(b)
        if squares:
            d = apart / math.sqrt(squares / (n - 2))
            assert found == pytest.approx((1 - 3 / (4 * (n - 2) - 1)) * d)
        else:
            assert found == (math.copysign(math.inf, apart) if apart else 0)


def test_values_of_a_large_mean_keep_their_digits():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(60, 3)), np.arange(60) < 25
    moved = effect_sizes(values + 1e6, labels)
    np.testing.assert_allclose(moved, effect_sizes(values, labels), rtol=1e-6)


def test_of_two_normals_both_are_what_theory_says():
    rng = np.random.default_rng(1)
    labels = np.arange(40_000) % 2 == 0
    values = rng.normal(size=(40_000, 1)) + 0.8 * labels[:, None]
    assert effect_sizes(values, labels)[0] == pytest.approx(0.8, abs=0.03)
    # AUC of two normals one standard deviation wide: Φ(d / √2).
    expected = 0.5 * (1 + math.erf(0.8 / math.sqrt(2) / math.sqrt(2)))
    assert separations(values, labels)[0] == pytest.approx(expected, abs=0.01)


def plant(rng, units, strength, n=120, H=40):
    labels = rng.permutation(np.arange(n) % 2 == 0)
    values = rng.normal(size=(n, H))
    values[np.ix_(labels, units)] += strength
    return values, labels


def test_planted_units_are_found():
    values, labels = plant(np.random.default_rng(2), [3, 17, 31], -2.5)
    found = find_units(values, labels, count=3, shuffles=200, draws=200)
    assert set(found.units) == {3, 17, 31}
    assert (found.effect < -1.5).all()
    assert (found.auc < 0.2).all()
    assert (found.p_units < 0.01).all()
    assert found.separation > 0.8
    assert found.p_shuffled < 0.01
    assert found.p_random < 0.05
    assert abs(found.shuffled.mean() - 0.5) < 0.02
    assert found.table()["units"] == found.units.tolist()
    up = find_units(values, labels, count=3, falling=False, shuffles=50, draws=50)
    assert not {3, 17, 31} & set(up.units)


def test_a_unit_that_is_the_label_itself():
    labels = np.arange(40) % 2 == 0
    values = np.column_stack([np.random.default_rng(5).normal(size=40), 0.3 + 0.1 * labels])
    found = find_units(values, labels, count=1, shuffles=50, draws=10)
    assert found.units.tolist() == [1]
    assert found.effect[0] == math.inf
    assert found.auc[0] == found.separation == 1
    assert json.loads(json.dumps(found.table(), allow_nan=False))["effect"] == [None]


def test_what_gather_gives_is_what_find_units_takes(make_model):
    model = make_model()
    traces = [model.trace(text) for text in ["the cat sat", "a dog ran", "he likes pie", "the mat"]]
    labels = [np.arange(len(trace)) % 2 for trace in traces]
    gathered = gather(traces, "forget", labels)
    found = find_units(*gathered, count=2, shuffles=5, draws=5)
    values, flags, groups = gathered
    again = find_units(values, flags, groups=groups, count=2, shuffles=5, draws=5)
    np.testing.assert_array_equal(found.units, again.units)
    np.testing.assert_array_equal(found.judged, again.judged)
    with pytest.raises(LensError, match="one entry for each of the"):
        find_units(values, flags, 5, count=2)


def test_noise_is_found_as_often_as_stated():
    rng = np.random.default_rng(3)
    runs = 200
    wrong = {"shuffled": 0, "units": 0}
    for seed in range(runs):
        values, labels = plant(rng, [0], 0.0, n=40, H=15)
        found = find_units(values, labels, count=4, shuffles=99, draws=1, seed=seed)
        wrong["shuffled"] += found.p_shuffled <= 0.05
        wrong["units"] += bool((found.p_units <= 0.05).any())
    # Three standard deviations of a count of 200 at 5%.
    most = 0.05 * runs + 3 * math.sqrt(runs * 0.05 * 0.95)
    assert wrong["shuffled"] <= most
    assert wrong["units"] <= most
    assert wrong["shuffled"] > 0


def test_a_units_own_value_goes_with_no_other_half():
    # Of the values of each group the label is known by heart: only whole groups can show it.
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(20), 10)
    labels = np.isin(groups, rng.permutation(20)[:10])
    values = rng.normal(size=(20, 30))[groups] + 0.01 * rng.normal(size=(200, 30))
    apart = find_units(values, labels, groups, count=3, shuffles=20, draws=20)
    mixed = find_units(values, labels, count=3, shuffles=20, draws=20)
    assert mixed.separation > apart.separation + 0.1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(0, 5))
def test_groups_stay_whole(groups, seed):
    groups = np.array(groups)
    first = halves(groups, np.random.default_rng(seed))
    assert not set(groups[first]) & set(groups[~first])
    assert len(set(groups[first])) == len(set(groups)) // 2


@pytest.mark.parametrize(("cell", "name"), [("lstm", "forget"), ("gru", "z"), ("rnn", "hidden")])
def test_rows_from_traces(make_model, cell, name):
    model = make_model(cell, layers=2)
    traces = trace_texts(*parts(model), ["the cat sat", "a dog ran to the mat"])
    labels = [[-1, 0, 1, 0], [-1, 0, 1, 0, 0, 0, -1]]
    values, flags, groups = gather(traces, name, [np.array(x) for x in labels])
    assert groups.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert flags.tolist() == [False, True, False, False, True, False, False, False]
    np.testing.assert_array_equal(values[1], traces[0][name, 1][2])
    np.testing.assert_array_equal(values[4], traces[1][name, 1][2])
    with pytest.raises(LensError, match="trace 1 has 7 words, but 4 labels"):
        gather(traces, name, [np.zeros(4), np.zeros(4)])
    with pytest.raises(LensError, match="labels for 1"):
        gather(traces, name, [np.zeros(4)])


def test_found_units_against_others(make_model):
    model = make_model(hidden_size=8)
    # Only unit 5 is read: to ablate it is all, to ablate any other is nothing.
    weights = model.model.weights["decoder.weight"]
    weights[:, [unit for unit in range(8) if unit != 5]] = 0
    ids = np.array([[model.tokenizer.eol_id], [model.tokenizer.id("cat")]])

    def measure(held):
        hidden, state = held.read(ids, held.initial_state())[:2]
        assert state.h[0, 0, 5] == hidden[-1, 0, 5]
        return float(np.ptp(held.logits(hidden[-1, 0]) - held.weights["decoder.bias"]))

    result = ablate_units(
        *parts(model), Clamp("hidden", 0.0, at="cat", units=[5]), measure, draws=5
    )
    assert result.found == 0 < result.before
    np.testing.assert_allclose(result.random, result.before, atol=1e-6)
    assert result.p_random == 1 / 6
    assert result.table()["random_range"] == pytest.approx([float(result.before)] * 2, abs=1e-5)


def test_what_is_refused(make_model):
    values, labels = np.zeros((8, 3)), np.arange(8) < 4
    with pytest.raises(LensError, match="can't choose 4 of 3 units"):
        find_units(values, labels, count=4)
    with pytest.raises(LensError, match="only 1 rows with the label"):
        effect_sizes(values, np.arange(8) < 1)
    with pytest.raises(LensError, match="only 0 rows without"):
        separations(values, np.ones(8, dtype=bool))
    with pytest.raises(LensError, match=r"not \(8, 3\), \(7,\)"):
        separations(values, labels[:7])
    with pytest.raises(LensError, match="one entry for each of the 8 rows"):
        find_units(values, labels, np.array([0, 1, 2]), count=1)
    model = make_model()
    with pytest.raises(LensError, match="names no units"):
        ablate_units(*parts(model), Clamp("forget", 0.0), lambda held: 0.0)
    with pytest.raises(LensError, match="only 2 other units to draw 4 from"):
        ablate_units(*parts(model), Clamp("forget", 0.0, units=[0, 1, 2, 3]), lambda held: 0.0)
