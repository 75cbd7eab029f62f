"""The settings that nobody chose: what the rule gives, and what it must leave alone."""

import tomllib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.training.defaults import (
    CHARACTERS,
    WORDS,
    Budget,
    choose_min_count,
    choose_settings,
    describe_choice,
    operations_per_token,
)
from carousel.training.job import train_model
from carousel.training.run.progress_reporter import NoProgress
from carousel.training.settings import Settings, read_recipe

TWO_CORES = Budget("cpu", "bfloat16", cores=2)
QUICK = {"epochs": 0.2, "device": "cpu"}


class Listener(NoProgress):
    def __init__(self):
        self.lines = []

    def print(self, line):
        self.lines.append(line)


def in_minutes(tokens, minutes, tokenizer="words", **given):
    budget = TWO_CORES._replace(max_minutes=minutes)
    return choose_settings(tokens, 20_000, tokenizer, budget, given)


sizes = st.integers(10, 10**10)
budgets = st.builds(
    Budget,
    st.sampled_from(["cpu", "cuda"]),
    st.sampled_from(["float32", "bfloat16"]),
    st.integers(1, 256),
    st.none() | st.floats(0.01, 10_000),
    st.none(),
)
few_examples = settings(max_examples=40)


@few_examples
@given(sizes, st.integers(3, 10**6), st.sampled_from(["words", "chars", "bpe"]), budgets)
def test_the_rule_always_makes_settings_that_can_be_used(tokens, vocab_size, tokenizer, budget):
    chosen = choose_settings(tokens, vocab_size, tokenizer, budget, {})
    length = {"tokenizer": tokenizer, "max_minutes": budget.max_minutes}
    merged = Settings.merged(chosen, length)
    assert ("epochs" in chosen) == (budget.max_minutes is None)
    assert "\n" not in describe_choice(tokens, vars(merged), budget)
    if merged.epochs is not None:
        assert 1 <= merged.epochs <= 30


@few_examples
@given(sizes, st.sampled_from(["words", "chars"]), st.floats(0.1, 1000), st.floats(0.1, 1000))
def test_more_time_makes_no_smaller_model(tokens, tokenizer, one, other):
    shorter, longer = sorted((one, other))
    small = in_minutes(tokens, shorter, tokenizer)
    large = in_minutes(tokens, longer, tokenizer)
    assert small["hidden_size"] <= large["hidden_size"]
    assert small["layers"] <= large["layers"]


@few_examples
@given(sizes, sizes, st.sampled_from(["words", "chars"]))
def test_more_text_makes_no_smaller_model_and_is_read_no_more_often(one, other, tokenizer):
    few, many = sorted((one, other))
    small = choose_settings(few, 1000, tokenizer, TWO_CORES, {})
    large = choose_settings(many, 1000, tokenizer, TWO_CORES, {})
    assert small["hidden_size"] <= large["hidden_size"]
    assert small["epochs"] >= large["epochs"]
    assert small["dropout"] >= large["dropout"]


def test_a_small_text_has_dropout_and_a_huge_one_is_read_once():
    assert choose_settings(20_000, 3000, "words", TWO_CORES, {})["dropout"] == 0.5
    huge = choose_settings(10**9, 100_000, "words", TWO_CORES, {})
    assert (huge["epochs"], huge["dropout"]) == (1.0, 0.0)


def test_float32_and_fewer_cores_make_smaller_models():
    budget = Budget("cpu", "float32", cores=1, max_minutes=3)
    slow = choose_settings(2_000_000, 30_000, "words", budget, {})
    assert slow["hidden_size"] < in_minutes(2_000_000, 20)["hidden_size"] == 650


def test_sizes_that_were_given_count():
    assert in_minutes(2_000_000, 20, hidden_size=120)["embedding_size"] == 120
    assert in_minutes(2_000_000, 20, embedding_size=64)["hidden_size"] == 650
    # A larger model reads the text less often, so that less dropout is needed.
    wide = in_minutes(2_000_000, 20, hidden_size=2000)
    narrow = in_minutes(2_000_000, 20, hidden_size=50)
    assert wide["dropout"] < narrow["dropout"]


@pytest.mark.parametrize("table", [WORDS, CHARACTERS])
def test_the_tables_rise(table):
    assert table[0].min_tokens == 0
    for smaller, larger in pairwise(table):
        assert smaller.min_tokens < larger.min_tokens
        assert operations_per_token(smaller, 99) < operations_per_token(larger, 99)
        assert smaller.learning_rate >= larger.learning_rate


@pytest.mark.parametrize(
    ("size", "expected"), [(499_999, 1), (500_000, 2), (4_999_999, 2), (5_000_000, 3)]
)
def test_the_least_count_of_a_word_follows_from_the_text(size, expected):
    assert choose_min_count(size, "words") == choose_min_count(size, "whitespace") == expected
    assert choose_min_count(size, "chars") == choose_min_count(size, "bpe") == 1


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat\nthe dog ran to the cat\n" * 40)
    return path


def recipe_of(folder):
    return tomllib.loads((folder / "recipe.toml").read_text())


def test_what_was_chosen_is_said_and_kept(text, tmp_path):
    reporter = Listener()
    train_model([text], out=tmp_path / "m", settings={"device": "cpu"}, reporter=reporter)
    chosen = recipe_of(tmp_path / "m")
    assert (chosen["hidden_size"], chosen["dropout"], chosen["epochs"]) == (100, 0.5, 30.0)
    assert "1 layer of 100 units, dropout 0.5, min_count 1, 30 passes" in reporter.lines[0]


def test_what_was_given_wins(text, tmp_path):
    given = QUICK | {"hidden_size": 9, "dropout": 0.05, "batch": 3, "min_count": 2}
    train_model([text], out=tmp_path / "m", settings=given)
    chosen = recipe_of(tmp_path / "m")
    assert (chosen["hidden_size"], chosen["embedding_size"]) == (9, 9)
    assert (chosen["dropout"], chosen["batch_size"], chosen["min_count"]) == (0.05, 3, 2)


@pytest.mark.parametrize("name", ["stories", "keyboard"])
def test_a_recipe_is_taken_as_it_is(text, tmp_path, name):
    reporter = Listener()
    size = {"hidden_size": 8}
    train_model([text], out=tmp_path / "m", recipe=name, settings=QUICK | size, reporter=reporter)
    expected = Settings.merged(read_recipe(name), QUICK | size)
    kept = recipe_of(tmp_path / "m")
    # A short text may shrink a batch.
    differing = {"batch_size", "bptt"}
    assert {k: v for k, v in kept.items() if k not in differing} == {
        k: v
        for k, v in vars(expected).items()
        if v is not None and k not in differing
    }  # fmt: skip
    assert not any(line.startswith("For ") for line in reporter.lines)


def test_text_with_unknown_words_spelt_out_is_cut_by_white_space(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the <unk> sat on @-@ the Mat\nthe dog ran to the <unk>\n" * 40)
    model = train_model([path], settings=QUICK)
    assert model.tokenizer.kind == "whitespace"
    assert "@-@" in model.tokenizer.tokens()
    given = train_model([path], settings=QUICK | {"tokenizer": "words"})
    assert given.tokenizer.kind == "words"
