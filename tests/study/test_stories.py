"""The stories: labels that are true, seeds that repeat, facts that are held out."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.errors import SettingsError
from carousel.study.stories import (
    EXAMPLES,
    KINDS,
    TESTED_GAPS,
    TRAINED_GAPS,
    fill,
    is_held_out,
    tell_stories,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), gap=st.sampled_from(TESTED_GAPS), held=st.booleans())
def test_labels_are_true(kind, seed, gap, held):
    (story,) = tell_stories(1, seed=seed, kinds=[kind], gaps=[gap], held_out=held)
    words = story.words
    assert story.question.split() == words[:-1]
    assert words[story.decider] == story.answer == words[-1]
    assert story.distance == len(words) - 1 - story.decider
    assert story.rival in words[:-1]
    assert story.rival != story.answer
    if story.switch is not None:
        assert words[story.switch] == "friend"
    assert (story.switch is not None) == (kind in ("switch", "return"))


@settings(max_examples=50, deadline=None)
@given(gap=st.integers(3, 60), seed=st.integers(0, 1000))
def test_filler_has_the_length_asked_for(gap, seed):
    assert len(fill(gap, random.Random(seed))) == gap


def test_minimal_pairs_read_as_they_should():
    def first(kind, **where):
        return next(
            s.text
            for s in tell_stories(4000, kinds=[kind], gaps=[0], held_out=True)
            if s.text.startswith(where["start"])
        )

    assert first("same", start="krish likes pizza but he does not like burger") == (
        "krish likes pizza but he does not like burger so he orders pizza"
    )
    assert first("switch", start="krish likes pizza but his friend likes burger") == (
        "krish likes pizza but his friend likes burger so his friend orders burger"
    )
    assert first("return", start="krish likes pizza but his friend likes burger") == (
        "krish likes pizza but his friend likes burger so his friend orders burger "
        "and krish orders pizza"
    )


def test_the_same_seed_tells_the_same_stories():
    one, two, other = (list(tell_stories(50, seed=s)) for s in (1, 1, 2))
    assert one == two != other


def test_training_never_tells_what_tests_ask():
    length = {"same": 9, "switch": 8, "return": 8, "habits": 14, "names": 10}

    def facts(**how):
        return {tuple(s.words[: length[s.kind]]) for s in tell_stories(3000, **how)}

    trained, tested = facts(held_out=False), facts(held_out=True)
    assert not trained & tested
    assert all(is_held_out(example.split()) for example in EXAMPLES)


def test_in_habits_no_two_days_share_a_food():
    for story in tell_stories(300, kinds=["habits"], gaps=[0]):
        words = story.words
        assert words[1] != words[8]
        assert words[6] != words[13]


def test_gaps_trained_and_tested():
    assert max(TESTED_GAPS) == 3 * max(TRAINED_GAPS)
    with pytest.raises(SettingsError, match="gap of 2"):
        list(tell_stories(1, gaps=[2]))
    with pytest.raises(SettingsError, match="no such kind"):
        list(tell_stories(1, kinds=["fable"]))
