"""Two sentences next to each other in a terminal: where their gates part ways."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.text import Text

from carousel.draw.palette import COLOURS
from carousel.draw.terminal.word_rows import DIM, bar_cell, word_blocks, word_row, wrapped
from carousel.lens.compare import Comparison
from carousel.lens.summary import aligned_words, compared_gates, percentage
from carousel.text.printable import printable_word


def comparison_lines(
    comparison: Comparison,
    width: int,
    patched: np.ndarray | None = None,
    compare: tuple[str, str] | None = None,
) -> Iterator[Text]:
    """The lines of two aligned texts, in blocks of as many words as fit ``width`` columns.

    Args:
        comparison: the two texts.
        width: columns of the terminal.
        patched: ``[gate, layer, pair]``: what each gate at each word does to the decision between
            the words ``compare`` (see ``lens.compare.patch_texts``).
        compare: the two next words of ``patched``.
    """
    first, second = aligned_words(comparison)
    maps = [
        (
            "how far apart each gate is: mean over units of |first - second|",
            comparison.distance,
            lambda value: f"{value:.2f}",
        )
    ]
    if patched is not None and compare is not None:
        a, b = map(printable_word, compare)
        caption = f"a gate at a word from the second text: moves {a} to {b} by"
        maps.append((caption, patched, percentage))
    for columns in word_blocks(1 if len(first) > 1 else 0, len(first), width):
        yield Text()
        for name, words in (("first text", first), ("second text", second)):
            yield word_row(
                name, [Text(words[p], "bold" if first[p] != second[p] else DIM) for p in columns]
            )
        for caption, values, label in maps:
            yield from wrapped(caption, width, DIM)
            known = np.abs(values[~np.isnan(values)])
            largest = max(float(known.max(initial=0)), 1e-12)
            for name, gate, layer in compared_gates(comparison):
                cells = []
                for pair in columns:
                    value = float(values[gate, layer, pair])
                    colour = COLOURS["positive" if value >= 0 else "negative"]
                    cells.append(
                        Text("–", DIM)
                        if np.isnan(value)
                        else bar_cell(abs(value) / largest, colour, label(value))
                    )
                yield word_row(name, cells)
