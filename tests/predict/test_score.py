"""Scores of texts, against a softmax by hand."""

import math

import numpy as np
import pytest

from by_hand import softmax_by_hand
from carousel.errors import PredictionError
from carousel.predict import score as module
from front_door import read_logits


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
    assert score.tokens == ["the", "cat", "likes", "<unk>", "pizza", "<eos>"]
    assert lm.score(text + "\n").log_probability == score.log_probability


def test_no_text(make_model):
    with pytest.raises(PredictionError, match="no text to score"):
        make_model().score(" ")
