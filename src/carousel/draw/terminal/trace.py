"""A trace in a terminal: words across, and gates, belt (cell state) and next words below each.

Numbers and the heights of blocks carry everything; colour only helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from carousel.draw.palette import COLOURS, GATE_COLOURS, word_colours
from carousel.draw.terminal.word_rows import DIM, bar_cell, block, word_blocks, word_row, wrapped
from carousel.lens.effect import Effect
from carousel.lens.names import cell_of
from carousel.lens.summary import is_signed, mean_and_spread, most_moved_units
from carousel.lens.tokens import display_words, likeliest_tokens
from carousel.lens.trace import Trace
from carousel.predict.next_words import Prediction
from carousel.text.printable import printable_word

SHOWN = 0.05
"""Luggage below this share of the belt is added up in a row of its own."""


def trace_lines(
    trace: Trace,
    width: int,
    *,
    units: int = 3,
    guesses: int = 2,
    focus: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
    last: int | None = None,
) -> Iterator[Text]:
    """The lines of a trace, in blocks of as many words as fit ``width`` columns.

    The line start has no column of its own; its luggage is shown.

    Args:
        trace: what a model did over one text.
        width: columns of the terminal.
        units: how many of the units that move most are shown, for each layer.
        guesses: how many likely next words are shown under each word.
        focus: words whose luggage is always shown.
        colours: the colour of each word, by its name in ``palette.COLOURS``.
        last: how many words at the end are shown; None for all.
    """
    words = display_words(trace)
    colours = word_colours(words, focus) | dict(colours or {})
    first = 1 if len(trace) > 1 else 0
    if last is not None:
        first = max(first, len(trace) - last)
    belts = [
        trace.belt(layer).amounts() if cell_of(trace.config).has_belt else None
        for layer in range(trace.config.layers)
    ]
    best = likeliest_tokens(trace, guesses)
    for columns in word_blocks(first, len(trace), width):
        if columns.start > first:
            yield Text()
        yield word_row("", [Text(words[t], style="bold") for t in columns])
        for layer in range(trace.config.layers):
            if trace.config.layers > 1:
                yield Text(f"layer {layer}", style="bold underline")
            yield from _gates(trace, layer, columns)
            yield from _units(trace, layer, columns, units)
            yield from _belt(belts[layer], words, columns, focus, colours, width)
        yield from _guesses(best, columns)


def effect_lines(effect: Effect, heading: str) -> Iterator[Text]:
    """What clamps changed in the prediction at a text's end, in a few lines."""
    yield Text(printable_word(heading), style="bold")
    if effect.compared:
        a, b = effect.compared
        yield Text(
            f"  logit({a}) - logit({b}): {effect.difference_before:+.2f} before, "
            f"{effect.difference_after:+.2f} after"
        )
    yield Text(f"  KL(before ‖ after): {effect.divergence:.3f} nats")
    words = [printable_word(change.word) for change in effect.changes]
    longest = max(map(cell_len, words))
    for word, change in zip(words, effect.changes, strict=True):
        yield Text(f"  {set_cell_size(word, longest)}  {change.before:6.1%} → {change.after:6.1%}")


def _gates(trace: Trace, layer: int, columns: range) -> Iterator[Text]:
    """The mean and the spread over units of each gate and state."""
    for short, long in cell_of(trace.config).names.items():
        signed = is_signed(trace, short)
        means, spreads = mean_and_spread(trace, short, layer)
        top = max(1.0, float(means.max()))
        colour = COLOURS[GATE_COLOURS[short]]
        yield word_row(
            f"|{short}| {long}" if signed else f"{short} {long}",
            [
                bar_cell(
                    float(means[t]) / top,
                    colour,
                    _in_three_columns(means[t]),
                    f"±{_in_two_columns(spreads[t])}",
                )
                for t in columns
            ],
        )


def _units(trace: Trace, layer: int, columns: range, count: int) -> Iterator[Text]:
    """The units that move most: of the gate that keeps, or of the RNN's state."""
    gates = cell_of(trace.config).sigmoid_gates
    name = "f" if "f" in gates else "z" if "z" in gates else "h"
    values = trace[name, layer]
    for unit in most_moved_units(values, count):
        cells = []
        for t in columns:
            value = float(values[t, unit])
            colour = GATE_COLOURS[name] if gates else "positive" if value > 0 else "negative"
            number = f"{value:.2f}" if gates else f"{value:+.2f}"
            cells.append(bar_cell(abs(value), COLOURS[colour], number))
        yield word_row(f"  {name} unit {unit}", cells)


def _belt(
    amounts: np.ndarray | None,
    words: list[str],
    columns: range,
    focus: Sequence[str],
    colours: Mapping[str, str],
    width: int,
) -> Iterator[Text]:
    """The luggage that is on the belt: how much, and the share that is left of it."""
    if amounts is None:
        yield from wrapped("no belt: a plain RNN makes its state anew at every word", width, DIM)
        return
    here = amounts[columns.start : columns.stop]
    top = max(float(amounts.max()), 1e-12)
    share = amounts / np.maximum(np.diag(amounts), 1e-12)
    caption = "the belt: how much of each word's luggage is there, and the share left"
    yield from wrapped(caption, width, DIM)
    rest = []
    for s in range(columns.stop):
        if words[s] not in focus and not (here[:, s] >= SHOWN * here.sum(1)).any():
            rest.append(s)
            continue
        colour = COLOURS[colours[words[s]]]
        cells = [
            Text()
            if t < s
            else bar_cell(amounts[t, s] / top, colour, f"{share[t, s]:5.0%}", wide=2)
            for t in columns
        ]
        yield word_row("  " + words[s], cells, Style(bold=words[s] in focus))
    if rest:
        cells = [Text(block(float(amounts[t, rest].sum()) / top) * 2, DIM) for t in columns]
        yield word_row(f"  {len(rest)} more", cells, DIM)


def _guesses(best: list[list[Prediction]], columns: range) -> Iterator[Text]:
    """The likeliest next words under each word."""
    for rank in range(len(best[0])):
        yield word_row(
            "next word" if rank == 0 else "", [Text(best[t][rank].word) for t in columns]
        )
        yield word_row("", [Text(f"{best[t][rank].probability:.0%}", DIM) for t in columns])


def _in_three_columns(value: float) -> str:
    """A number in three columns: ``.63``, ``1.2``, `` 12``."""
    return (
        f"{value:.2f}"[1:] if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:3.0f}"
    )


def _in_two_columns(value: float) -> str:
    """A number in two columns: ``.3``, `` 2``."""
    return f"{value:.1f}"[1:] if value < 0.95 else f"{value:2.0f}"
