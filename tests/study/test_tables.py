"""Tables of the studies and the demo: numbers as they are printed, in 80 columns."""

import io

from rich.console import Console

from carousel.study.tables import (
    accuracy_table,
    number_table,
    per_seed,
    side_by_side,
    with_interval,
)


def shown(thing, width=80):
    file = io.StringIO()
    Console(file=file, width=width).print(thing)
    return file.getvalue()


def test_numbers_as_they_are_printed():
    assert with_interval(0.613, 0.58, 0.641) == "61% (58 to 64)"
    assert with_interval(-0.1234, -0.2, 0.01, "+.2f") == "-0.12 (-0.20 to +0.01)"
    assert per_seed([0.6, 0.624]) == "60 62"
    assert per_seed([0.6, 0.624], ".2f") == "0.60 0.62"
    assert "friend" in shown(number_table(("place", "gate"), [("friend", "0.5")]))


def test_three_models_fit_80_columns_uncut():
    rows = [("noodles", 1.0), ("burger", 0.000_4)]
    text = shown(side_by_side({"RNN": rows, "GRU": rows, "LSTM": rows}))
    assert "…" not in text
    assert text.count("noodles 100.0% █████████") == 3
    assert max(map(len, text.splitlines())) <= 80


def test_a_table_of_accuracies():
    text = shown(accuracy_table(["same", "switch"], {"LSTM": [1.0, 0.985]}))
    assert "LSTM   100%      98%" in text
