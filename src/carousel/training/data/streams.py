"""A long text as contiguous streams, read side by side in pieces of T words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Streams:
    """``batch`` contiguous streams of one text of token ids, ``[N]`` (memory-mapped or not).

    Stream ``b`` starts at ``b * length``; the last few ids that fill no whole row are not read.
    """

    ids: np.ndarray
    batch: int
    share: slice = field(default_factory=lambda: slice(None))
    """Which of the streams are read here: all, or one process's part of a run's."""

    @property
    def width(self) -> int:
        """How many streams are read here."""
        return len(range(self.batch)[self.share])

    @property
    def length(self) -> int:
        """Words of each stream that are predicted: each has one more to start from."""
        return (len(self.ids) - 1) // self.batch

    def pieces(self, bptt: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets ``[T, B]`` in reading order, from piece ``first`` on.

        ``T`` is ``bptt`` but for the last; ``B`` is ``width``.
        """
        starts = np.arange(self.batch)[self.share] * self.length
        for at in range(first * bptt, self.length, bptt):
            span = np.arange(at, min(at + bptt, self.length) + 1)
            # Only these few pages of a memory-mapped text are ever touched.
            block = torch.from_numpy(self.ids[span[:, None] + starts].astype(np.int64))
            yield block[:-1], block[1:]

    def count(self, bptt: int) -> int:
        """How many pieces there are."""
        return -(-self.length // bptt)
