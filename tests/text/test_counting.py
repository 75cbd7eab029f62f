"""Vocabularies against those that the library's own trainer makes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import trainers

from carousel.errors import TextError
from carousel.text import counting
from carousel.text.counting import make_counter
from carousel.text.tokenizer import END_OF_LINE, UNKNOWN, make_backend, train_tokenizer
from odd_texts import TEXT, texts


def by_the_library(kind, lines, lowercase, min_count=1, vocab_size=2**24):
    backend = make_backend(kind, lowercase)
    special = [UNKNOWN, END_OF_LINE]
    backend.train_from_iterator(
        lines,
        trainers.WordLevelTrainer(
            vocab_size=vocab_size,
            min_frequency=min_count,
            special_tokens=special,
            show_progress=False,
        ),
    )
    learned = backend.get_vocab()
    return [*special, *sorted(learned.keys() - set(special), key=learned.__getitem__)]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("kind", ["words", "whitespace", "chars"])
@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(texts, max_size=3),
    min_count=st.integers(1, 3),
    vocab_size=st.sampled_from([3, 9, 2**24]),
)
def test_the_vocabulary_is_the_library_s(kind, lowercase, pieces, min_count, vocab_size):
    lines = [line for piece in pieces for line in piece.split("\n")]
    expected = by_the_library(kind, lines, lowercase, min_count, vocab_size)
    options = {"lowercase": lowercase, "min_count": min_count, "vocab_size": vocab_size}
    if len(expected) == 2:
        with pytest.raises(TextError):
            train_tokenizer(kind, pieces, **options)
    else:
        assert train_tokenizer(kind, pieces, **options).tokens() == expected


def test_memory_is_bounded_by_folding(monkeypatch):
    monkeypatch.setattr(counting, "KINDS_KEPT", 3)
    monkeypatch.setattr(counting, "FOLDED", 50)
    counter = make_counter(make_backend("words", True), "words", True)
    for line in TEXT.splitlines(keepends=True) * 2:
        counter.feed(line)
        assert len(counter.chunks) <= 3 + len(line.split())
    assert list(counter.totals()) != []
    tokens = train_tokenizer("words", [TEXT] * 2).tokens()
    assert tokens == by_the_library("words", TEXT.split("\n") * 2, True)
