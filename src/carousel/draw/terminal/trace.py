"""A trace in a terminal: words across; gates, belt and guesses below each. Numbers and the heights
of blocks carry everything; colour only helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from carousel.draw.svg.belt import luggage_colours
from carousel.draw.svg.canvas import COLOURS
from carousel.draw.svg.gates import COLOUR, is_signed, mean_and_spread, most_moved
from carousel.draw.svg.words import guesses_of, printable, words_of
from carousel.draw.terminal.strips import DIM, bar_cell, blocks, height, strip
from carousel.lens.effect import Effect
from carousel.lens.names import gates_of, has_belt, names_of
from carousel.lens.trace import Trace
from carousel.predict.next_words import Prediction

SHOWN = 0.05
"""Luggage below this share of the belt is added up in a row of its own."""


def show_trace(
    trace: Trace, width: int, *, units: int = 3, guesses: int = 2, focus: Sequence[str] = ()
) -> Iterator[Text]:
    """The lines of the picture, in blocks of as many words as fit ``width``.

    For each layer the mean over units of each gate and state with its spread (the standard
    deviation), the ``units`` units that move most, the belt, and under each word the likeliest next
    words. The luggage of the words in ``focus`` is always shown. The line start has no column;
    its luggage is shown.
    """
    words = words_of(trace)
    first = 1 if len(trace) > 1 else 0
    belts = [
        trace.belt(layer).amounts() if has_belt(trace.config) else None
        for layer in range(trace.config.layers)
    ]
    best = guesses_of(trace, guesses)
    for columns in blocks(first, len(trace), width):
        if columns.start > first:
            yield Text()
        yield strip("", [Text(words[t], style="bold") for t in columns])
        for layer in range(trace.config.layers):
            if trace.config.layers > 1:
                yield Text(f"layer {layer}", style="bold underline")
            yield from _gates(trace, layer, columns)
            yield from _units(trace, layer, columns, units)
            yield from _belt(belts[layer], words, columns, focus)
        yield from _guesses(best, columns)


def show_effect(effect: Effect, heading: str) -> Iterator[Text]:
    """What clamps changed in the prediction at a text's end, in a few lines."""
    yield Text(heading, style="bold")
    if effect.compared:
        a, b = effect.compared
        yield Text(
            f"  logit({a}) - logit({b}): {effect.difference_before:+.2f} before, "
            f"{effect.difference_after:+.2f} after"
        )
    yield Text(f"  KL(before ‖ after): {effect.divergence:.3f} nats")
    words = [printable(change.word) for change in effect.changes]
    longest = max(map(cell_len, words))
    for word, change in zip(words, effect.changes, strict=True):
        yield Text(f"  {set_cell_size(word, longest)}  {change.before:6.1%} → {change.after:6.1%}")


def _gates(trace: Trace, layer: int, columns: range) -> Iterator[Text]:
    for short, long in names_of(trace.config).items():
        signed = is_signed(trace, short)
        means, spreads = mean_and_spread(trace, short, layer)
        top = max(1.0, float(means.max()))
        colour = COLOURS[COLOUR[short]]
        yield strip(
            f"|{short}| {long}" if signed else f"{short} {long}",
            [
                bar_cell(float(means[t]) / top, colour, _three(means[t]), f"±{_two(spreads[t])}")
                for t in columns
            ],
        )


def _units(trace: Trace, layer: int, columns: range, count: int) -> Iterator[Text]:
    """The units that move most: of the gate that keeps, or of the RNN's state."""
    gates = gates_of(trace.config)
    name = "f" if "f" in gates else "z" if "z" in gates else "h"
    values = trace[name, layer]
    for unit in most_moved(values, count):
        cells = []
        for t in columns:
            value = float(values[t, unit])
            colour = COLOUR[name] if gates else "forget" if value > 0 else "output"
            number = f"{value:.2f}" if gates else f"{value:+.2f}"
            cells.append(bar_cell(abs(value), COLOURS[colour], number))
        yield strip(f"  {name} unit {unit}", cells)


def _belt(
    amounts: np.ndarray | None, words: list[str], columns: range, focus: Sequence[str]
) -> Iterator[Text]:
    if amounts is None:
        yield Text("no belt: a plain RNN makes its state anew at every word", DIM)
        return
    here = amounts[columns.start : columns.stop]
    top = max(float(amounts.max()), 1e-12)
    share = amounts / np.maximum(np.diag(amounts), 1e-12)
    colours = luggage_colours(words, focus)
    yield Text("the belt: how much of each word's luggage is there, and the share left", DIM)
    rest = []
    for s in range(columns.stop):
        if words[s] not in focus and not (here[:, s] >= SHOWN * here.sum(1)).any():
            rest.append(s)
            continue
        colour = COLOURS[colours[s]]
        cells = [
            Text()
            if t < s
            else bar_cell(amounts[t, s] / top, colour, f"{share[t, s]:5.0%}", wide=2)
            for t in columns
        ]
        yield strip("  " + words[s], cells, Style(bold=words[s] in focus))
    if rest:
        cells = [Text(height(float(amounts[t, rest].sum()) / top) * 2, DIM) for t in columns]
        yield strip(f"  {len(rest)} more", cells, DIM)


def _guesses(best: list[list[Prediction]], columns: range) -> Iterator[Text]:
    for rank in range(len(best[0])):
        yield strip("next word" if rank == 0 else "", [Text(best[t][rank].word) for t in columns])
        yield strip("", [Text(f"{best[t][rank].probability:.0%}", DIM) for t in columns])


def _three(value: float) -> str:
    """A number in three columns: ``.63``, ``1.2``, `` 12``."""
    return (
        f"{value:.2f}"[1:] if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:3.0f}"
    )


def _two(value: float) -> str:
    """A number in two columns: ``.3``, `` 2``."""
    return f"{value:.1f}"[1:] if value < 0.95 else f"{value:2.0f}"
