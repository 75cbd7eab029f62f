"""Unknown words are found where they stand, with known words that look like them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.text.unknown_words import find_nearest, find_unknown_words
from carousel.text.vocabulary import train_tokenizer

TEXT = "krish likes pizza but his friend likes burger so his friend orders noodles"


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer("words", [TEXT])


def test_places_and_nearest_words(tokenizer):
    typed = "Krish likes Pizzza, and\nhis freind burgers"
    unknown = find_unknown_words(tokenizer, typed)
    assert [typed[word.start : word.end] for word in unknown] == [word.word for word in unknown]
    assert [(word.word, word.nearest) for word in unknown] == [
        ("Pizzza", ("pizza",)), (",", ()), ("and", ()), ("freind", ("friend",)),
        ("burgers", ("burger",)),
    ]  # fmt: skip


def test_a_known_text_has_none(tokenizer):
    assert find_unknown_words(tokenizer, TEXT.upper()) == []
    assert find_unknown_words(tokenizer, "") == []


@given(st.lists(st.sampled_from([*TEXT.split(), "zebra", "naïve", "日", "\n"]), max_size=12))
def test_as_many_as_the_unknown_ids(words):
    tokenizer = train_tokenizer("words", [TEXT])
    typed = " ".join(words)
    unknown = find_unknown_words(tokenizer, typed)
    assert len(unknown) == tokenizer.encode(typed).count(tokenizer.unknown_id)
    assert all(tokenizer.id(word.word) is None for word in unknown)


def test_characters_and_byte_pairs():
    characters = train_tokenizer("chars", [TEXT])
    assert [word.word for word in find_unknown_words(characters, "pizza 7 €")] == ["7", "€"]
    pairs = train_tokenizer("bpe", [TEXT * 20], vocab_size=300)
    assert find_unknown_words(pairs, "anything € at all") == []


def test_the_most_similar_comes_first():
    tokenizer = train_tokenizer("words", ["station stations stationary nation"])
    assert find_nearest(tokenizer, "statoin")[0] == "station"
    assert find_nearest(tokenizer, "stationss") == ("stations", "station")
