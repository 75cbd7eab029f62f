"""Accuracy of the last word, counted on models whose answers are known."""

import numpy as np
import pytest

from carousel.model import LanguageModel
from carousel.study.last_word import (
    TEST_SEED,
    count_right,
    guess_last_words,
    mean_accuracy,
    measure_accuracy,
)
from carousel.study.stories import FOODS, tell_stories
from front_door import read_logits

VOCABULARY = " ".join({word for story in tell_stories(3000) for word in story.words})


@pytest.fixture
def parrot(make_model):
    """A model that answers "pizza" to everything."""
    model = make_model(text=VOCABULARY)
    weights = model.model.weights
    for weight in weights.values():
        weight[:] = 0
    weights["decoder.bias"][model.tokenizer.id("pizza")] = 1
    return LanguageModel.from_weights(model.config, weights, model.tokenizer)


def test_a_model_that_says_one_word_is_right_where_it_is_the_answer(parrot):
    stories = list(tell_stories(200, seed=5, kinds=["same"], held_out=True))
    assert count_right(parrot, stories) == sum(story.answer == "pizza" for story in stories)


def test_batches_of_one_length_change_nothing(make_model):
    model = make_model(text=VOCABULARY, scale=2.0)
    stories = list(tell_stories(300, seed=6, held_out=True))
    one_by_one = sum(count_right(model, [story]) for story in stories)
    assert count_right(model, stories) == one_by_one


def test_the_table_has_a_row_for_each_kind_and_gap(parrot):
    rows = measure_accuracy(parrot, per_cell=40, kinds=["same", "names"], gaps=[0, 24])
    assert [(row["kind"], row["gap"]) for row in rows] == [
        ("same", 0), ("same", 24), ("names", 0), ("names", 24),
    ]  # fmt: skip
    assert mean_accuracy(rows, kind="names") == 0
    assert 0 < mean_accuracy(rows, kind="same") < 3 / len(FOODS)
    assert mean_accuracy(rows) == np.mean([row["accuracy"] for row in rows])


def test_tests_tell_other_stories_than_training():
    told = {story.text for story in tell_stories(5000, seed=0)}
    asked = {story.text for story in tell_stories(5000, seed=TEST_SEED, held_out=True)}
    assert not told & asked


def test_guesses_stand_in_order_and_can_be_asked_for_before_the_end(make_model):
    model = make_model(text=VOCABULARY, scale=2.0)
    stories = list(tell_stories(40, seed=7))
    for before_end in (0, 2):
        found = guess_last_words(model, stories, before_end=before_end)
        for story, guess in zip(stories, found, strict=True):
            ids = model.tokenizer.encode(story.question)
            logits, _ = read_logits(model, ids[: len(ids) - before_end])
            assert guess == logits.argmax()
