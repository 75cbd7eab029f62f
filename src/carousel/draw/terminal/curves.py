"""Several models over the words of one text in a terminal: a row for each model and quantity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from carousel.draw.curves import CurvePlot, model_style
from carousel.draw.palette import COLOURS
from carousel.draw.terminal.word_rows import (
    DIM,
    LABEL_WIDTH,
    bar_cell,
    word_blocks,
    word_row,
    wrapped,
)
from carousel.text.printable import printable_word


def curve_lines(
    words: Sequence[str],
    plots: Sequence[CurvePlot],
    guesses: Mapping[str, Sequence[str]],
    width: int,
) -> Iterator[Text]:
    """The lines of several models, in blocks of as many words as fit ``width`` columns.

    Args:
        words: the ``T`` words.
        plots: what is shown, from the top.
        guesses: by model, its likeliest next word after each of the ``T`` words.
        width: columns of the terminal.
    """
    models = list(guesses)
    for columns in word_blocks(1 if len(words) > 1 else 0, len(words), width):
        if columns.start > 1:
            yield Text()
        yield word_row("", [Text(words[t], "bold") for t in columns])
        for plot in plots:
            yield from wrapped(plot.caption, width, DIM)
            for name, curve in plot.curves.items():
                colour = COLOURS[model_style(models, name)[0]]
                cells = [
                    Text()
                    if np.isnan(value)
                    else bar_cell(value / plot.top, colour, plot.label(value))
                    for value in map(float, curve[columns.start : columns.stop])
                ]
                yield word_row(_end_of(name), cells)
        yield Text("the likeliest next word", DIM)
        for name, best in guesses.items():
            yield word_row(_end_of(name), [Text(best[t]) for t in columns])


def _end_of(name: str) -> str:
    """The end of a long name: models are told apart by it."""
    name = printable_word(name)
    return name if cell_len(name) < LABEL_WIDTH else "…" + name[-(LABEL_WIDTH - 2) :]
