"""The HTML page of an explanation, section by section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from carousel.draw.svg.cell import draw_cell
from carousel.draw.svg.comparison import draw_comparison
from carousel.draw.svg.gates import gates_heading
from carousel.explain.html_report import (
    bars,
    definitions,
    escape,
    figure,
    page,
    rows,
    section,
    steps,
)
from carousel.explain.wording import describe_model, explain_contradiction, legend
from carousel.lens.summary import is_signed, measure_cell
from carousel.lens.tokens import display_words, likeliest_tokens_at
from carousel.lens.trace import Trace
from carousel.text.printable import printable_word

if TYPE_CHECKING:
    from carousel.draw.svg.canvas import Canvas
    from carousel.explain.explanation import Explanation

TOO_LONG = "The texts are too long to try what each gate at each word does to the answer."
MAX_CELLS = 60
"""The cell's diagram is drawn for this many words of a text, the last ones."""


def render_explanation(explanation: Explanation) -> str:
    """The whole page of an explanation; see ``html_report`` for what such a page is."""
    config = explanation.traces[0].config
    about = f"Model: {describe_model(printable_word(explanation.model_name), config)}"
    return page(explanation.title, about, _sections(explanation))


def _sections(explanation: Explanation) -> Iterator[str]:
    yield _predictions(explanation)
    yield from _effect(explanation)
    yield _belts(explanation)
    yield from _decisions(explanation)
    yield from _comparison(explanation)
    layers = range(explanation.traces[0].config.layers)
    yield section(
        "The cell, word by word",
        "Boxes are layers with weights, circles are pointwise operations. Lines that join are "
        "concatenated, lines that fork are copied. Numbers are means over units (of the size, "
        "where values have either sign), and a line is as heavy as what it carries.",
        *(_cells(explanation, layer) for layer in layers),
    )
    yield section(
        gates_heading(explanation.traces[0]),
        "A bar is the mean over units, and the line in it is the spread (one standard deviation). "
        "Below each bar stand the units that change most: the fuller the square, the larger the "
        "value. Of values with either sign, orange is above 0 and blue is below.",
        *map(figure, explanation.gate_drawings()),
    )
    words = [word for trace in explanation.traces for word in display_words(trace)]
    meanings = legend(
        explanation.traces[0].config,
        words,
        decision=bool(explanation.decisions()),
        effect=explanation.effect is not None,
    )
    yield section("What the signs mean", "", definitions(meanings))


def _predictions(explanation: Explanation) -> str:
    colours = {word: explanation.colours()[word] for word in explanation.focus}
    return section(
        "What comes next",
        "",
        *(
            bars(
                explanation.suffix(name).removeprefix(": "),
                likeliest_tokens_at(trace, -1, 5),
                colours,
            )
            for name, trace in zip(explanation.names, explanation.traces, strict=True)
        ),
    )


def _effect(explanation: Explanation) -> Iterator[str]:
    effect = explanation.effect
    if effect is None:
        return
    body = [(printable_word(word), f"{p:.1%}", f"{q:.1%}") for word, p, q in effect.changes]
    yield section(
        "What the clamps change",
        f"KL(before ‖ after) is {effect.divergence:.3f} nats.",
        rows("", ["next word", "before", "after"], body),
    )


def _belts(explanation: Explanation) -> str:
    about = (
        "Each word puts luggage on the belt (+), and its forget gates let go of some of what is "
        "there (×). A band is as thick as what is left of its word's luggage, summed over "
        "units. What is let go hangs below the belt."
        if explanation.has_belt
        else "A plain RNN has no belt: its state is made anew at every word, not added to."
    )
    return section("The belt", about, *map(figure, explanation.belt_drawings()))


def _decisions(explanation: Explanation) -> Iterator[str]:
    drawings = explanation.decision_drawings()
    if not drawings:
        return
    contradictions = [explain_contradiction(decision) for _, decision in explanation.decisions()]
    parts = [
        figure(draw) + (f"<p>{escape(sentence)}</p>" if sentence else "")
        for draw, sentence in zip(drawings, contradictions, strict=True)
    ]
    yield section(
        "The decision",
        "Which word speaks for which answer: each word's part of the difference between the two "
        "next words' logits, through what is left of its luggage in the last layer. The parts and "
        "the biases add up to the difference exactly.",
        *parts,
    )


def _comparison(explanation: Explanation) -> Iterator[str]:
    comparison = explanation.comparison
    if comparison is None:
        return
    tried = explanation.patched is not None or explanation.compare is None

    def draw(width: float) -> Canvas:
        return draw_comparison(comparison, explanation.patched, explanation.compare, width=width)

    yield section("The two texts, gate by gate", "" if tried else TOO_LONG, figure(draw))


def _cells(explanation: Explanation, layer: int) -> str:
    """The cell of one layer at each word of each text."""
    parts = []
    for name, trace in zip(explanation.names, explanation.traces, strict=True):
        first = max(0, len(trace) - MAX_CELLS)
        more = f" (the last {MAX_CELLS} words)" if first else ""
        heading = f"Layer {layer}{explanation.suffix(name)}{more}"
        parts.append(section(heading, "", cell_steps(trace, layer, first)))
    return "".join(parts)


def cell_steps(trace: Trace, layer: int = -1, first: int = 0) -> str:
    """The cell's diagram at each word from position ``first`` on, to step through."""
    words = display_words(trace)
    return steps(
        [
            (words[t], draw_cell(trace, t, layer), _cell_numbers(trace, t, layer))
            for t in range(first, len(trace))
        ]
    )


def _cell_numbers(trace: Trace, t: int, layer: int) -> str:
    """The numbers of a cell's diagram in one line."""
    means = measure_cell(trace, t, layer)
    shown = [
        f"|{name}| {value:.2f}"
        if name in "gn" and is_signed(trace, name)
        else f"{name} {value:.2f}"
        for name, value in means.values.items()
    ]
    if means.keep is not None:
        shown += [f"keep {means.keep:.2f}", f"write {means.write:.2f}"]
    return " · ".join(shown)
