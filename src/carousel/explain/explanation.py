"""All that is shown of a model that reads one text or two: measured once, drawn anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rich.style import Style
from rich.text import Text

from carousel.draw.palette import word_colours
from carousel.draw.svg.belt import draw_belt, full_belt
from carousel.draw.svg.canvas import Canvas, stack
from carousel.draw.svg.comparison import draw_comparison
from carousel.draw.svg.decision import draw_decision
from carousel.draw.svg.gates import draw_gates, gates_heading
from carousel.draw.terminal.comparison import comparison_lines
from carousel.draw.terminal.decision import decision_lines
from carousel.draw.terminal.trace import effect_lines, trace_lines
from carousel.draw.terminal.word_rows import wrapped
from carousel.errors import LensError
from carousel.explain.explanation_page import TOO_LONG, render_explanation
from carousel.explain.html_report import notebook_figure
from carousel.explain.visualization import MAX_NOTEBOOK_WORDS, Visualization, check_length
from carousel.explain.wording import explain_contradiction, only_first_words
from carousel.inference.model import RecurrentLM
from carousel.lens.compare import Comparison, compare_texts, patch_texts
from carousel.lens.decision import Decision, measure_decision, words_to_compare
from carousel.lens.effect import Effect, measure_effect
from carousel.lens.names import cell_of, find_word
from carousel.lens.summary import first_words, summarize_trace
from carousel.lens.tokens import display_words
from carousel.lens.trace import Trace, trace_text
from carousel.predict.next_words import encode_known
from carousel.text.printable import printable_word
from carousel.text.tokenizer import Tokenizer

MAX_PATCHING = 4e10
"""So many multiplications, some twenty seconds, patching every gate at every word may take."""
HEADING = Style(bold=True, underline=True)

Draw = Callable[[float], Canvas]
"""Makes a drawing for a width in pixels."""


@dataclass(frozen=True)
class Explanation(Visualization):
    """What a model does with one text or two, as traces and what was measured on them.

    >>> import carousel
    >>> lm = carousel.load()
    >>> explanation = Explanation.of(lm.model, lm.tokenizer, "krish likes pizza so he orders")
    >>> explanation.write_svg("belt.svg")  # doctest: +SKIP
    >>> explanation.table()["texts"][0]["next_words"][-1][0]["word"]
    'pizza'
    """

    title: str
    model_name: str
    """What the model is called; empty where that is not known."""
    traces: list[Trace]
    """One a text; with clamps, before and after."""
    names: list[str]
    """What each trace is called: its text, or how the model is held."""
    focus: tuple[str, ...]
    """The words whose luggage stands out."""
    compare: tuple[str, str] | None
    """The two next words that are weighed against each other."""
    effect: Effect | None = None
    """With clamps: the prediction before and after."""
    comparison: Comparison | None = None
    """With two texts: where their gates part ways."""
    patched: np.ndarray | None = None
    """With two texts: what each gate at each word does to the decision, ``[gate, layer, pair]``."""
    last: int | None = None
    """How many words at the end the terminal and JSON show of a longer text; None for all."""

    @classmethod
    def of(
        cls,
        model: RecurrentLM,
        tokenizer: Tokenizer,
        texts: str | Sequence[str],
        *,
        clamps: Sequence[str] = (),
        compare: tuple[str, str] | None = None,
        name: str = "",
    ) -> Explanation:
        """Read the texts and measure all that is shown.

        Args:
            model: the model.
            tokenizer: its tokenizer.
            texts: one text, or two to compare.
            clamps: gates to hold in the one text, as ``"forget=1@friend"``.
            compare: two next words to weigh against each other. By default the two texts' likeliest
                next words; of one text its likeliest and the likeliest other word that it holds.
            name: what the model is called in the pictures.

        Raises:
            LensError: an unknown gate, word or layer, more than two texts, clamps with two texts,
                or ``compare`` with a model that has no belt.
            PredictionError: no word of a text is known.

        Warns:
            UntouchedWarning: for a clamp that changed nothing.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not 1 <= len(texts) <= 2:
            raise LensError(f"an explanation takes one text or two, not {len(texts)}")
        if clamps and len(texts) == 2:
            raise LensError("clamps act on one text: leave out the other")
        for text in texts:
            check_length(encode_known(tokenizer, text))
        if compare is not None:
            first, second = map(tokenizer.normalize, compare)
            compare = (first, second)
            for word in compare:
                find_word(tokenizer.tokens(), word, "the vocabulary")
            if not cell_of(model.config).has_belt and len(texts) == 1 and not clamps:
                raise LensError(
                    "a plain RNN has no belt whose luggage could be weighed: leave out the "
                    "words to compare"
                )
        if len(texts) == 2:
            return cls._of_two(model, tokenizer, texts, compare, name)
        text = texts[0]
        if not clamps:
            trace = trace_text(model, tokenizer, text)
            pair = compare or words_to_compare([trace])
            return cls(text, name, [trace], [text], pair or (), pair)
        pair = compare or words_to_compare([trace_text(model, tokenizer, text)])
        effect = measure_effect(model, tokenizer, text, list(clamps), compare=pair)
        held = f"with {', '.join(clamps)}"
        traces = [effect.before, effect.after]
        title = f"{text} ({held})"
        return cls(title, name, traces, ["as it is", held], pair or (), pair, effect)

    @classmethod
    def _of_two(
        cls,
        model: RecurrentLM,
        tokenizer: Tokenizer,
        texts: list[str],
        compare: tuple[str, str] | None,
        name: str,
    ) -> Explanation:
        comparison = compare_texts(model, tokenizer, *texts)
        traces = [comparison.first, comparison.second]
        pair = compare or words_to_compare(traces)
        patched = None
        if pair is not None and _patching_cost(comparison) <= MAX_PATCHING:
            patched = patch_texts(model, tokenizer, comparison, pair)
        title = " | ".join(texts)
        return cls(title, name, traces, texts, pair or (), pair, None, comparison, patched)

    # -- what is shown -----------------------------------------------------------------------

    @property
    def has_belt(self) -> bool:
        """Whether the model's memory is a belt: a sum of what each word has put on it."""
        return cell_of(self.traces[0].config).has_belt

    def colours(self) -> dict[str, str]:
        """The colour of each word, the same in all pictures of this explanation."""
        words = [word for trace in self.traces for word in display_words(trace)]
        return word_colours(words, self.focus)

    def decisions(self) -> list[tuple[str, Decision]]:
        """What speaks for either of the compared words, for each trace; none without a belt."""
        if self.compare is None or not self.has_belt:
            return []
        return [
            (name, measure_decision(trace, self.compare))
            for name, trace in zip(self.names, self.traces, strict=True)
        ]

    def lines(self, width: int = 80, units: int = 3) -> Iterator[Text]:
        """The lines of the picture in a terminal of ``width`` columns.

        ``units`` is how many of the units that move most are shown of each layer.
        """
        colours = self.colours()
        for number, (name, trace) in enumerate(zip(self.names, self.traces, strict=True)):
            if number:
                yield Text()
            if len(self.traces) > 1:
                yield from wrapped(printable_word(name), width, HEADING)
            yield from trace_lines(
                trace, width, units=units, focus=self.focus, colours=colours, last=self.last
            )
        if self.comparison is not None:
            comparison, patched = self.comparison, self.patched
            if self.last is not None:
                comparison, patched = cut_comparison(comparison, patched, slice(-self.last, None))
            yield from comparison_lines(comparison, width, patched, self.compare)
            if self.patched is None and self.compare is not None:
                yield from wrapped(TOO_LONG, width)
        if self.effect is not None:
            yield Text()
            yield from effect_lines(self.effect, f"the next word {self.names[-1]}")
        for name, decision in self.decisions():
            yield Text()
            if len(self.traces) > 1:
                yield from wrapped(printable_word(name), width, HEADING)
            yield from decision_lines(last_words(decision, self.last), width)
            contradiction = explain_contradiction(decision)
            if contradiction:
                yield from wrapped(contradiction, width)

    def belt_drawings(self) -> list[Draw]:
        """What draws the belt of each layer and trace, in one scale a layer; none for an RNN."""
        return self._draw_belts(self.traces)

    def gate_drawings(self, units: int = 5) -> list[Draw]:
        """What draws the gates of each layer and trace."""
        return self._draw_gates(self.traces, units)

    def decision_drawings(self) -> list[Draw]:
        """What draws the decision of each trace."""
        return [
            partial(_draw_decision, decision, self._for_whom(name, decision))
            for name, decision in self.decisions()
        ]

    def pictures(self, width: float = 1180) -> list[Canvas]:
        """The belts (of an RNN, which has none, the gates), the comparison and the decision."""
        pictures = [draw(width) for draw in self.belt_drawings() or self.gate_drawings()]
        if self.comparison is not None:
            pictures.append(
                draw_comparison(self.comparison, self.patched, self.compare, width=width)
            )
        return pictures + [draw(width) for draw in self.decision_drawings()]

    def to_html(self) -> str:
        """One whole HTML page that holds everything; nothing in it is fetched from elsewhere."""
        return render_explanation(self)

    def _repr_html_(self) -> str:
        traces = [first_words(trace, MAX_NOTEBOOK_WORDS) for trace in self.traces]
        drawings = self._draw_belts(traces) or self._draw_gates(traces, 3)
        pictures = [draw(1180) for draw in drawings]
        if self.comparison is not None:
            first = slice(MAX_NOTEBOOK_WORDS)
            short, patched = cut_comparison(self.comparison, self.patched, first)
            pictures.append(draw_comparison(short, patched, self.compare))
        for name, decision in self.decisions():
            # The end of a text is what decides.
            last = last_words(decision, MAX_NOTEBOOK_WORDS)
            pictures.append(draw_decision(last, heading=self._for_whom(name, decision)))
        longest = max(map(len, self.traces))
        note = only_first_words(MAX_NOTEBOOK_WORDS, longest)
        return notebook_figure(stack(pictures, title=self.title), note)

    def _draw_belts(self, traces: Sequence[Trace]) -> list[Draw]:
        if not self.has_belt:
            return []
        config = self.traces[0].config
        colours = self.colours()
        drawings: list[Draw] = []
        for layer in range(config.layers):
            full = full_belt(traces, layer)
            where = f", layer {layer}" if config.layers > 1 else ""
            for name, trace in zip(self.names, traces, strict=True):
                which = where + self.suffix(name)
                drawings.append(
                    partial(
                        _draw_belt, trace, layer, focus=self.focus, colours=colours, full=full,
                        heading=f"The belt{which}" if which else "",
                    )
                )  # fmt: skip
        return drawings

    def _draw_gates(self, traces: Sequence[Trace], units: int) -> list[Draw]:
        return [
            partial(
                _draw_gates, trace, layer, units=units,
                heading=f"{gates_heading(trace)} of layer {layer}{self.suffix(name)}",
            )
            for layer in range(self.traces[0].config.layers)
            for name, trace in zip(self.names, traces, strict=True)
        ]  # fmt: skip

    def _for_whom(self, name: str, decision: Decision) -> str:
        first, second = map(printable_word, decision.compare)
        return f"For {first} or for {second}{self.suffix(name)}"

    def suffix(self, name: str) -> str:
        """What tells one trace's pictures from another's; empty where there is only one."""
        return f": {printable_word(name)}" if len(self.traces) > 1 else ""

    def table(self) -> dict[str, Any]:
        """The numbers as plain data, for JSON."""
        config = self.traces[0].config
        table: dict[str, Any] = {
            "cell": config.cell,
            "layers": config.layers,
            "texts": [
                {"name": name, **summarize_trace(trace, last=self.last)}
                for name, trace in zip(self.names, self.traces, strict=True)
            ],
        }
        if self.compare is not None:
            table["compare"] = list(self.compare)
        decisions = self.decisions()
        if decisions:
            table["decision"] = [
                {"name": name, "logit_difference": decision.total, "bias": decision.bias,
                 "shares": decision.shares.tolist()}
                for name, decision in decisions
            ]  # fmt: skip
        if self.effect is not None:
            table["effect"] = self.effect.table()
        if self.comparison is not None:
            table["comparison"] = {
                "pairs": [list(pair) for pair in self.comparison.pairs],
                "gates": list(self.comparison.names),
                "distance": _without_nan(self.comparison.distance),
                "patched": None if self.patched is None else _without_nan(self.patched),
            }
        return table


