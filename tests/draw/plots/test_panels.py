"""Figures and tables of the studies hold what they were given."""

import io

import pytest
from rich.console import Console

from carousel.draw.plots.panels import BLUE, RED, Line, Panel, panels
from carousel.study.tables import each, numbers, with_interval


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(
        "carousel.draw.plots.panels.save_figure", lambda figure, path: figures.append(figure)
    )
    return figures


PANELS = [
    Panel(
        name,
        "share",
        [
            Line("same", [0, 1], [0.5, 0.4], BLUE, low=[0.4, 0.3], high=[0.6, 0.5]),
            Line("switch", [0, 1], [0.2, 0.1], RED, "s", seeds=[[0.3, 0.2], [0.1, 0.0]]),
        ],
        words=["krish", "likes"],
        y_range=(0, 1),
        percent=True,
        zero=True,
    )
    for name in ("LSTM", "GRU")
]


def test_each_panel_has_its_lines_and_words_and_the_legend_each_label_once(drawn):
    panels(PANELS, "unused.png", columns=2, size=(8, 4))
    (figure,) = drawn
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["LSTM", "GRU"]
    for ax in figure.axes:
        named = {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()}
        assert named["same"] == [0.5, 0.4]
        assert named["switch"] == [0.2, 0.1]
        assert len(ax.get_lines()) == 5, "two lines, two seeds and the line at zero"
        assert [label.get_text() for label in ax.get_xticklabels()] == ["krish", "likes"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["same", "switch"]


def test_a_png_is_written(tmp_path):
    panels(PANELS, tmp_path / "a.png", size=(6, 5))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_as_they_are_printed():
    assert with_interval(0.613, 0.58, 0.641) == "61% (58 to 64)"
    assert with_interval(-0.1234, -0.2, 0.01, "+.2f") == "-0.12 (-0.20 to +0.01)"
    assert each([0.6, 0.624]) == "60 62"
    assert each([0.6, 0.624], ".2f") == "0.60 0.62"
    said = io.StringIO()
    Console(file=said, width=80).print(numbers(("place", "gate"), [("friend", "0.5")]))
    assert "friend" in said.getvalue()
