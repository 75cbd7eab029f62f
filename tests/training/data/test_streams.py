"""Streams: every token but the last few is predicted once, from the one before it."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.training.data.streams import Streams, random_ends


@given(n=st.integers(2, 200), batch=st.integers(1, 8), bptt=st.integers(1, 20))
def test_pieces_are_the_text_in_order(n, batch, bptt):
    batch = min(batch, n - 1)
    ids = np.arange(n, dtype=np.uint16)
    streams = Streams(ids, batch)
    pieces = list(streams.batches(bptt))
    assert len(pieces) == streams.count_batches(bptt)
    inputs = np.concatenate([x.numpy() for x, _ in pieces])
    targets = np.concatenate([y.numpy() for _, y in pieces])
    assert inputs.shape == (streams.length, batch)
    np.testing.assert_array_equal(targets, inputs + 1)
    # Stream after stream, the text stands there once, without a gap.
    np.testing.assert_array_equal(inputs.T.ravel(), np.arange(streams.length * batch))
    assert n - 1 - streams.length * batch < batch


@given(
    n=st.integers(2, 300), batch=st.integers(1, 8), bptt=st.integers(1, 20), seed=st.integers(0, 9)
)
def test_random_lengths_read_the_same_words(n, batch, bptt, seed):
    streams = Streams(np.arange(n, dtype=np.uint16), min(batch, n - 1))
    pieces = list(streams.batches(bptt, seed=[seed]))
    assert len(pieces) == streams.count_batches(bptt)
    assert all(len(x) > 0 for x, _ in pieces)
    plain = np.concatenate([x.numpy() for x, _ in streams.batches(bptt)])
    np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in pieces]), plain)
    rest = list(streams.batches(bptt, 1, [seed]))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(rest, pieces[1:], strict=True))


def test_random_lengths_are_about_bptt():
    lengths = np.diff(random_ends(70_000, 1000, 70, seed=[3, 1]), prepend=0)
    assert lengths.mean() == 70
    assert 4 < np.std(lengths[lengths > 50]) < 6
    assert 0.02 < np.mean(lengths < 50) < 0.09
    assert not np.array_equal(lengths, np.diff(random_ends(70_000, 1000, 70, [3, 2]), prepend=0))
