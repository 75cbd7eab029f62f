"""Two sentences next to each other: where their gates part ways, and which gate decides."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from carousel.inference.model import RecurrentLM
from carousel.lens.clamp import Clamp, bind_clamp
from carousel.lens.display import NotebookDisplay
from carousel.lens.names import cell_of, find_word
from carousel.lens.trace import Trace, trace_texts
from carousel.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Comparison(NotebookDisplay):
    """Two texts, aligned word by word."""

    first: Trace
    second: Trace
    pairs: list[tuple[int | None, int | None]]
    """Positions in the first and the second; None where one has no counterpart."""
    names: tuple[str, ...]
    """The gates and states compared, by short name."""
    distance: np.ndarray
    """``[gate, layer, pair]``: mean over units of ``|first - second|``; NaN without counterpart."""

    def parting(self) -> int | None:
        """The first pair whose words differ; None if the texts are the same."""
        for number, (a, b) in enumerate(self.pairs):
            if a is None or b is None or self.first.words[a] != self.second.words[b]:
                return number
        return None


def compare_texts(model: RecurrentLM, tokenizer: Tokenizer, first: str, second: str) -> Comparison:
    """Read two texts and align them: equal words pair up, replaced ones one by one."""
    a, b = trace_texts(model, tokenizer, [first, second])
    pairs = align(a.words, b.words)
    names = tuple(cell_of(model.config).names)
    distance = np.full((len(names), model.config.layers, len(pairs)), np.nan)
    for gate, name in enumerate(names):
        for layer in range(model.config.layers):
            x, y = a[name, layer], b[name, layer]
            for number, (s, t) in enumerate(pairs):
                if s is not None and t is not None:
                    distance[gate, layer, number] = np.abs(x[s] - y[t]).mean()
    return Comparison(a, b, pairs, names, distance)


def align(first: list[str], second: list[str]) -> list[tuple[int | None, int | None]]:
    """Pairs of positions, in order; every word of both is in exactly one pair."""
    pairs: list[tuple[int | None, int | None]] = []
    for _, a, a_end, b, b_end in SequenceMatcher(None, first, second, False).get_opcodes():
        for step in range(max(a_end - a, b_end - b)):
            s = a + step if a + step < a_end else None
            t = b + step if b + step < b_end else None
            pairs.append((s, t))
    return pairs


def patch_texts(
    model: RecurrentLM, tokenizer: Tokenizer, comparison: Comparison, compare: tuple[str, str]
) -> np.ndarray:
    """``[gate, layer, pair]``: what one patched gate at one word does to the decision.

    Into the first text goes, at each pair, the second's value of one gate at its word; the entry is
    the change in ``logit(first word) - logit(second word)`` at the first text's end, divided by the
    two texts' own gap in it: 1 is as if the second text had been read. NaN without counterpart.

    Raises:
        LensError: a word that is not in the vocabulary.
    """
    tokens = tokenizer.tokens()
    a, b = (find_word(tokens, word, "the vocabulary")[0] for word in compare)

    def difference(trace: Trace) -> float:
        assert trace.logits is not None
        return float(trace.logits[-1, a] - trace.logits[-1, b])

    start = difference(comparison.first)
    gap = difference(comparison.second) - start
    effects = np.full(comparison.distance.shape, np.nan)
    ids = comparison.first.ids[:, None]
    for gate, name in enumerate(comparison.names):
        for layer in range(model.config.layers):
            for number, (s, t) in enumerate(comparison.pairs):
                if s is None or t is None:
                    continue
                patch = Clamp(name, comparison.second, layer=layer, at=s, source=t)
                held = model.clamped([bind_clamp(model.config, tokenizer, patch)])
                reading = held.read(ids, held.initial_state())
                logits = held.logits(reading.hidden[-1, 0])
                effects[gate, layer, number] = (logits[a] - logits[b] - start) / (gap or np.nan)
    return effects
