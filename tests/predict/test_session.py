"""Sessions: the same as reading the whole text again, at the cost of a step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.cli.prompt import Suggester
from carousel.predict.next_words import predict_next
from carousel.predict.session import Session
from front_door import parts

WORDS = ["the", "cat", "likes", "pizza", "xyzzy"]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@settings(max_examples=20, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=7))
def test_a_session_equals_reading_again(make_model, cell, words):
    model = make_model(cell)
    session = Session(*parts(model))
    for word in words:
        session.feed(word + " ")
    if set(words) == {"xyzzy"}:
        return
    expected = predict_next(*parts(model), " ".join(words), k=5)
    found = session.next_words(5)
    assert [p.word for p in found] == [p.word for p in expected]
    assert [p.probability for p in found] == pytest.approx([p.probability for p in expected], 1e-4)


def test_a_copy_goes_its_own_way(make_model):
    session = Session(*parts(make_model()))
    session.feed("the cat")
    branch = session.copy()
    before = session.next_words()
    branch.feed("likes pizza")
    assert session.next_words() == before != branch.next_words()
    branch.reset()
    assert branch.next_words() == Session(session.model, session.tokenizer).next_words()


def test_one_step_a_word(make_model, monkeypatch):
    model = make_model()
    session = Session(*parts(model))
    session.feed("the cat likes")
    read = []
    read_all = model.model.read
    monkeypatch.setattr(
        model.model, "read", lambda ids, state: read.append(len(ids)) or read_all(ids, state)
    )
    session.feed("pizza")
    session.next_words()
    assert read == [1]


def test_suggestions_follow_as_one_types(make_model):
    model = make_model()
    suggester = Suggester(model, k=5)
    for text in ("", "t", "the", "the ", "the c", "the cat", "the cat pi", "the ", "so pi"):
        found, prefix = suggester.suggest(text)
        before, typed = model.tokenizer.split_prefix(text)
        assert prefix == typed
        expected = predict_next(*parts(model), before, k=5, prefix=typed or None)
        assert [p.word for p in found] == [p.word for p in expected]
