"""What a notebook shows of a trace, a belt, an effect and a comparison of two texts.

``show_in_notebooks`` registers all of it; ``LanguageModel`` calls it where it makes such objects.
"""

from __future__ import annotations

from carousel.draw.palette import word_colours
from carousel.draw.svg.belt import draw_belt, full_belt
from carousel.draw.svg.canvas import stack
from carousel.draw.svg.comparison import draw_comparison
from carousel.draw.svg.gates import draw_gates
from carousel.explain.explanation import cut_comparison
from carousel.explain.html_report import escape, notebook_figure, rows
from carousel.explain.visualization import MAX_NOTEBOOK_WORDS
from carousel.explain.wording import only_first_words
from carousel.lens.belt import Belt
from carousel.lens.compare import Comparison
from carousel.lens.decision import words_to_compare
from carousel.lens.display import register_renderer
from carousel.lens.effect import Effect
from carousel.lens.names import cell_of, full_names
from carousel.lens.summary import first_words
from carousel.lens.tokens import display_words
from carousel.lens.trace import Trace
from carousel.text.printable import printable_word


def show_in_notebooks() -> None:
    """Let notebooks draw what the lens measures."""
    register_renderer(Trace, render_trace)
    register_renderer(Belt, render_belt)
    register_renderer(Effect, render_effect)
    register_renderer(Comparison, render_comparison)


def render_trace(trace: Trace) -> str:
    """The last layer's belt and gates; of a trace that holds only some gates, its name."""
    if len(trace.values) < len(full_names(trace.config)):
        return f"<code>{escape(repr(trace))}</code>"
    short = first_words(trace, MAX_NOTEBOOK_WORDS)
    focus = words_to_compare([trace]) or ()
    belts = [draw_belt(short, focus=focus)] if cell_of(trace.config).has_belt else []
    drawing = stack([*belts, draw_gates(short, units=3)], title=" ".join(short.words))
    return notebook_figure(drawing, _note(trace))


def render_belt(belt: Belt) -> str:
    """The belt picture."""
    focus = words_to_compare([belt.trace]) or ()
    short = first_words(belt.trace, MAX_NOTEBOOK_WORDS)
    drawing = draw_belt(short, belt.layer, focus=focus)
    return notebook_figure(drawing, _note(belt.trace))


def render_effect(effect: Effect) -> str:
    """The prediction before and after, and the belts of both in one scale."""
    changes = [(printable_word(word), f"{p:.1%}", f"{q:.1%}") for word, p, q in effect.changes]
    table = rows("", ["next word", "before", "after"], changes)
    if not cell_of(effect.before.config).has_belt:
        return table
    traces = {
        "before": first_words(effect.before, MAX_NOTEBOOK_WORDS),
        "after": first_words(effect.after, MAX_NOTEBOOK_WORDS),
    }
    full = full_belt(list(traces.values()))
    words = display_words(effect.before)
    # In the text's order, so that words have the colours that they have in the belt's picture.
    compared = sorted(effect.compared or (), key=lambda word: [*words, word].index(word))
    focus = compared or words_to_compare([effect.before]) or ()
    colours = word_colours(words, focus)
    belts = [
        draw_belt(trace, focus=focus, colours=colours, heading=name, full=full)
        for name, trace in traces.items()
    ]
    drawing = stack(belts, title="before and after")
    return table + notebook_figure(drawing, _note(effect.before))


def render_comparison(comparison: Comparison) -> str:
    """The heat map of two texts."""
    short, _ = cut_comparison(comparison, None, slice(MAX_NOTEBOOK_WORDS))
    note = only_first_words(MAX_NOTEBOOK_WORDS, len(comparison.pairs))
    return notebook_figure(draw_comparison(short), note)


def _note(trace: Trace) -> str:
    return only_first_words(MAX_NOTEBOOK_WORDS, len(trace))
