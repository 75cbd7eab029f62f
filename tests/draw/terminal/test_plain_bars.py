"""Bars without rich: the right lengths, and on a pipe what rich draws there."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from carousel.draw.terminal.plain_bars import SETTLED, bar, plain_bars
from carousel.draw.terminal.tables import probability_bars


@pytest.fixture(autouse=True, scope="module")
def pipe():
    """An environment that says nothing of how to draw."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*SETTLED, "COLUMNS"):
            patch.delenv(name, raising=False)
        yield


@given(share=st.floats(0, 1), width=st.integers(1, 40))
def test_a_bar_is_as_long_as_its_share_to_an_eighth(share, width):
    drawn = bar(share, width)
    eighths = sum(" ▏▎▍▌▋▊▉█".index(mark) for mark in drawn)
    assert abs(eighths - share * width * 8) <= 0.5 + 1e-9
    assert len(drawn) <= width


def test_bars_stay_inside():
    assert bar(-0.5, 4) == ""
    assert bar(7.0, 4) == "████"
    assert bar(float("1e-9"), 4) == ""


ROWS = st.lists(
    st.tuples(st.text(st.characters(codec="utf-8"), min_size=1, max_size=45), st.floats(0, 1)),
    min_size=1,
    max_size=6,
)


@given(rows=ROWS)
def test_a_pipe_gets_what_rich_draws(rows):
    found = plain_bars(rows)
    if found is not None:
        file = io.StringIO()
        Console(file=file, width=80).print(probability_bars(rows))
        assert found + "\n" == file.getvalue()


def test_words_as_they_are_need_no_rich():
    assert plain_bars([("don't", 0.5), ("a", 0.25)], 4) == "don't  50.0% ██\na      25.0% █ "


def test_what_rich_must_lay_out(monkeypatch):
    assert plain_bars([("é", 0.5)]) is None
    assert plain_bars([("a" * 43, 1.0)]) is None
    assert plain_bars([("a\tb", 1.0)]) is None
    monkeypatch.setenv("COLUMNS", "38")
    assert plain_bars([("a", 1.0)]) is None
    monkeypatch.setenv("COLUMNS", "39")
    assert plain_bars([("a", 1.0)]) is not None
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert plain_bars([("a", 1.0)]) is None
