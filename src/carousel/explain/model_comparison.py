"""Several models reading the same text, side by side on the same axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from carousel.draw.svg.canvas import COLOURS, Canvas, text_width
from carousel.draw.svg.cell import draw_cell
from carousel.draw.svg.decision import common_focus
from carousel.draw.svg.words import Columns, check_length, guesses_of, printable, words_of
from carousel.draw.terminal.strips import DIM, LABEL, bar_cell, blocks, cut, strip
from carousel.errors import LensError
from carousel.explain.explanation import trace_table
from carousel.explain.html_report import Report, figure, page, section, steps
from carousel.lens.names import find_word, has_belt
from carousel.lens.trace import Trace, trace_text
from carousel.model import LanguageModel
from carousel.predict.next_words import encode_known

LEFT, PANEL, LINE = 140.0, 92.0, 19.0
STYLES = (
    ("forget", "square"),
    ("output", "triangle"),
    ("input", "circle"),
    ("candidate", "diamond"),
)
"""Colour and mark of each model; only the first is drawn whole, the others' lines are dashed."""


class Panel(NamedTuple):
    """One quantity over the words, a curve for each model that has it."""

    caption: str
    curves: dict[str, np.ndarray]
    """``[T]`` by model; NaN where there is nothing."""
    percent: bool


