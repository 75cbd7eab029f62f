"""Generation: what it may draw, and that it draws it as often as it should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import softmax_by_hand
from carousel.errors import PredictionError, SettingsError
from carousel.predict.generation import generate, sampling_distribution
from front_door import parts, read_logits

LOGITS = st.lists(st.floats(-5, 5), min_size=2, max_size=12)


@settings(max_examples=100, deadline=None)
@given(logits=LOGITS, temperature=st.floats(0.2, 3))
def test_temperature_divides_the_logits(logits, temperature):
    p = sampling_distribution(np.array(logits), temperature)
    np.testing.assert_allclose(p, softmax_by_hand([x / temperature for x in logits]), rtol=1e-9)


@settings(max_examples=100, deadline=None)
@given(logits=LOGITS, k=st.integers(1, 12), top_p=st.floats(0.05, 1))
def test_top_k_and_top_p_keep_the_fewest_likeliest(logits, k, top_p):
    p = sampling_distribution(np.array(logits), 1.0, k, top_p)
    full = softmax_by_hand(logits)
    ranked = sorted(range(len(full)), key=lambda i: (-full[i], i))
    kept, mass = [], 0.0
    for i in ranked[:k]:
        kept.append(i)
        mass += full[i]
        if mass >= top_p - 1e-12:
            break
    assert p.sum() == pytest.approx(1)
    if abs(mass - top_p) > 1e-9:
        assert sorted(np.flatnonzero(p)) == sorted(kept)


def test_temperature_zero_takes_the_likeliest(make_model):
    model = make_model()
    text = "".join(generate(*parts(model), "the cat", temperature=0, max_tokens=3))
    ids = model.tokenizer.encode("the cat")
    for _ in range(3):
        logits, _ = read_logits(model, ids)
        logits[0] = -np.inf
        ids.append(int(logits.argmax()))
    assert "the cat" + text == model.tokenizer.decode(ids)


def test_a_seed_repeats_itself(make_model):
    model = make_model()
    one, two, other = (
        "".join(generate(*parts(model), "the", seed=s, max_tokens=30)) for s in (1, 1, 2)
    )
    assert one == two != other


def test_frequencies_follow_the_softmax(make_model):
    model = make_model(scale=0.3)
    draws = 600
    logits, _ = read_logits(model, model.tokenizer.encode("the"))
    logits[0] = -np.inf
    p = np.array(softmax_by_hand(logits))
    counts = np.zeros(len(p))
    for seed in range(draws):
        piece = "".join(generate(*parts(model), "the", seed=seed, max_tokens=1))
        counts[1 if piece == "\n" else model.tokenizer.id(piece.strip())] += 1
    # Each count within five standard deviations of its mean.
    assert (np.abs(counts - draws * p) <= 5 * np.sqrt(draws * p * (1 - p)) + 1).all()


def test_unknown_is_never_drawn_and_pieces_join(make_model):
    model = make_model(seed=2)
    pieces = list(generate(*parts(model), "the cat", seed=0, max_tokens=200))
    text = "".join(pieces)
    assert "<unk>" not in text
    ids = model.tokenizer.encode("the cat" + text)
    assert len(ids) == 202


@pytest.mark.parametrize("stop", ["a", "cat", " ", "\n"])
def test_stop_texts_are_never_shown(make_model, stop):
    for seed in range(5):
        text = "".join(generate(*parts(make_model()), "so", seed=seed, max_tokens=60, stop=[stop]))
        assert stop not in text


def test_a_stop_that_never_comes_changes_nothing(make_model):
    model = make_model()
    free = "".join(generate(*parts(model), "so", seed=3, max_tokens=20))
    assert (
        "".join(generate(*parts(model), "so", seed=3, max_tokens=20, stop=["never ever"])) == free
    )


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"stop": [""]}, "stop"),
    ],
)
def test_nonsense_settings(make_model, settings_, message):
    with pytest.raises(SettingsError, match=message):
        generate(*parts(make_model()), "the", **settings_)


def test_unknown_text(make_model):
    with pytest.raises(PredictionError, match="none of the words"):
        generate(*parts(make_model()), "xyzzy")
