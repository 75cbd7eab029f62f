"""Drawings for a terminal: right lengths, no cut words at 80 columns, no need for colour."""

import io

from rich.console import Console

from carousel.draw.terminal.tables import (
    accuracy_table,
    facts,
    probability_bars,
    side_by_side,
)


def shown(thing, width=80):
    file = io.StringIO()
    Console(file=file, width=width).print(thing)
    return file.getvalue()


def test_words_and_probabilities_are_written_out():
    text = shown(probability_bars([("pizza", 0.75), ("burger", 0.1)], width=8))
    assert text.splitlines()[0].split() == ["pizza", "75.0%", "██████"]
    assert text.splitlines()[1].split() == ["burger", "10.0%", "▊"]


def test_markup_in_words_is_only_text():
    assert "[bold]" in shown(probability_bars([("[bold]", 0.5)]))
    assert "[red]" in shown(facts([("path", "[red]")]))


def test_three_models_fit_80_columns_uncut():
    rows = [("noodles", 1.0), ("burger", 0.000_4)]
    text = shown(side_by_side({"RNN": rows, "GRU": rows, "LSTM": rows}))
    assert "…" not in text
    assert text.count("noodles 100.0% █████████") == 3
    assert max(map(len, text.splitlines())) <= 80


def test_a_table_of_accuracies():
    text = shown(accuracy_table(["same", "switch"], {"LSTM": [1.0, 0.985]}))
    assert "LSTM   100%      98%" in text
