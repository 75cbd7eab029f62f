"""All that is shown of a model reading one text or two, put together once and drawn anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.text import Text

from carousel.draw.svg.belt import draw_belt, full_belt
from carousel.draw.svg.canvas import Canvas
from carousel.draw.svg.cell import draw_cell
from carousel.draw.svg.comparison import draw_comparison, show_comparison
from carousel.draw.svg.decision import (
    Decision,
    common_focus,
    draw_decision,
    measure_decision,
    show_decision,
)
from carousel.draw.svg.gates import draw_gates, gates_heading, mean_and_spread, most_moved
from carousel.draw.svg.words import check_length, guesses_at, guesses_of, printable, words_of
from carousel.draw.terminal.trace import show_effect, show_trace
from carousel.errors import LensError
from carousel.explain.html_report import Report, figure, page, rows, section, steps
from carousel.lens.compare import Comparison, compare_texts, patch_texts
from carousel.lens.effect import Effect, measure_effect
from carousel.lens.names import find_word, has_belt, names_of
from carousel.lens.trace import Trace, trace_text
from carousel.model import LanguageModel
from carousel.predict.next_words import encode_known

MOST_PATCHING = 4e10
"""So many multiplications, some twenty seconds, every gate at every word may take to be patched."""
TOO_LONG = "The texts are too long to try what each gate at each word does to the answer."
MOST_CELLS = 60
"""The cell's diagram is drawn for this many words of a text, the last ones."""


