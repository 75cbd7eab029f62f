"""Settings: what makes no sense is refused in one line that names it."""

import tomllib
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.errors import SettingsError
from carousel.training.settings import RENAMED, Settings, describe_settings, read_recipe

NONSENSE = [
    ({"layers": 0}, "layers must be between 1 and 64, not 0"),
    ({"layers": True}, "layers must be a whole number, not True"),
    ({"layers": 1.5}, "layers must be a whole number"),
    ({"hidden_size": -3}, "hidden_size must be between 1 and"),
    ({"dropout": 2.0}, "dropout must be between 0 and 0.95, not 2.0"),
    ({"dropout": float("nan")}, "dropout must be between"),
    ({"learning_rate": 0.0}, "learning_rate must be more than 0"),
    ({"learning_rate": float("inf")}, "learning_rate must be more than 0"),
    ({"embedding_std": 0.0}, "embedding_std must be more than 0, not 0.0"),
    ({"learning_rate": "fast"}, "learning_rate must be a number, not 'fast'"),
    ({"cell": "transformer"}, "cell must be one of rnn, gru"),
    ({"tokenizer": "syllables"}, "tokenizer must be one of words"),
    ({"optimizer": "adam"}, "optimizer must be one of adamw, sgd"),
    ({"device": "tpu"}, "device must be one of auto, cpu"),
    ({"tie_embeddings": 1}, "tie_embeddings must be true or false, not 1"),
    ({"epochs": 2.0, "max_minutes": 3.0}, "can't both be set"),
    ({"valid_fraction": 0.5, "test_fraction": 0.5}, "leave nothing to train on"),
    ({"tie_embeddings": True, "projection_size": 7}, "projection_size 7 can't be used with tied"),
    ({"vocab_size": 2}, "vocab_size must be between 3"),
    (
        {"l2_sp": 60.0, "learning_rate": 0.02},
        "l2_sp 60 undoes each step at a learning_rate",
    ),
    ({"seed": -1}, "seed must be between 0"),
    ({"lowercase": "yes"}, "lowercase must be true or false"),
]


@pytest.mark.parametrize(("table", "message"), NONSENSE, ids=[str(table) for table, _ in NONSENSE])
def test_nonsense_is_refused(table, message):
    with pytest.raises(SettingsError) as error:
        Settings.merged(table)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "near"),
    [("hiden_size", "hidden_size"), ("lr", "learning_rate"), ("layer", "layers"), ("bppt", "bptt")],
)
def test_misspelt_keys_get_the_nearest_right_one(key, near):
    with pytest.raises(SettingsError, match=f"{key!r}.*{near}"):
        Settings.merged({key: 1})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "layers": st.integers(1, 64),
            "dropout": st.floats(0, 0.95),
            "learning_rate": st.floats(1e-9, 10),
            "tokenizer": st.sampled_from(["words", "whitespace", "chars", "bpe"]),
            "lowercase": st.booleans(),
            "max_minutes": st.floats(0.1, 1e4),
            "seed": st.integers(0, 2**62),
        },
    )
)
def test_a_recipe_comes_back_as_it_was(table):
    settings = Settings.merged(table)
    assert Settings.merged(tomllib.loads(settings.to_toml())) == settings


def test_later_tables_win_and_lengths_replace_each_other():
    merged = Settings.merged({"epochs": 3, "layers": 2}, {"max_minutes": 1, "layers": None})
    assert (merged.epochs, merged.max_minutes, merged.layers) == (None, 1.0, 2)
    assert Settings.merged({"max_minutes": 1}, {"epochs": 2}).max_minutes is None


RECIPES = ["awd-lstm", "characters", "characters-large", "keyboard", "stories"]
RECIPES += ["words-medium", "words-small"]


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_that_come_with_the_package_are_settings(name):
    Settings.merged(read_recipe(name))


def test_recipes_that_can_not_be_read(tmp_path):
    recipe = tmp_path / "mine.toml"
    with pytest.raises(SettingsError, match="one of awd-lstm, characters, characters-large, "):
        read_recipe("chraacters")
    with pytest.raises(SettingsError, match=r"no recipe .*mine.toml"):
        read_recipe(str(recipe))
    recipe.write_text("layers = [")
    with pytest.raises(SettingsError, match="is not TOML"):
        read_recipe(str(recipe))
    recipe.write_bytes(b"cell = '\xff'")
    with pytest.raises(SettingsError, match="can't be read"):
        read_recipe(str(recipe))
    recipe.write_text("learning_rat = 1.0")
    with pytest.raises(SettingsError, match=r"mine.toml: .*did you mean 'learning_rate'"):
        read_recipe(str(recipe))


OLD = {"tokens": "chars", "tied": False, "clip": 0.5, "batch": 3, "minutes": 2.0}


def test_old_names_are_read_in_tables_and_recipes(tmp_path):
    new = {RENAMED[name]: value for name, value in OLD.items()}
    assert OLD.keys() == RENAMED.keys()
    assert Settings.merged(OLD) == Settings.merged(new) != Settings()
    recipe = tmp_path / "old.toml"
    recipe.write_text('tokens = "chars"\ntied = false\nclip = 0.5\nbatch = 3\nminutes = 2.0\n')
    assert read_recipe(str(recipe)) == new
    # An old name overrides the new one of an earlier table, and its epochs.
    merged = Settings.merged({"batch_size": 9, "epochs": 4}, {"batch": 3, "minutes": 1})
    assert (merged.batch_size, merged.epochs, merged.max_minutes) == (3, None, 1.0)


def test_a_setting_under_both_names_is_refused():
    with pytest.raises(SettingsError, match="batch_size is given twice"):
        Settings.merged({"batch": 3, "batch_size": 4})
    assert Settings.merged({"batch": None, "batch_size": 4}).batch_size == 4
    assert Settings.merged({"batch_size": 4, "batch": None}).batch_size == 4


def test_every_setting_is_described():
    described = {setting.name: setting for setting in describe_settings()}
    assert list(described) == [field.name for field in fields(Settings)]
    message = "Number of passes over the text. 10 in a recipe that gives no length."
    assert described["epochs"][1:] == (float, None, message, ())
    assert described["tie_embeddings"].type is bool
    assert described["lowercase"].type is bool
    assert described["threads"].type is int
    assert described["softmax"].choices == ("auto", "full", "adaptive", "sampled")
    for setting in described.values():
        assert type(setting.default) in (setting.type, type(None))
        assert setting.help.endswith(".")
        assert "\n" not in setting.help
        assert all(choice in setting.help for choice in setting.choices)
