"""Next words, against a softmax by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import softmax_by_hand
from carousel.errors import PredictionError, TextError
from carousel.predict.next_words import predict_next
from carousel.predict.word_index import word_index
from front_door import parts, read_logits


def ranked_by_hand(model, text, keep):
    logits, _ = read_logits(model, model.tokenizer.encode(text))
    p = softmax_by_hand(logits)
    tokens = model.tokenizer.tokens()
    rows = [
        (tokens[i], p[i])
        for i in range(len(p))
        if word_index(model.tokenizer).mask[i] and keep(tokens[i])
    ]
    return sorted(rows, key=lambda row: -row[1])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), k=st.integers(1, 20))
def test_the_likeliest_words_with_the_models_own_probabilities(make_model, seed, k):
    model = make_model(seed=seed)
    found = predict_next(*parts(model), "the cat likes", k=k)
    expected = ranked_by_hand(model, "the cat likes", lambda token: True)[:k]
    assert [p.word for p in found] == [word for word, _ in expected]
    np.testing.assert_allclose([p.probability for p in found], [p for _, p in expected], rtol=1e-6)


@pytest.mark.parametrize("text", ["the cat likes pi", "the cat likes PI"])
def test_a_half_typed_word_is_continued(make_model, text):
    model = make_model()
    expected = ranked_by_hand(model, "the cat likes ", lambda token: token.startswith("pi"))
    total = sum(p for _, p in expected)
    for found in (
        predict_next(*parts(model), text, k=9, complete=True),
        predict_next(*parts(model), "the cat likes", k=9, prefix=text[-2:]),
    ):
        assert [p.word for p in found] == [word for word, _ in expected]
        np.testing.assert_allclose(
            [p.probability for p in found], [p / total for _, p in expected], rtol=1e-6
        )
    assert {p.word for p in found} == {"pizza", "pie", "pita"}


def test_a_prefix_that_nothing_continues_gives_nothing(make_model):
    assert predict_next(*parts(make_model()), "the", prefix="zzz") == []


def test_empty_text_predicts_the_start_of_a_line(make_model):
    model = make_model()
    logits, _ = model.model.step([model.tokenizer.eol_id], model.model.initial_state())
    best = max(np.flatnonzero(word_index(model.tokenizer).mask), key=lambda i: logits[0, i])
    assert predict_next(*parts(model), "", k=1)[0].word == model.tokenizer.token(int(best))


def test_bad_requests(make_model):
    model = make_model()
    assert len(predict_next(*parts(model), "the", k=21)) == 20, "all there are"
    with pytest.raises(PredictionError, match="at least 1"):
        predict_next(*parts(model), "the", k=0)
    with pytest.raises(PredictionError, match="none of the words of 'xyzzy plugh'"):
        predict_next(*parts(model), "xyzzy plugh")
    with pytest.raises(PredictionError, match="not both"):
        predict_next(*parts(model), "the c", prefix="c", complete=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.next_words(5),
        lambda model: model.next_words(b"the cat", complete=True),
        lambda model: model.next_words("the", prefix=5),
        lambda model: model.generate(["the"]),
        lambda model: list(model.stream(None)),
        lambda model: model.generate_batch([3]),
        lambda model: model.score(5),
        lambda model: model.trace(5),
        lambda model: model.compare("the", 5),
        lambda model: model.session().feed(5),
        lambda model: model.session().feed(b"the"),
        lambda model: model.tokenizer.split_prefix(5),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(make_model, call):
    with pytest.raises(TextError, match=r"text is a string, not|feed text or token ids, not"):
        call(make_model())


def test_a_count_that_is_none_is_refused(make_model):
    for k in ("3", 2.0, None, -1):
        with pytest.raises(PredictionError, match="k must be at least 1, not"):
            make_model().next_words("the", k=k)
    assert len(make_model().next_words("the", k=np.int64(2))) == 2


def test_specials_are_never_offered(make_model):
    words = {p.word for p in predict_next(*parts(make_model()), "the", k=20)}
    assert not words & {"<unk>", "<eos>"}
