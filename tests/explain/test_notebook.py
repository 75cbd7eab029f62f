"""What a notebook shows of the lens's things."""

import re
import subprocess
import sys

import pytest

import carousel
from carousel.explain.visualization import MAX_NOTEBOOK_WORDS
from drawn import ALL_CELLS, parse

TEXT = "the cat likes <pizza & pie"


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_everything_shows_itself(cell, make_model):
    model = make_model(cell, layers=2)
    trace = model.trace(TEXT)
    shown = [
        trace,
        model.compare(TEXT, "the cat ran"),
        model.effect(TEXT, "h=0@cat"),
    ]
    if cell != "rnn":
        shown.append(trace.belt(0))
    for thing in shown:
        parse(f"<body>{thing._repr_html_()}</body>")


def test_a_trace_of_only_some_gates(make_model):
    trace = make_model().trace(TEXT, only=["forget"])
    assert trace._repr_html_().startswith("<code>Trace(lstm, ")


def test_the_front_door_lets_notebooks_draw(tmp_path):
    code = (
        "import carousel; lm = carousel.load(); "
        "assert {expression}._repr_html_().count('<svg') == 1"
    )
    for expression in (
        "lm.trace('krish likes pizza')",
        "lm.trace('krish likes pizza').belt()",
        "lm.effect('krish likes pizza', 'forget=0@likes')",
        "lm.compare('krish likes pizza', 'paul likes pizza')",
    ):
        subprocess.run([sys.executable, "-c", code.format(expression=expression)], check=True)


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_a_notebook_draws_the_first_words_of_a_long_text(cell, make_model):
    lm = make_model(cell)
    long = "the cat sat on a mat and the dog ran to pizza " * 20
    short = " ".join(long.split()[: MAX_NOTEBOOK_WORDS - 1])
    shown = [lm.trace(long), lm.compare(long, long + "pie")]
    if cell != "rnn":
        shown += [lm.trace(long).belt(), lm.effect(long, "h=0@cat")]
    note = f"<p>Only the first {MAX_NOTEBOOK_WORDS} of 24"
    for thing in shown:
        assert note in thing._repr_html_()
        parse(f"<body>{thing._repr_html_()}</body>")
    assert note not in lm.trace(short)._repr_html_()
    assert len(lm.trace(long)._repr_html_()) < 2 * len(lm.trace(short)._repr_html_())


def test_an_effect_s_table_has_the_effect_s_numbers(make_model):
    effect = make_model().effect(TEXT, "h=0@cat")
    html = effect._repr_html_()
    for change in effect.changes:
        assert f"{change.before:.1%}" in html
        assert f"{change.after:.1%}" in html


def test_a_word_has_one_colour_and_a_drawing_scrolls_where_it_would_be_too_small():
    model = carousel.load()
    text = "krish likes pizza but his friend likes burger so his friend orders"
    effect = model.effect(text, "forget=1@5-7", compare=("burger", "pizza"))
    found = []
    for shown in (model.trace(text).belt(), model.trace(text), effect):
        html = shown._repr_html_()
        found += re.findall(r'fill="(#\w+)"[^<]*/><text[^>]*>(\w+) left', html)
        assert re.search(r'<div style="overflow-x:auto"><svg style="min-width:[5-9]\d\dpx"', html)
    assert len(found) == 8
    assert len(set(found)) == 2
