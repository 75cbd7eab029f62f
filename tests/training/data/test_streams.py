"""Streams: every token but the last few is predicted once, from the one before it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from carousel.training.data.streams import Streams


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
