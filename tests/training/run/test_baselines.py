"""What is said beside a perplexity."""

import math

import numpy as np

from carousel.text.vocabulary import train_tokenizer
from carousel.training.data.splits import Splits
from carousel.training.run.baselines import note_small_text, report_baselines
from carousel.training.run.progress_reporter import NoProgress


class Lines(NoProgress):
    def __init__(self):
        self.lines = []

    def print(self, line):
        self.lines.append(line)


def splits(train, valid):
    tokenizer = train_tokenizer("words", ["a b c d e f g h"])
    rng = np.random.default_rng(0)
    size = tokenizer.vocab_size
    return Splits(tokenizer, rng.integers(0, size, train), rng.integers(0, size, valid), None, {})


def test_a_small_text_is_said_with_its_size():
    small, large = Lines(), Lines()
    note_small_text(splits(500, 60), small)
    note_small_text(splits(50_000, 5_000), large)
    assert "500 tokens to train on" in small.lines[0]
    assert "60 tokens to validate on" in small.lines[1]
    assert large.lines == []


def test_counting_is_shown_beside_the_model_and_a_model_that_learned_less_is_told():
    parts, bad, good = splits(3_000, 300), Lines(), Lines()
    row = report_baselines(parts, math.log(500), bad)
    # Random tokens: nothing is better than a uniform guess.
    assert 0.8 < row["unigram_perplexity"] / parts.tokenizer.vocab_size < 1.2
    assert f"5-gram {row['five_gram_perplexity']:,.2f}" in bad.lines[0]
    assert "no better than the 5-gram" in bad.lines[1]
    report_baselines(parts, math.log(1.5), good)
    assert len(good.lines) == 1