@dataclass(frozen=True)
class SideBySide(Report):
    """What several models do with one text."""

    title: str
    traces: dict[str, Trace]
    compare: tuple[str, str] | None
    """The two next words whose probabilities and luggage are shown."""

    @classmethod
    def of(
        cls,
        models: Mapping[str, LanguageModel],
        text: str,
        *,
        compare: tuple[str, str] | None = None,
    ) -> SideBySide:
        """Read a text with each model.

        ``compare`` is by default the likeliest next word and the likeliest other one that the text
        holds, after the last model that says so.

        Raises:
            LensError: the models cut the text into different words, or one doesn't know a word to
                compare.
            PredictionError: a model knows no word of the text.
        """
        traces = {}
        for name, model in models.items():
            check_length(encode_known(model, text))
            traces[name] = trace_text(model, text)
            for word in map(model.tokenizer.normalize, compare or ()):
                find_word(model.tokenizer.tokens(), word, f"the vocabulary of {name}")
        if len({len(trace) for trace in traces.values()}) > 1:
            counts = ", ".join(f"{name} {len(trace) - 1}" for name, trace in traces.items())
            raise LensError(f"these models cut the text into different tokens: {counts}")
        if compare is None:
            known = [set(model.tokenizer.tokens()) for model in models.values()]
            for trace in traces.values():
                found = common_focus([trace])
                if found is not None and all(known_here.issuperset(found) for known_here in known):
                    compare = found
        return cls(text, traces, compare)

    @property
    def words(self) -> list[str]:
        """The words on the axis."""
        return words_of(next(iter(self.traces.values())))

    def panels(self) -> list[Panel]:
        """What is drawn, from the top."""
        made = [
            Panel(
                "how likely the model found this word before it came",
                {name: _foreseen(trace) for name, trace in self.traces.items()},
                True,
            )
        ]
        for word in self.compare or ():
            made.append(
                Panel(
                    f"how likely {printable(word)} is next",
                    {name: _next(trace, word) for name, trace in self.traces.items()},
                    True,
                )
            )
        for word in self.compare or ():
            left = {
                name: _left(trace, word)
                for name, trace in self.traces.items()
                if has_belt(trace.config) and word in words_of(trace)
            }
            if left:
                caption = f"what is left of {printable(word)}'s luggage"
                without = [n for n, trace in self.traces.items() if not has_belt(trace.config)]
                caption += f" (no belt: {', '.join(map(printable, without))})" if without else ""
                made.append(Panel(caption, left, True))
        made.append(
            Panel(
                "how much of the last layer's state changed: mean |h − h before|",
                {name: _changed(trace) for name, trace in self.traces.items()},
                False,
            )
        )
        return made

    def lines(self, width: int = 80, units: int = 0) -> Iterator[Text]:
        """The same in a terminal: each panel as strips, the models below each other."""
        words, panels = self.words, self.panels()
        guesses = {name: guesses_of(trace, 1) for name, trace in self.traces.items()}
        for columns in blocks(1 if len(words) > 1 else 0, len(words), width):
            if columns.start > 1:
                yield Text()
            yield strip("", [Text(words[t], "bold") for t in columns])
            for panel in panels:
                yield Text(cut(panel.caption, width), DIM)
                most = _top(panel)
                for name, curve in panel.curves.items():
                    colour = COLOURS[self._style(name)[0]]
                    cells = [
                        Text()
                        if np.isnan(v)
                        else bar_cell(v / most, colour, _number(v, panel.percent))
                        for v in map(float, curve[columns.start : columns.stop])
                    ]
                    yield strip(_short(name), cells)
            yield Text("the likeliest next word", DIM)
            for name, best in guesses.items():
                yield strip(_short(name), [Text(best[t][0].word) for t in columns])

    def pictures(self) -> list[Canvas]:
        """The curves."""
        return [self.draw()]

    def draw(self, width: float = 1180) -> Canvas:
        """Curves over the words, a panel for each quantity, and each model's guesses."""
        words, panels = self.words, self.panels()
        columns = Columns.of(words, width, left=LEFT, least=70)
        row_height = 30 + len(panels) * (PANEL + 34) + (len(self.traces) + 1) * LINE + 30
        canvas = Canvas(
            max(columns.right + 20, 620),
            66 + len(columns.rows) * row_height,
            title=f"Models side by side: {self.title}",
        )
        canvas.text(12, 22, printable(self.title), bold=True, size=15, within=canvas.width - 24)
        x, share = 12.0, (canvas.width - 24) / len(self.traces)
        for name in self.traces:
            colour, mark = self._style(name)
            _mark(canvas, x + 8, 44, mark, colour)
            canvas.text(x + 20, 49, printable(name), within=share - 30)
            x += min(share, text_width(name, 13) + 48)
        for number, row in enumerate(columns.rows):
            canvas.place(self._draw_row(words, panels, columns, row), 0, 60 + number * row_height)
        return canvas

    def _draw_row(
        self, words: list[str], panels: list[Panel], columns: Columns, row: range
    ) -> Canvas:
        canvas = Canvas(columns.right, 0, title="")
        for t in row:
            canvas.text(columns.middle(row, t), 18, words[t], bold=True, anchor="middle", size=14,
                        within=columns.size - 8)  # fmt: skip
        y = 30.0
        right = columns.begin(row, row.stop)
        for panel in panels:
            canvas.text(12, y + 12, panel.caption, size=12, fill="dim", within=columns.right - 20)
            y += 22
            most = _top(panel)
            canvas.rect(LEFT, y, right - LEFT, PANEL, "soft")
            for level in (0.0, 0.5, 1.0):
                at = y + PANEL * (1 - level)
                canvas.path(f"M{LEFT} {at}H{right}", stroke="line")
                shown = _number(level * most, panel.percent)
                canvas.text(LEFT - 8, at + 4, shown, size=11, fill="dim", anchor="end")
            for name, curve in panel.curves.items():
                self._draw_curve(canvas, name, curve / most, columns, row, y)
            y += PANEL + 12
        canvas.text(12, y + LINE, "next word", size=12, fill="dim")
        for name, trace in self.traces.items():
            y += LINE
            canvas.text(
                LEFT - 8, y + LINE, printable(name), size=12, anchor="end", within=LEFT - 16
            )
            best = guesses_of(trace, 1)
            for t in row:
                canvas.text(columns.middle(row, t), y + LINE, best[t][0].word, size=12,
                            anchor="middle", within=columns.size - 6)  # fmt: skip
        return canvas

    def _draw_curve(
        self, canvas: Canvas, name: str, shares: np.ndarray, columns: Columns, row: range, y: float
    ) -> None:
        colour, mark = self._style(name)
        # A row that goes on from another begins with where that one ended.
        points = [
            (columns.middle(row, t), y + PANEL * (1 - float(shares[t])), t)
            for t in row
            if not np.isnan(shares[t])
        ]
        if len(points) > 1:
            whole = "L".join(f"{x:.1f} {at:.1f}" for x, at, _ in points)
            canvas.path(f"M{whole}", stroke=colour, width=2, dashed=name != next(iter(self.traces)))
        for x, at, _ in points:
            _mark(canvas, x, at, mark, colour)

    def to_html(self) -> str:
        """One page: the curves, and each model's cell at every word."""
        cells = (
            section(
                f"The cell of {printable(name)}",
                "",
                steps([(word, draw_cell(trace, t)) for t, word in enumerate(words_of(trace))]),
            )
            for name, trace in self.traces.items()
            if len(trace) <= 61
        )
        return page(self.title, [section("Side by side", "", figure(self.draw())), *cells])

    def table(self) -> dict[str, Any]:
        """The numbers as plain data, for JSON."""
        return {
            "text": self.title,
            "compare": None if self.compare is None else list(self.compare),
            "panels": [
                {
                    "caption": panel.caption,
                    "curves": {
                        name: [None if np.isnan(v) else float(v) for v in curve]
                        for name, curve in panel.curves.items()
                    },
                }
                for panel in self.panels()
            ],
            "models": {
                name: {"cell": trace.config.cell, **trace_table(trace)}
                for name, trace in self.traces.items()
            },
        }

    def _style(self, name: str) -> tuple[str, str]:
        return STYLES[list(self.traces).index(name) % len(STYLES)]


