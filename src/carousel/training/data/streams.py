"""A long text as contiguous streams, read side by side in batches of T words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Streams:
    """``batch_size`` contiguous streams of one text.

    Stream ``b`` starts at ``b * length``. The last few ids, too few for one more word in each
    stream, are not read.

    >>> streams = Streams(np.arange(9), batch_size=2)
    >>> [inputs.tolist() for inputs, targets in streams.batches(bptt=3)]
    [[[0, 4], [1, 5], [2, 6]], [[3, 7]]]
    """

    ids: np.ndarray
    """The text as token ids, ``[N]``, memory-mapped or not."""
    batch_size: int
    shard: slice = field(default_factory=lambda: slice(None))
    """Which of the streams are read here: all of them, or those of one process of a run."""

    @property
    def shard_size(self) -> int:
        """How many streams are read here."""
        return len(range(self.batch_size)[self.shard])

    @property
    def length(self) -> int:
        """Number of words that are predicted in each stream."""
        return (len(self.ids) - 1) // self.batch_size

    def batches(
        self, bptt: int, first: int = 0, seed: Sequence[int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets in reading order, ``[T, shard_size]`` each.

        Args:
            bptt: T; the last batch may be shorter.
            first: the number of the batch to begin with.
            seed: makes the lengths random, as many batches as without; see ``random_ends``.
        """
        starts = np.arange(self.batch_size)[self.shard] * self.length
        count = self.count_batches(bptt)
        if seed is None:
            ends = np.minimum(np.arange(1, count + 1) * bptt, self.length)
        else:
            ends = random_ends(self.length, count, bptt, seed)
        for number in range(first, count):
            begin = int(ends[number - 1]) if number else 0
            offsets = np.arange(begin, int(ends[number]) + 1)
            # Only these few pages of a memory-mapped text are ever touched.
            block = torch.from_numpy(self.ids[offsets[:, None] + starts].astype(np.int64))
            yield block[:-1], block[1:]

    def count_batches(self, bptt: int) -> int:
        """The number of batches in one pass over the text."""
        return -(-self.length // bptt)


def random_ends(length: int, count: int, bptt: int, seed: Sequence[int]) -> np.ndarray:
    """Where ``count`` batches of random lengths end that together cover a stream: ``[count]``.

    A length is normally distributed around ``bptt``, and once in twenty around half of it, so that
    each pass over the text cuts it at other places. The lengths are then scaled to cover the stream
    exactly; none is 0. A standard deviation is a fourteenth of ``bptt`` (5 of 70 in the source).

    Source: Merity et al. 2018 (arXiv:1708.02182, section 4.1).

    >>> random_ends(100, 10, 10, seed=[0])[-1]
    np.int64(100)
    """
    random = np.random.default_rng(seed)
    base = np.where(random.random(count) < 0.95, bptt, bptt / 2)
    lengths = np.maximum(random.normal(base, bptt / 14), bptt / 4)
    # One word for each batch, and the others shared out by the lengths.
    shares = np.cumsum(lengths) / lengths.sum()
    ends: np.ndarray = np.arange(1, count + 1) + np.rint(shares * (length - count)).astype(np.int64)
    return ends
