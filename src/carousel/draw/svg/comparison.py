"""Two sentences next to each other: a heat map of where their gates part ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich.text import Text

from carousel.draw.svg.canvas import COLOURS, Canvas
from carousel.draw.svg.words import Columns, printable, words_of
from carousel.draw.terminal.strips import DIM, bar_cell, blocks, strip
from carousel.lens.compare import Comparison
from carousel.lens.names import names_of

LEFT, ROW = 138.0, 21.0
MORE, LESS = "forget", "output"


def draw_comparison(
    comparison: Comparison,
    patched: np.ndarray | None = None,
    compare: tuple[str, str] | None = None,
    *,
    width: float = 1180,
) -> Canvas:
    """A heat map ``[gate, word]`` of two aligned texts, a row for each gate of each layer.

    The darker, the further apart the two texts' values are: ``mean_units |first - second|``. With
    ``patched`` (see ``lens.compare.patch_texts``) a second map shows what each gate at each word
    does to the decision between the words ``compare``.
    """
    first, second = _aligned(comparison)
    longer = [a if len(a) >= len(b) else b for a, b in zip(first, second, strict=True)]
    columns = Columns.of(longer, width, left=LEFT, least=56, size=13)
    rows = _rows(comparison)
    maps = 1 if patched is None else 2
    row_height = 52 + maps * (len(rows) * ROW + 40)
    canvas = Canvas(
        max(columns.right + 14, 820),
        36 + len(columns.rows) * row_height,
        title=f"Two texts compared: {' '.join(first)} | {' '.join(second)}",
    )
    canvas.text(12, 22, "Where the two texts part ways", bold=True, size=15)
    for number, row in enumerate(columns.rows):
        y = 36 + number * row_height
        for at, (words, name) in enumerate(((first, "first text"), (second, "second text"))):
            canvas.text(12, y + 16 + 20 * at, name, size=12, fill="dim")
            for pair in row:
                differ = first[pair] != second[pair]
                x = columns.middle(row, pair)
                canvas.text(x, y + 16 + 20 * at, words[pair], anchor="middle", size=13,
                            bold=differ, fill="ink" if differ else "dim",
                            within=columns.size - 6)  # fmt: skip
        y += 52
        caption = "how far apart each gate is: mean over units of |first − second|"
        _heat_map(canvas, columns, row, rows, y, comparison.distance, caption, _hundredths)
        if patched is not None:
            a, b = map(printable, compare or ("", ""))
            y += len(rows) * ROW + 40
            caption = (
                f"one gate at one word taken from the second text: how far that moves {a} to {b}"
            )
            _heat_map(canvas, columns, row, rows, y, patched, caption, _percent)
    return canvas


def show_comparison(
    comparison: Comparison,
    width: int,
    patched: np.ndarray | None = None,
    compare: tuple[str, str] | None = None,
) -> Iterator[Text]:
    """The same in a terminal, in blocks of as many words as fit ``width``."""
    first, second = _aligned(comparison)
    rows = _rows(comparison)
    tables = [
        ("how far apart each gate is: mean over units of |first - second|", comparison.distance)
    ]
    if patched is not None and compare is not None:
        tables.append(
            (
                f"a gate at a word from the second text: moves {printable(compare[0])} to "
                f"{printable(compare[1])} by",
                patched,
            )
        )
    for columns in blocks(1 if len(first) > 1 else 0, len(first), width):
        yield Text()
        for name, words in (("first text", first), ("second text", second)):
            yield strip(
                name,
                [Text(words[p], "bold" if first[p] != second[p] else DIM) for p in columns],
            )
        for number, (caption, values) in enumerate(tables):
            yield Text(caption[:width], DIM)
            most = _most(values)
            for name, gate, layer in rows:
                cells = []
                for pair in columns:
                    value = float(values[gate, layer, pair])
                    colour = COLOURS[MORE if value >= 0 else LESS]
                    shown = _hundredths(value) if number == 0 else _percent(value)
                    cells.append(
                        Text("–", DIM)
                        if np.isnan(value)
                        else bar_cell(abs(value) / most, colour, shown)
                    )
                yield strip(name, cells)


def _heat_map(
    canvas: Canvas, columns: Columns, row: range, rows: Sequence[tuple[str, int, int]], y: float,
    values: np.ndarray, caption: str, shown: Callable[[float], str],
) -> None:  # fmt: skip
    canvas.text(12, y + 12, caption, size=12, fill="dim", within=canvas.width - 24)
    most = _most(values)
    for number, (name, gate, layer) in enumerate(rows):
        top = y + 20 + number * ROW
        canvas.text(12, top + 15, name, size=12, within=columns.left - 20)
        for pair in row:
            value = float(values[gate, layer, pair])
            left, wide = columns.begin(row, pair), columns.size
            if np.isnan(value):
                canvas.text(left + wide / 2, top + 15, "–", anchor="middle", size=12, fill="dim")
                continue
            strong = min(1.0, abs(value) / most)
            colour = MORE if value >= 0 else LESS
            # No fuller than what the ink can be read on, in the light and in the dark.
            canvas.rect(left + 1, top + 1, wide - 2, ROW - 2, colour, opacity=0.55 * strong)
            canvas.text(left + wide / 2, top + 15, shown(value), anchor="middle", size=12)


def _hundredths(value: float) -> str:
    return f"{value:.2f}"


def _percent(value: float) -> str:
    # Adding 0 takes the sign from what rounds to nothing.
    return f"{round(value, 2) + 0.0:.0%}"


def _aligned(comparison: Comparison) -> tuple[list[str], list[str]]:
    first, second = words_of(comparison.first), words_of(comparison.second)
    return (
        ["–" if s is None else first[s] for s, _ in comparison.pairs],
        ["–" if t is None else second[t] for _, t in comparison.pairs],
    )


def _rows(comparison: Comparison) -> list[tuple[str, int, int]]:
    """Each row's name, gate and layer."""
    config = comparison.first.config
    long = names_of(config)
    return [
        (f"{name} {long[name]}" + (f" {layer}" if config.layers > 1 else ""), gate, layer)
        for layer in range(config.layers)
        for gate, name in enumerate(comparison.names)
    ]


def _most(values: np.ndarray) -> float:
    known = np.abs(values[~np.isnan(values)])
    return max(float(known.max(initial=0)), 1e-12)