@dataclass(frozen=True)
class Explanation(Report):
    """What a model does with one text or two, as traces and what was measured on them."""

    title: str
    traces: list[Trace]
    """One a text; with clamps, before and after."""
    names: list[str]
    """What each trace is called: its text, or how it is held."""
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

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        texts: str | Sequence[str],
        *,
        clamps: Sequence[str] = (),
        compare: tuple[str, str] | None = None,
    ) -> Explanation:
        """Read the texts and measure all that is shown.

        Args:
            model: the model.
            texts: one text, or two to compare.
            clamps: gates to hold in the one text, as ``"forget=1@friend"``.
            compare: two next words to weigh against each other. By default the two texts' likeliest
                next words; of one text its likeliest and the likeliest other word that it holds.

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
            check_length(encode_known(model, text))
        if compare is not None:
            tokens = model.tokenizer.tokens()
            first, second = map(model.tokenizer.normalize, compare)
            compare = (first, second)
            for word in compare:
                find_word(tokens, word, "the vocabulary")
            if not has_belt(model.config) and len(texts) == 1 and not clamps:
                raise LensError(
                    "a plain RNN has no belt whose luggage could be weighed: leave out the "
                    "words to compare"
                )
        if len(texts) == 2:
            found = compare_texts(model, *texts)
            traces = [found.first, found.second]
            pair = compare or common_focus(traces)
            patched = None
            if pair is not None and _patching_costs(found) <= MOST_PATCHING:
                patched = patch_texts(model, found, pair)
            title = f"{texts[0]} | {texts[1]}"
            names = list(texts)
            return cls(title, traces, names, pair or (), pair, comparison=found, patched=patched)
        text = texts[0]
        if not clamps:
            trace = trace_text(model, text)
            pair = compare or common_focus([trace])
            return cls(text, [trace], [text], pair or (), compare)
        pair = compare or common_focus([trace_text(model, text)])
        effect = measure_effect(model, text, list(clamps), compare=pair)
        held = f"with {', '.join(clamps)}"
        traces = [effect.before, effect.after]
        return cls(f"{text} ({held})", traces, ["as it is", held], pair or (), compare, effect)

    # -- what is shown -----------------------------------------------------------------------

    def decisions(self) -> list[tuple[str, Decision]]:
        """What speaks for either of the compared words, for each trace; none without a belt."""
        if self.compare is None or not has_belt(self.traces[0].config):
            return []
        return [
            (name, measure_decision(trace, self.compare))
            for name, trace in zip(self.names, self.traces, strict=True)
        ]

    def lines(self, width: int = 80, units: int = 3) -> Iterator[Text]:
        """The lines of the picture in a terminal of ``width`` columns.

        ``units`` is how many of the most moved units are shown of each layer.
        """
        for number, (name, trace) in enumerate(zip(self.names, self.traces, strict=True)):
            if number:
                yield Text()
            if len(self.traces) > 1:
                yield Text(printable(name), style="bold underline")
            yield from show_trace(trace, width, units=units, focus=self.focus)
        if self.comparison is not None:
            yield from show_comparison(self.comparison, width, self.patched, self.compare)
            if self.patched is None and self.compare is not None:
                yield Text(TOO_LONG)
        if self.effect is not None:
            yield Text()
            yield from show_effect(self.effect, f"the next word {self.names[-1]}")
        for name, decision in self.decisions():
            yield Text()
            if len(self.traces) > 1:
                yield Text(printable(name), style="bold underline")
            yield from show_decision(decision, width)

    def belts(self, width: float = 1180) -> list[Canvas]:
        """The belt of each layer and trace, in one scale a layer; none for a plain RNN."""
        config = self.traces[0].config
        if not has_belt(config):
            return []
        made = []
        for layer in range(config.layers):
            full = full_belt(self.traces, layer)
            where = f", layer {layer}" if config.layers > 1 else ""
            for name, trace in zip(self.names, self.traces, strict=True):
                heading = f"The belt{where}{self._named(name)}"
                made.append(draw_belt(trace, layer, focus=self.focus, width=width, heading=heading,
                                      full=full))  # fmt: skip
        return made

    def gates(self, units: int = 5) -> list[Canvas]:
        """The gates of each layer and trace."""
        config = self.traces[0].config
        return [
            draw_gates(trace, layer, units=units,
                       heading=f"{gates_heading(trace)} of layer {layer}{self._named(name)}")
            for layer in range(config.layers)
            for name, trace in zip(self.names, self.traces, strict=True)
        ]  # fmt: skip

    def pictures(self) -> list[Canvas]:
        """The belts (of an RNN, which has none, the gates), the comparison and the decision."""
        made = self.belts() or self.gates()
        if self.comparison is not None:
            made.append(draw_comparison(self.comparison, self.patched, self.compare))
        return made + [
            draw_decision(d, heading=self._speaks(name, d)) for name, d in self.decisions()
        ]

    def to_html(self) -> str:
        """One page that holds everything."""
        return page(self.title, self._sections())

    def _sections(self) -> Iterator[str]:
        config = self.traces[0].config
        yield section("What comes next", "", *(
            rows(self._named(name).removeprefix(": "), ["next word", "probability"],
                 [(word, f"{p:.1%}") for word, p in guesses_at(trace, -1, 5)])
            for name, trace in zip(self.names, self.traces, strict=True)
        ))  # fmt: skip
        if self.effect is not None:
            yield section(
                "What the clamps change",
                f"KL(before ‖ after) is {self.effect.divergence:.3f} nats.",
                rows("", ["next word", "before", "after"],
                     [(printable(word), f"{p:.1%}", f"{q:.1%}")
                      for word, p, q in self.effect.changes]),
            )  # fmt: skip
        belts = self.belts()
        yield section(
            "The belt",
            "Each word puts luggage on the belt (+) and its forget gates let go of some of what is "
            "there (×). A band is as thick as what is left of its word's luggage, summed over "
            "units; what is let go hangs below the belt."
            if belts
            else "A plain RNN has no belt: its state is made anew at every word, not added to.",
            *map(figure, belts),
        )
        decisions = self.decisions()
        if decisions:
            yield section(
                "The decision",
                "Each word's part of the difference between the two next words' logits, through "
                "what is left of its luggage in the last layer. The parts and the biases add up "
                "to the difference exactly.",
                *(figure(draw_decision(d, heading=self._speaks(name, d))) for name, d in decisions),
            )
        if self.comparison is not None:
            tried = self.patched is not None or self.compare is None
            yield section(
                "Where the two texts part ways",
                "" if tried else TOO_LONG,
                figure(draw_comparison(self.comparison, self.patched, self.compare)),
            )
        yield section(
            "The cell, word by word",
            "Layers with weights are boxes, what is pointwise is round. Lines that join are "
            "concatenated, lines that fork are copied. Numbers are means over units (of the size, "
            "where values have either sign), and lines are as heavy as what they carry.",
            *(self._cells(layer) for layer in range(config.layers)),
        )
        yield section(
            gates_heading(self.traces[0]),
            "A bar is the mean over units, its line the spread (one standard deviation); below, "
            "the units that change most: the fuller, the larger; of values with either sign, "
            "orange is above 0 and blue below.",
            *map(figure, self.gates()),
        )

    def _speaks(self, name: str, decision: Decision) -> str:
        a, b = map(printable, decision.compare)
        return f"For {a} or for {b}{self._named(name)}"

    def _named(self, name: str) -> str:
        """What tells one trace's pictures from another's."""
        return f": {printable(name)}" if len(self.traces) > 1 else ""

    def _cells(self, layer: int) -> str:
        made = []
        for name, trace in zip(self.names, self.traces, strict=True):
            words = words_of(trace)
            first = max(0, len(trace) - MOST_CELLS)
            cells = [(words[t], draw_cell(trace, t, layer)) for t in range(first, len(trace))]
            more = f" (the last {MOST_CELLS} words)" if first else ""
            made.append(section(f"Layer {layer}{self._named(name)}{more}", "", steps(cells)))
        return "".join(made)

    def table(self) -> dict[str, Any]:
        """The numbers as plain data, for JSON."""
        config = self.traces[0].config
        made: dict[str, Any] = {
            "cell": config.cell,
            "layers": config.layers,
            "texts": [
                {"name": name, **trace_table(trace)}
                for name, trace in zip(self.names, self.traces, strict=True)
            ],
        }
        if self.compare is not None:
            made["compare"] = list(self.compare)
        decisions = self.decisions()
        if decisions:
            made["decision"] = [
                {"name": name, "logit_difference": d.total, "bias": d.bias,
                 "shares": d.shares.tolist()}
                for name, d in decisions
            ]  # fmt: skip
        if self.effect is not None:
            made["effect"] = self.effect.table()
        if self.comparison is not None:
            made["comparison"] = {
                "pairs": [list(pair) for pair in self.comparison.pairs],
                "gates": list(self.comparison.names),
                "distance": _listed(self.comparison.distance),
                "patched": None if self.patched is None else _listed(self.patched),
            }
        return made


def _patching_costs(found: Comparison) -> float:
    """How many multiplications ``patch_texts`` takes: a reading for each gate of each word."""
    config = found.first.config
    weights = sum(np.prod(shape) for shape in config.weight_shapes().values() if len(shape) == 2)
    return float(found.distance.size * len(found.first) * weights)


def trace_table(trace: Trace, units: int = 5, k: int = 5) -> dict[str, Any]:
    """A trace in short, for JSON: gates' mean and spread, most moved units, belt and guesses."""
    layers = []
    for layer in range(trace.config.layers):
        gates = {}
        for short, long in names_of(trace.config).items():
            values = trace[short, layer]
            means, spreads = mean_and_spread(trace, short, layer)
            gates[long] = {
                "mean": means.tolist(),
                "spread": spreads.tolist(),
                "units": {str(u): values[:, u].tolist() for u in most_moved(values, units)},
            }
        belt = trace.belt(layer).amounts().tolist() if has_belt(trace.config) else None
        layers.append({"gates": gates, "belt": belt})
    guesses = [[guess._asdict() for guess in best] for best in guesses_of(trace, k)]
    return {"words": trace.words, "next_words": guesses, "layers": layers}


def _listed(values: np.ndarray) -> list[Any]:
    """Nested lists, with None where there is no number (JSON has no NaN)."""
    shown = values.astype(object)
    shown[np.isnan(values)] = None
    made: list[Any] = shown.tolist()
    return made
