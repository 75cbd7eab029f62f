"""A trace in a terminal: the trace's numbers, in any width, with or without colour."""

import io

import numpy as np
import pytest
from carousel.draw.terminal.strips import CELL, LABEL, blocks, cut, height, strip
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from carousel.draw.terminal.trace import show_effect, show_trace
from carousel.lens.effect import measure_effect
from carousel.lens.names import cell_of
from drawn import ALL_CELLS, SPECIAL, make_trace


def shown(lines, width=80):
    file = io.StringIO()
    console = Console(file=file, width=width)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    return file.getvalue()


@given(first=st.integers(0, 1), count=st.integers(1, 200), width=st.integers(1, 300))
def test_blocks_hold_every_word_once_and_fit(first, count, width):
    made = list(blocks(first, first + count, width))
    assert [t for block in made for t in block] == list(range(first, first + count))
    for block in made:
        assert len(block) == 1 or LABEL + CELL * len(block) <= width
    assert len(made[0]) - len(made[-1]) < len(made)


@given(word=st.text(st.characters(exclude_categories=["Cc", "Cs", "Mn", "Me", "Cf"])))
def test_a_cell_is_as_wide_as_its_place(word):
    assert cell_len(cut(word)) <= CELL - 1
    line = strip(word, [Text(word), Text("x")])
    assert cell_len(line.plain[: line.plain.rindex("x")]) == LABEL + CELL


def test_heights():
    assert [height(share) for share in (-1, 0, 0.5, 1, 2)] == [" ", " ", "▄", "█", "█"]


@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("width", [24, 80, 160])
def test_numbers_are_the_trace_s_and_lines_fit(cell, width):
    trace = make_trace(["⏎", *["krish", "likes", "pizza", "but", "his", "friend"]], cell, layers=2)
    text = shown(show_trace(trace, width), width)
    assert max(map(cell_len, text.splitlines())) <= max(width, 70)
    assert "layer 1" in text
    for name, long in cell_of(trace.config).names.items():
        signed = name in "gnch"
        values = np.abs(trace[name, 1]) if signed else trace[name, 1]
        label = (f"|{name}| {long}" if signed else f"{name} {long}")[:8]
        lines = [line for line in text.splitlines() if line.startswith(label)]
        written = " ".join(lines[len(lines) // 2 :] if width == 160 else lines)
        for mean, spread in zip(values.mean(1)[1:], values.std(1)[1:], strict=True):
            assert f"{mean:.2f}"[1:] + "±" + f"{spread:.1f}"[1:] in written
    if cell == "rnn":
        assert "no belt" in text


def test_the_belt_s_shares():
    trace = make_trace(["⏎", "a", "b", "c"])
    amounts = trace.belt().amounts()
    lines = shown(show_trace(trace, 80, focus=("a",))).splitlines()
    (line,) = [line for line in lines if line.startswith("  a ")]
    shares = [part for part in line.split() if part.endswith("%")]
    assert shares == [f"{amounts[t, 1] / amounts[1, 1]:.0%}" for t in (1, 2, 3)]


def test_guesses_stand_under_their_words(make_model):
    trace = make_model().trace("the cat sat")
    lines = shown(show_trace(trace, 80, guesses=2)).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("next word"))
    best = trace.next_words(2)
    for rank in (0, 1):
        words = lines[start + 2 * rank].removeprefix("next word").split()
        assert words == [best[t][rank].word for t in (1, 2, 3)]
        per_cent = lines[start + 2 * rank + 1].split()
        assert per_cent == [f"{best[t][rank].probability:.0%}" for t in (1, 2, 3)]


def test_odd_words_do_nothing_to_the_terminal():
    text = shown(show_trace(make_trace(SPECIAL), 80))
    assert "\x1b" not in text
    assert "\t" not in text
    assert max(map(cell_len, text.splitlines())) <= 80


def test_an_empty_text(make_model):
    assert "⏎" in shown(show_trace(make_model().trace(""), 80))


def test_an_effect(make_model):
    effect = measure_effect(make_model(), "the cat sat", "forget=0@cat", compare=("pie", "cat"))
    text = shown(show_effect(effect, "after"))
    assert f"{effect.divergence:.3f} nats" in text
    assert f"{effect.difference_before:+.2f} before" in text
    for change in effect.changes:
        assert f"{change.before:6.1%} → {change.after:6.1%}" in text
