"""Teaching the unknown word: in training, words that occur once stand for it now and then.

With a vocabulary of all words of a text, the text itself has no unknown word, and its embedding and
its score would stay as they began. A word that occurs once tells as much about words that the model
has never met as about itself (Dyer et al. 2015, arXiv:1505.08075, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from carousel.text.tokenizer import Tokenizer
from carousel.training.data.batches import Batch


@dataclass(frozen=True)
class UnknownWords:
    """Puts the unknown word in the place of words that occur once, at random."""

    once: np.ndarray
    """``[V]`` of bool: the tokens that occur once."""
    probability: float
    """How likely each of them is replaced."""
    seed: int

    @classmethod
    def of(
        cls, counts: np.ndarray, tokenizer_kind: str, probability: float, seed: int
    ) -> UnknownWords | None:
        """What replaces words of a text; None where there is no need, or nothing to replace.

        Args:
            counts: how often each id occurs in the text, ``[V]``.
            tokenizer_kind: byte pairs know every word, and have no unknown one.
            probability: how likely a word is replaced.
            seed: of the random choice.

        >>> UnknownWords.of(np.array([0, 5, 3, 1]), "words", 0.5, seed=0).once.tolist()
        [False, False, False, True]
        """
        once = counts == 1
        if tokenizer_kind == "bpe" or not probability or counts[Tokenizer.unknown_id]:
            return None
        once[: Tokenizer.eol_id + 1] = False
        return cls(once, probability, seed) if once.any() else None

    def replace(
        self, batches: Iterable[Batch], epoch: int, first: int, columns: slice
    ) -> Iterator[Batch]:
        """The batches with some words replaced, the same at each call.

        Args:
            batches: inputs and targets ``[T, b]``, where each target is the next input.
            epoch: the number of the pass over the text: each replaces other words.
            first: the number of the first of these batches in the pass.
            columns: which columns of the whole batch these are, so that several processes draw as
                one does.
        """
        once = torch.from_numpy(self.once)
        for number, (inputs, targets) in enumerate(batches, start=first):
            block = torch.cat([inputs[:1], targets])
            rng = np.random.default_rng([self.seed, epoch, number])
            # Column by column, so that the first ones are the same however many there are.
            drawn = rng.random((columns.stop, len(block))).T[:, columns]
            replaced = once[block] & torch.from_numpy(drawn < self.probability)
            block = block.masked_fill(replaced, Tokenizer.unknown_id)
            yield block[:-1], block[1:]