def cut_comparison(
    comparison: Comparison, patched: np.ndarray | None, pairs: slice
) -> tuple[Comparison, np.ndarray | None]:
    """A part of two aligned texts, and what patching did there."""
    part = dataclasses.replace(
        comparison, pairs=comparison.pairs[pairs], distance=comparison.distance[..., pairs]
    )
    return part, None if patched is None else patched[..., pairs]


def last_words(decision: Decision, count: int | None) -> Decision:
    """The shares of the last words alone; those before count as the decoder's own."""
    if count is None or len(decision.words) <= count:
        return decision
    return decision._replace(
        words=decision.words[-count:],
        shares=decision.shares[-count:],
        bias=decision.bias + float(decision.shares[:-count].sum()),
    )


# The width comes last, so that everything before it can be given ahead.


def _draw_belt(trace: Trace, layer: int, width: float, **options: Any) -> Canvas:
    return draw_belt(trace, layer, width=width, **options)


def _draw_gates(trace: Trace, layer: int, width: float, **options: Any) -> Canvas:
    return draw_gates(trace, layer, width=width, **options)


def _draw_decision(decision: Decision, heading: str, width: float) -> Canvas:
    return draw_decision(decision, heading=heading, width=width)


def _patching_cost(comparison: Comparison) -> float:
    """How many multiplications ``patch_texts`` takes: a reading for each gate of each word."""
    config = comparison.first.config
    weights = sum(np.prod(shape) for shape in config.weight_shapes().values() if len(shape) == 2)
    return float(comparison.distance.size * len(comparison.first) * weights)


def _without_nan(values: np.ndarray) -> list[Any]:
    """Nested lists, with None where there is no number (JSON has no NaN)."""
    objects = values.astype(object)
    objects[np.isnan(values)] = None
    nested: list[Any] = objects.tolist()
    return nested
