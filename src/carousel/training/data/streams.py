"""A long text as contiguous streams, read side by side in batches of T words."""

from __future__ import annotations

from collections.abc import Iterator
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

    def batches(self, bptt: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets in reading order, ``[T, shard_size]`` each.

        Args:
            bptt: T; the last batch may be shorter.
            first: the number of the batch to begin with.
        """
        starts = np.arange(self.batch_size)[self.shard] * self.length
        for begin in range(first * bptt, self.length, bptt):
            offsets = np.arange(begin, min(begin + bptt, self.length) + 1)
            # Only these few pages of a memory-mapped text are ever touched.
            block = torch.from_numpy(self.ids[offsets[:, None] + starts].astype(np.int64))
            yield block[:-1], block[1:]

    def count_batches(self, bptt: int) -> int:
        """The number of batches in one pass over the text."""
        return -(-self.length // bptt)
