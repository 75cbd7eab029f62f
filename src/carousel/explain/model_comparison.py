"""Several models that read the same text, side by side on the same axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.text import Text

from carousel.draw.curves import CurvePlot
from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.curves import draw_curves
from carousel.draw.terminal.curves import curve_lines
from carousel.errors import LensError
from carousel.explain.explanation_page import MAX_CELLS, cell_steps
from carousel.explain.html_report import (
    definitions,
    figure,
    notebook_figure,
    page,
    section,
)
from carousel.explain.visualization import MAX_NOTEBOOK_WORDS, Visualization, check_length
from carousel.explain.wording import describe_model, legend, only_first_words
from carousel.inference.model import RecurrentLM
from carousel.lens.decision import words_to_compare
from carousel.lens.names import cell_of, find_word
from carousel.lens.summary import (
    first_words,
    luggage_left,
    probability_before,
    probability_next,
    state_change,
    summarize_trace,
)
from carousel.lens.tokens import display_words, likeliest_tokens
from carousel.lens.trace import Trace, trace_text
from carousel.predict.next_words import encode_known
from carousel.text.printable import printable_word
from carousel.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class ModelComparison(Visualization):
    """What several models do with one text.

    >>> import carousel
    >>> names = ("stories-rnn", "stories-lstm")
    >>> models = {name: carousel.load(name) for name in names}
    >>> parts = {name: (lm.model, lm.tokenizer) for name, lm in models.items()}
    >>> ModelComparison.of(parts, "krish likes pizza so he orders").words[-1]
    'orders'
    """

    title: str
    traces: dict[str, Trace]
    """What each model did, by its name."""
    compare: tuple[str, str] | None
    """The two next words whose probabilities and luggage are shown."""

    @classmethod
    def of(
        cls,
        models: Mapping[str, tuple[RecurrentLM, Tokenizer]],
        text: str,
        *,
        compare: tuple[str, str] | None = None,
    ) -> ModelComparison:
        """Read a text with each model.

        Args:
            models: model and tokenizer by name.
            text: the text.
            compare: two next words; by default the likeliest next word and the likeliest other one
                that the text holds, after the last model that says so.

        Raises:
            LensError: the models cut the text into different words, or one doesn't know a word to
                compare.
            PredictionError: a model knows no word of the text.
        """
        traces = {}
        for name, (model, tokenizer) in models.items():
            check_length(encode_known(tokenizer, text))
            traces[name] = trace_text(model, tokenizer, text)
            for word in map(tokenizer.normalize, compare or ()):
                find_word(tokenizer.tokens(), word, f"the vocabulary of {name}")
        if len({len(trace) for trace in traces.values()}) > 1:
            counts = ", ".join(f"{name} {len(trace) - 1}" for name, trace in traces.items())
            raise LensError(f"these models cut the text into different tokens: {counts}")
        if compare is None:
            vocabularies = [set(tokenizer.tokens()) for _, tokenizer in models.values()]
            for trace in traces.values():
                pair = words_to_compare([trace])
                if pair is not None and all(known.issuperset(pair) for known in vocabularies):
                    compare = pair
        return cls(text, traces, compare)

    @property
    def words(self) -> list[str]:
        """The words on the axis."""
        return display_words(next(iter(self.traces.values())))

    def plots(self) -> list[CurvePlot]:
        """What is drawn, from the top."""
        plots = [self._plot("how likely the model found this word before it came",
                            probability_before, is_share=True)]  # fmt: skip
        for word in self.compare or ():
            caption = f"how likely {printable_word(word)} is next"
            curves = {name: probability_next(trace, word) for name, trace in self.traces.items()}
            plots.append(CurvePlot(caption, curves, is_share=True))
        for word in self.compare or ():
            curves = {
                name: luggage_left(trace, display_words(trace).index(word))
                for name, trace in self.traces.items()
                if cell_of(trace.config).has_belt and word in display_words(trace)
            }
            if curves:
                without = [
                    printable_word(name)
                    for name, trace in self.traces.items()
                    if not cell_of(trace.config).has_belt
                ]
                caption = f"what is left of {printable_word(word)}'s luggage"
                caption += f" (no belt: {', '.join(without)})" if without else ""
                plots.append(CurvePlot(caption, curves, is_share=True))
        plots.append(self._plot("how much of the last layer's state changed: mean |h − h before|",
                                state_change, is_share=False))  # fmt: skip
        return plots

    def _plot(
        self, caption: str, measure: Callable[[Trace], np.ndarray], *, is_share: bool
    ) -> CurvePlot:
        curves = {name: measure(trace) for name, trace in self.traces.items()}
        return CurvePlot(caption, curves, is_share)

    def guesses(self) -> dict[str, list[str]]:
        """The likeliest next word after each word, by model."""
        return {
            name: [best[0].word for best in likeliest_tokens(trace, 1)]
            for name, trace in self.traces.items()
        }

    def lines(self, width: int = 80, units: int = 0) -> Iterator[Text]:
        """The lines in a terminal of ``width`` columns: each curve is a row; no units are shown."""
        return curve_lines(self.words, self.plots(), self.guesses(), width)

    def pictures(self) -> list[Canvas]:
        """The curves."""
        return [self.draw()]

    def draw(self, width: float = 1180) -> Canvas:
        """Curves over the words, a plot for each quantity, and each model's likeliest next words.

        Args:
            width: how wide the drawing may get, in pixels.
        """
        heading = printable_word(self.title)
        return draw_curves(self.words, self.plots(), self.guesses(), heading=heading, width=width)

    def to_html(self) -> str:
        """One whole page: the curves, each model's cell at every word, and what the signs mean."""
        about = "Models: " + "; ".join(
            describe_model(printable_word(name), trace.config)
            for name, trace in self.traces.items()
        )
        meanings: dict[str, str] = {}
        for trace in self.traces.values():
            meanings |= legend(trace.config, self.words, decision=False, effect=False)
        cells = (
            section(f"The cell of {printable_word(name)}", "", cell_steps(trace))
            for name, trace in self.traces.items()
            if len(trace) <= MAX_CELLS + 1
        )
        return page(
            self.title,
            about,
            [
                section("Side by side", "", figure(self.draw)),
                *cells,
                section("What the signs mean", "", definitions(meanings)),
            ],
        )

    def _repr_html_(self) -> str:
        traces = {name: first_words(t, MAX_NOTEBOOK_WORDS) for name, t in self.traces.items()}
        drawing = ModelComparison(self.title, traces, self.compare).draw()
        note = only_first_words(MAX_NOTEBOOK_WORDS, len(self.words))
        return notebook_figure(drawing, note)

    def table(self) -> dict[str, Any]:
        """The numbers as plain data, for JSON."""
        return {
            "text": self.title,
            "compare": None if self.compare is None else list(self.compare),
            "panels": [
                {
                    "caption": plot.caption,
                    "curves": {
                        name: [None if np.isnan(v) else float(v) for v in curve]
                        for name, curve in plot.curves.items()
                    },
                }
                for plot in self.plots()
            ],
            "models": {
                name: {"cell": trace.config.cell, **summarize_trace(trace)}
                for name, trace in self.traces.items()
            },
        }
