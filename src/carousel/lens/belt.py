"""Who put what on the belt: the exact account of a memory cell.

``c_t = (∏ f) c_0 + Σ_s (∏_{s<k≤t} f_k) ⊙ i_s ⊙ g_s``: word ``s``'s luggage at ``t`` is its term of
that sum. No approximation is involved. The GRU has the same account of its hidden state, with
``z`` in the place of ``f`` and ``1 - z`` in that of ``i``; the plain RNN has none, as its state is
no sum (see ``lens.span`` for gradients).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carousel.adaptive_softmax import logit_difference_direction
from carousel.errors import LensError
from carousel.lens.display import NotebookDisplay
from carousel.lens.names import cell_of, check_layer, find_word

if TYPE_CHECKING:
    from carousel.lens.trace import Trace


class Belt(NotebookDisplay):
    """The account of one layer's memory over one text.

    Raises:
        LensError: for an RNN, which has no belt.
    """

    def __init__(self, trace: Trace, layer: int = -1) -> None:
        if not cell_of(trace.config).has_belt:
            raise LensError(
                "a plain RNN has no belt: its state is made anew at every word, not added to; "
                "use its gradients (carousel.lens.saliency)"
            )
        self.trace = trace
        self.layer = check_layer(trace.config, layer)
        self.words = trace.words
        self.memory = trace[cell_of(trace.config).memory, self.layer].astype(np.float64)
        """``[T, H]``: the belt after each word."""
        self.kept = trace.kept(self.layer).astype(np.float64)
        """``[T, H]``: the share of the belt that each word kept."""
        before = np.concatenate([np.zeros_like(self.memory[:1]), self.memory[:-1]])
        self.put = trace["write", self.layer].astype(np.float64)
        """``[T, H]``: what each word put on the belt. Where the memory itself was replaced by hand,
        what the hand put there counts as that word's."""
        by_hand = self.memory - self.kept * before - self.put
        # Rounding is not a hand: what float32 made of the same sum differs by less than this.
        by_hand[np.abs(by_hand) <= 1e-5 * (1 + np.abs(before))] = 0
        self.put = self.put + by_hand

    def luggage_at(self, t: int) -> np.ndarray:
        """``[t + 1, H]``: what is left at word ``t`` of each word's luggage; adds up to ``c_t``."""
        t = range(len(self.words))[t]
        # The factors that came after each word: a product that runs backwards from t.
        later = np.cumprod(self.kept[t:0:-1], axis=0)[::-1] if t else self.kept[:0]
        left: np.ndarray = self.put[: t + 1] * np.concatenate([later, np.ones_like(self.put[:1])])
        return left

    def luggage(self) -> np.ndarray:
        """``[T, T, H]``: of word ``s``'s luggage, what is left at word ``t``; 0 for ``s > t``.

        ``T² H`` numbers: for long texts use ``luggage_at`` or ``amounts``.
        """
        T, H = self.put.shape
        luggage = np.zeros((T, T, H))
        for t in range(T):
            luggage[t, : t + 1] = self.luggage_at(t)
        return luggage

    def amounts(self) -> np.ndarray:
        """``[T, T]``: the same summed over units, ``Σ_units |luggage|``: how much is left."""
        T = len(self.put)
        amounts = np.zeros((T, T))
        for t in range(T):
            amounts[t, : t + 1] = np.abs(self.luggage_at(t)).sum(1)
        return amounts

    def error(self) -> float:
        """The largest relative gap between the account's sum and the memory, over all words.

        Relative to the largest size that the unit's memory or luggage had.
        """
        worst = 0.0
        for t in range(len(self.put)):
            luggage = self.luggage_at(t)
            scale = np.maximum(np.abs(self.memory[t]), np.abs(luggage).max(0))
            gap = np.abs(luggage.sum(0) - self.memory[t])
            worst = max(worst, float((gap / np.maximum(scale, 1e-30)).max()))
        return worst

    def retention(self) -> np.ndarray:
        """``[T, T]``: the share of word ``s``'s luggage (row) left ``d`` words later (column).

        ``Σ|left| / Σ|put|``; NaN beyond the text's end.
        """
        amounts = self.amounts()
        T = len(amounts)
        retention = np.full((T, T), np.nan)
        for s in range(T):
            retention[s, : T - s] = amounts[s:, s] / max(amounts[s, s], 1e-30)
        return retention

    def half_life_of_words(self) -> list[float]:
        """After how many words half of each word's luggage is gone; infinite if it never is."""
        half_lives = []
        for row in self.retention():
            gone = np.flatnonzero(row < 0.5)
            half_lives.append(float(gone[0]) if len(gone) else np.inf)
        return half_lives

    def half_life_of_units(self) -> np.ndarray:
        """``[H]``: the half-life in words of each unit, ``ln ½ / mean ln f``, over this text."""
        mean = np.log(np.maximum(self.kept, 1e-12)).mean(0)
        words: np.ndarray = np.log(0.5) / np.minimum(mean, -1e-12)
        return words

    def decision(self, first: str, second: str, at: int = -1) -> np.ndarray:
        """``[t + 1]``: the part of ``logit(first) - logit(second)`` through each word's luggage.

        For the last layer, at word ``at``. The parts and the decoder's two biases add up to the
        difference exactly: ``h = o ⊙ tanh(c)`` is shared out in proportion to the luggage,
        ``tanh(c) = Σ_s luggage_s · tanh(c) / c``; the GRU's ``h`` is the sum itself.

        Raises:
            LensError: not the last layer, an unknown word, a trace without its model, or words in
                different clusters of an adaptive softmax.
        """
        config, model, tokenizer = self.trace.config, self.trace.model, self.trace.tokenizer
        if self.layer != config.layers - 1:
            raise LensError("only the last layer's memory is read by the decoder directly")
        if model is None or tokenizer is None:
            raise LensError("a loaded trace has no decoder: give load() the model")
        a, b = (find_word(tokenizer.tokens(), w, "the vocabulary")[0] for w in (first, second))
        weights = model.weights
        if config.cutoffs:
            apart = logit_difference_direction(weights, config.vocab_size, config.cutoffs, a, b)
            if apart is None:
                raise LensError(
                    f"{first} and {second} are in different clusters of the adaptive softmax, so "
                    f"the difference between them can't be shared out: name two words of one"
                )
            direction = apart.astype(np.float64)
        else:
            rows = weights["embedding.weight" if config.tied else "decoder.weight"]
            direction = rows[a].astype(np.float64) - rows[b]
        if "projection.weight" in weights:
            direction = direction @ weights["projection.weight"]
        luggage = self.luggage_at(at)
        if cell_of(config).memory == "h":
            shares: np.ndarray = luggage @ direction
            return shares
        c = self.memory[at]
        small = np.abs(c) < 1e-6
        slope = np.where(small, 1.0, np.tanh(c) / np.where(small, 1.0, c))
        shares = luggage @ (direction * self.trace["o", self.layer][at] * slope)
        return shares
