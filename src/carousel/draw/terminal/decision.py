"""What speaks for one next word and what for another, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from carousel.draw.palette import COLOURS
from carousel.draw.terminal.word_rows import DIM, wrapped
from carousel.lens.decision import Decision
from carousel.text.printable import printable_word


def decision_lines(decision: Decision, width: int) -> Iterator[Text]:
    """The lines of a decision, one for each word of the text, in ``width`` columns.

    A bar to the right speaks for the first of the two next words, one to the left for the second.
    """
    words, shares = decision.words, decision.shares
    first, second = map(printable_word, decision.compare)
    heading = f"what speaks for {first} (+) and for {second} (-): logit difference"
    yield from wrapped(f"{heading} {decision.total:+.2f}", width, Style(bold=True))
    longest = max(6, min(max(map(cell_len, words)), 24, width // 3))
    largest = max(float(np.abs(shares).max()), 1e-12)
    half = max(4, min(24, (width - longest - 14) // 2))
    colours = [Style(color=COLOURS[f"luggage-{number}"]) for number in (0, 1)]
    for word, share in zip(words, shares, strict=True):
        length = round(abs(float(share)) / largest * half)
        line = Text(f"  {set_cell_size(word, longest)} {share:+7.2f} ")
        left = " " * (half - length) + "▒" * length if share < 0 else " " * half
        line.append(left, colours[1])
        line.append("│", DIM)
        line.append("█" * length if share >= 0 else "", colours[0])
        line.rstrip()
        yield line
    yield Text(f"  {set_cell_size('biases', longest)} {decision.bias:+7.2f}", style=DIM)
