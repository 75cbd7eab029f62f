"""Words that occur once stand for the unknown word: which, how often, and the same each time."""

import numpy as np
import pytest
import torch

from carousel.training.data.streams import Streams
from carousel.training.data.unknown_words import UnknownWords
from carousel.training.nn.cutoffs import count_tokens

RNG = np.random.default_rng(0)
# Ids 2 to 41 occur often, those from 42 on once.
IDS = np.concatenate([RNG.integers(2, 42, size=4000), np.arange(42, 1042)])
IDS = RNG.permutation(np.append(IDS, np.ones(200, dtype=np.int64)))
COUNTS = count_tokens(IDS, 1042)


def read(replacement, batch_size=4, epoch=0, first=0, shard=slice(None)):
    streams = Streams(IDS, batch_size, shard)
    columns = streams.shard
    batches = streams.batches(16, first)
    if replacement is None:
        return list(batches)
    columns = slice(*columns.indices(batch_size))
    return list(replacement.replace(batches, epoch, first, columns))


@pytest.mark.parametrize("probability", [0.25, 0.5, 1.0])
def test_words_that_occur_once_are_replaced_so_often(probability):
    replacement = UnknownWords.of(COUNTS, "words", probability, seed=1)
    plain, replaced = read(None), read(replacement)
    before = torch.cat([targets.flatten() for _, targets in plain])
    after = torch.cat([targets.flatten() for _, targets in replaced])
    changed = before != after
    assert (after[changed] == 0).all()
    assert (before[changed] >= 42).all()
    rate = changed.sum() / (before >= 42).sum()
    assert rate == pytest.approx(probability, abs=0.06)
    for inputs, targets in replaced:
        # What is predicted is what is read next.
        assert torch.equal(inputs[1:], targets[:-1])


def test_each_pass_replaces_other_words_and_the_same_ones_when_it_is_resumed():
    replacement = UnknownWords.of(COUNTS, "words", 0.5, seed=1)
    whole = read(replacement, epoch=2)
    again = read(replacement, epoch=2, first=5)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(whole[5:], again, strict=True))
    other = read(replacement, epoch=3)
    assert not all(torch.equal(a[1], b[1]) for a, b in zip(whole, other, strict=True))


def test_two_processes_replace_what_one_does():
    replacement = UnknownWords.of(COUNTS, "words", 0.5, seed=1)
    whole = read(replacement)
    parts = [read(replacement, shard=slice(*bounds)) for bounds in ((0, 2), (2, 4))]
    for (_, targets), (_, left), (_, right) in zip(whole, *parts, strict=True):
        assert torch.equal(targets, torch.cat([left, right], 1))


@pytest.mark.parametrize(
    ("counts", "kind", "probability"),
    [
        ([3, 9, 1, 1], "words", 0.5),  # the text has the unknown word itself
        ([0, 9, 1, 1], "bpe", 0.5),  # byte pairs know every word
        ([0, 9, 1, 1], "words", 0.0),
        ([0, 1, 5, 7], "chars", 0.5),  # nothing but the line's end occurs once
    ],
)
def test_where_there_is_no_need_nothing_is_replaced(counts, kind, probability):
    assert UnknownWords.of(np.array(counts), kind, probability, seed=0) is None
