"""What a notebook shows of the lens's things."""

import pytest

from carousel.lens.compare import compare_texts
from carousel.lens.effect import measure_effect
from drawn import ALL_CELLS, parse

TEXT = "the cat likes <pizza & pie"


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_everything_shows_itself(cell, make_model):
    model = make_model(cell, layers=2)
    trace = model.trace(TEXT)
    shown = [
        trace,
        compare_texts(model, TEXT, "the cat ran"),
        measure_effect(model, TEXT, "h=0@cat"),
    ]
    if cell != "rnn":
        shown.append(trace.belt(0))
    for thing in shown:
        parse(f"<body>{thing._repr_html_()}</body>")


def test_a_trace_of_only_some_gates(make_model):
    trace = make_model().trace(TEXT, only=["forget"])
    assert trace._repr_html_().startswith("<code>Trace(lstm, ")
