"""What speaks for one next word and what for another: each word's share of the decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from carousel.draw.svg.canvas import COLOURS, Canvas
from carousel.draw.svg.words import Columns, printable, words_of
from carousel.draw.terminal.strips import DIM
from carousel.lens.names import find_word
from carousel.lens.trace import Trace

FIRST, SECOND = "luggage-0", "luggage-1"
LEFT, HALF = 126.0, 56.0
LIKELY = 0.01
"""A word that is less likely than this in another's place is no alternative to it."""


class Decision(NamedTuple):
    """``logit(first) - logit(second)`` after a text, shared out to its words."""

    words: list[str]
    compare: tuple[str, str]
    shares: np.ndarray
    """``[T]``: the part through each word's luggage in the last layer."""
    bias: float
    """The part that is there before any word: the difference of the decoder's biases."""

    @property
    def total(self) -> float:
        """The difference in logits."""
        return float(self.shares.sum()) + self.bias


def measure_decision(trace: Trace, compare: tuple[str, str]) -> Decision:
    """Share out the decision at a text's end.

    Raises:
        LensError: an unknown word, a plain RNN, or a trace without its model.
    """
    shares = trace.belt().decision(*compare)
    model = trace.model
    assert model is not None  # or decision() would have refused
    bias = model.weights["decoder.bias"]
    a, b = (find_word(model.tokenizer.tokens(), word)[0] for word in compare)
    return Decision(words_of(trace), compare, shares, float(bias[a]) - float(bias[b]))


def draw_decision(decision: Decision, *, width: float = 1180, heading: str = "") -> Canvas:
    """A bar a word: up for the first candidate, down for the second."""
    words, shares = decision.words, decision.shares
    a, b = map(printable, decision.compare)
    columns = Columns.of(words, width, left=LEFT, least=70)
    row_height = 2 * HALF + 72
    canvas = Canvas(
        max(columns.right + 24, 560),
        52 + len(columns.rows) * row_height,
        title=f"What speaks for {a} and what for {b}",
    )
    heading = heading or f"For {a} or for {b}"
    canvas.text(12, 22, heading, bold=True, size=15, within=canvas.width - 24)
    about = f"logit({a}) − logit({b}) is {decision.total:+.2f}, of it biases {decision.bias:+.2f}"
    canvas.text(12, 42, about, size=12, fill="dim", within=canvas.width - 24)
    most = max(float(np.abs(shares).max()), 1e-12)
    for number, row in enumerate(columns.rows):
        y = 52 + number * row_height
        zero = y + 40 + HALF
        canvas.text(12, zero - 24, f"for {a}", size=12, within=LEFT - 20)
        canvas.text(12, zero + 32, f"for {b}", size=12, within=LEFT - 20)
        for t in row:
            share, x = float(shares[t]), columns.middle(row, t)
            high = abs(share) / most * HALF
            canvas.text(x, y + 16, words[t], bold=True, anchor="middle", size=14,
                        within=columns.size - 8)  # fmt: skip
            canvas.rect(x - 16, zero - (high if share > 0 else 0), 32, high,
                        FIRST if share > 0 else SECOND,
                        hint=f"{words[t]}: {share:+.3f}")  # fmt: skip
            over = zero - high - 4 if share > 0 else zero + high + 13
            canvas.text(x, over, f"{round(share, 1) + 0.0:+.1f}", size=11, anchor="middle")
        canvas.path(f"M{LEFT} {zero}H{columns.begin(row, row.stop)}", stroke="ink", width=1)
    return canvas


def show_decision(decision: Decision, width: int) -> Iterator[Text]:
    """The same in a terminal, a line a word."""
    words, shares = decision.words, decision.shares
    a, b = map(printable, decision.compare)
    heading = f"what speaks for {a} (+) and for {b} (-): logit difference"
    yield Text(f"{heading} {decision.total:+.2f}", style="bold")
    longest = min(max(map(cell_len, words)), 24)
    most = max(float(np.abs(shares).max()), 1e-12)
    half = max(4, min(24, (width - longest - 14) // 2))
    first, second = (Style(color=COLOURS[name]) for name in (FIRST, SECOND))
    for word, share in zip(words, shares, strict=True):
        length = round(abs(float(share)) / most * half)
        line = Text(f"  {_name(word, longest)} {share:+7.2f} ")
        line.append(" " * (half - length) + "▒" * length if share < 0 else " " * half, second)
        line.append("│", DIM)
        line.append("█" * length if share >= 0 else "", first)
        line.rstrip()
        yield line
    yield Text(f"  {_name('biases', longest)} {decision.bias:+7.2f}", style=DIM)


def _name(word: str, width: int) -> str:
    return set_cell_size(word, max(width, 6))


def common_focus(traces: Sequence[Trace]) -> tuple[str, str] | None:
    """The two next words that a picture should tell apart, if the texts say which.

    Two texts: their likeliest next words, where these differ. One text: its likeliest next word, if
    it stands in the text, and the word there that could best have stood in its place, or it in that
    word's, by the model's own probabilities; in the text's order. None otherwise, and for models
    that don't read whole words.
    """
    best: list[str] = []
    for trace in traces:
        model = trace.model
        if model is None or trace.logits is None:
            return None
        if model.tokenizer.kind not in ("words", "whitespace"):
            return None
        scores = np.where(model.word_mask, trace.logits[-1], -np.inf)
        best.append(model.tokenizer.token(int(scores.argmax())))
    if len(traces) == 1:
        other = _counterpart(traces[0], best[0])
        if other is None:
            return None
        best = sorted([best[0], other], key=traces[0].words.index)
    return (best[0], best[1]) if len(set(best)) == 2 else None


def _counterpart(trace: Trace, word: str) -> str | None:
    """The word of the text that was likeliest in the place of ``word``, or it in that word's."""
    if word not in trace.words[1:]:
        return None
    at = trace.words.index(word, 1)
    # Row t - 1 is what was expected at position t.
    expected = trace.probabilities[:-1]
    there = np.maximum(expected[at - 1, trace.ids[1:]], expected[:, trace.ids[at]])
    there[trace.ids[1:] == trace.ids[at]] = 0
    other = int(there.argmax())
    return trace.words[1:][other] if there[other] >= LIKELY else None
