"""What a notebook shows of a trace, a belt, an effect and a comparison."""

from __future__ import annotations

import html

from carousel.draw.svg.belt import draw_belt, full_belt
from carousel.draw.svg.canvas import Canvas, stack
from carousel.draw.svg.comparison import draw_comparison
from carousel.draw.svg.decision import common_focus
from carousel.draw.svg.gates import draw_gates
from carousel.draw.svg.words import printable
from carousel.explain.html_report import rows
from carousel.lens.belt import Belt
from carousel.lens.compare import Comparison
from carousel.lens.effect import Effect
from carousel.lens.names import has_belt, points_of
from carousel.lens.trace import Trace


def trace_html(trace: Trace) -> str:
    """The last layer's belt and gates; of a trace that holds only some of them, its name."""
    if len(trace.values) < len(points_of(trace.config)):
        return f"<code>{html.escape(repr(trace))}</code>"
    focus = common_focus([trace]) or ()
    made = [draw_belt(trace, focus=focus)] if has_belt(trace.config) else []
    return _html(stack([*made, draw_gates(trace, units=3)], title=" ".join(trace.words)))


def belt_html(belt: Belt) -> str:
    """The belt picture."""
    return _html(draw_belt(belt.trace, belt.layer, focus=common_focus([belt.trace]) or ()))


def effect_html(effect: Effect) -> str:
    """The prediction before and after, and the belts in one scale."""
    changes = [(printable(word), f"{p:.1%}", f"{q:.1%}") for word, p, q in effect.changes]
    table = rows("", ["next word", "before", "after"], changes)
    if not has_belt(effect.before.config):
        return table
    traces = {"before": effect.before, "after": effect.after}
    full = full_belt(list(traces.values()))
    focus = effect.compared or common_focus([effect.before]) or ()
    belts = [draw_belt(t, focus=focus, heading=name, full=full) for name, t in traces.items()]
    return table + _html(stack(belts, title="before and after"))


def comparison_html(comparison: Comparison) -> str:
    """The heat map."""
    return _html(draw_comparison(comparison))


def _html(canvas: Canvas) -> str:
    return f"<div>{canvas.to_string()}</div>"
