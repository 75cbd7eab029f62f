"""Drawings for a terminal: right lengths, no cut words at 80 columns, no need for colour."""

import io

from rich.console import Console

from carousel.draw.terminal.tables import facts, probability_bars


def shown(thing, width=80):
    file = io.StringIO()
    Console(file=file, width=width).print(thing)
    return file.getvalue()


def test_words_and_probabilities_are_written_out():
    text = shown(probability_bars([("pizza", 0.75), ("burger", 0.1)], width=8))
    assert text.splitlines()[0].split() == ["pizza", "75.0%", "██████"]
    assert text.splitlines()[1].split() == ["burger", "10.0%", "▊"]


def test_a_long_value_is_wrapped_and_never_cut():
    path = "/a/long/folder" * 10
    lines = shown(facts([("path", path)]), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert "".join(line[6:].strip() for line in lines) == path


def test_markup_in_words_is_only_text():
    assert "[bold]" in shown(probability_bars([("[bold]", 0.5)]))
    assert "[red]" in shown(facts([("path", "[red]")]))