def _foreseen(trace: Trace) -> np.ndarray:
    probabilities = trace.probabilities
    made = np.full(len(trace), np.nan)
    made[1:] = probabilities[np.arange(len(trace) - 1), trace.ids[1:]]
    return made


def _next(trace: Trace, word: str) -> np.ndarray:
    assert trace.model is not None  # made by trace_text
    id = find_word(trace.model.tokenizer.tokens(), word, "the vocabulary")[0]
    made: np.ndarray = trace.probabilities[:, id]
    return made


def _left(trace: Trace, word: str) -> np.ndarray:
    amounts = trace.belt().amounts()
    s = words_of(trace).index(word)
    made: np.ndarray = amounts[:, s] / max(amounts[s, s], 1e-12)
    made[:s] = np.nan
    return made


def _changed(trace: Trace) -> np.ndarray:
    h = trace["h", trace.config.layers - 1]
    made: np.ndarray = np.abs(np.diff(h, axis=0, prepend=np.zeros_like(h[:1]))).mean(1)
    return made


def _top(panel: Panel) -> float:
    if panel.percent:
        return 1.0
    return max(max(float(np.nanmax(curve)) for curve in panel.curves.values()), 1e-12)


def _number(value: float, percent: bool) -> str:
    return f"{value:.0%}" if percent else f"{value:.2f}"


def _short(name: str) -> str:
    """The end of a long name: models are told apart by it."""
    name = printable(name)
    return name if cell_len(name) < LABEL else "…" + name[-(LABEL - 2) :]


def _mark(canvas: Canvas, x: float, y: float, mark: str, colour: str) -> None:
    shapes = {
        "square": "M-4 -4H4V4H-4Z",
        "triangle": "M0 -5L5 4H-5Z",
        "circle": "M-4.2 0A4.2 4.2 0 1 0 4.2 0A4.2 4.2 0 1 0 -4.2 0Z",
        "diamond": "M0 -5.5L5 0L0 5.5L-5 0Z",
    }
    part = Canvas(0, 0, title="")
    part.path(shapes[mark], fill=colour, stroke="ground", width=1)
    canvas.place(part, x, y)
