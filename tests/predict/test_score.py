"""Scores of texts, against a softmax by hand."""

import math

import numpy as np
import pytest

from by_hand import softmax_by_hand
from carousel.errors import PredictionError
from carousel.predict import score as module
from carousel.predict.score import score_batches, score_texts
from front_door import parts, read_logits


@pytest.mark.parametrize("block", [2, 256])
def test_each_token_is_scored_after_those_before_it(make_model, monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block)
    lm = make_model()
    text = "the cat likes xyzzy pizza"
    score = lm.score(text)
    ids = [*lm.tokenizer.encode(text), lm.tokenizer.eol_id]
    expected = [
        math.log(softmax_by_hand(read_logits(lm, ids[:t])[0])[token]) for t, token in enumerate(ids)
    ]
    np.testing.assert_allclose(score.log_probabilities, expected, atol=1e-5)
    assert score.log_probability == pytest.approx(sum(expected), abs=1e-4)
    assert score.perplexity == pytest.approx(math.exp(-sum(expected) / len(ids)), rel=1e-4)
    assert score.unknown == 1
    assert score.words == 5
    assert score.perplexity_per_word == pytest.approx(math.exp(-sum(expected) / 6), rel=1e-4)
    assert score.tokens == ["the", "cat", "likes", "<unk>", "pizza", "<eos>"]
    assert lm.score(text + "\n").log_probability == score.log_probability


def test_no_text(make_model):
    with pytest.raises(PredictionError, match="no text to score"):
        make_model().score(" ")


TEXTS = ["the cat likes pizza", "", "so", "xyzzy and the dog ran to the mat " * 9, "a pie", "so"]


@pytest.mark.parametrize("together", [1, 3, 32])
@pytest.mark.parametrize("backend", ["auto", "numpy"])
@pytest.mark.parametrize("sizes", [{}, {"cutoffs": (5, 12), "tail_sizes": (3, 2)}])
def test_together_they_score_as_alone(make_model, monkeypatch, together, backend, sizes):
    lm = make_model(backend=backend, **sizes)
    alone = [score_texts(*parts(lm), [text])[0] for text in TEXTS]
    monkeypatch.setattr(module, "TOGETHER", together)
    monkeypatch.setattr(module, "BLOCK", 4)
    for one, other in zip(score_texts(*parts(lm), TEXTS), alone, strict=True):
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-5)
        assert (one.tokens, one.unknown, one.words) == (other.tokens, other.unknown, other.words)
    assert alone[1].tokens == ["<eos>"]
    assert score_texts(*parts(lm), []) == []


def test_a_stream_is_scored_in_order_and_not_taken_whole(make_model):
    lm = make_model()
    taken = []

    def batches():
        for number in range(50):
            taken.append(number)
            yield ["the cat " * (number % 7), "so"]

    scores = score_batches(*parts(lm), batches(), threads=2)
    first = next(scores)
    assert len(taken) <= 6
    for number, (batch, found) in enumerate([first, *scores]):
        assert batch == ["the cat " * (number % 7), "so"]
        assert [score.words for score in found] == [2 * (number % 7), 1]
    assert number == 49


def test_a_stream_that_fails_or_is_left(make_model):
    lm = make_model()

    def broken():
        yield ["the cat"]
        raise OSError("the disk is gone")

    scores = score_batches(*parts(lm), broken())
    assert next(scores)[0] == ["the cat"]
    with pytest.raises(OSError, match="disk is gone"):
        next(scores)
    endless = score_batches(*parts(lm), iter(lambda: ["the cat"], None), threads=2)
    next(endless)
    endless.close()
