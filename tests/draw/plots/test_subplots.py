"""Figures of several subplots hold what they were given."""

import pytest

from carousel.draw.palette import BLUE, VERMILION
from carousel.draw.plots.subplots import Line, Subplot, draw_subplots


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(
        "carousel.draw.plots.subplots.save_figure", lambda figure, path: figures.append(figure)
    )
    return figures


SUBPLOTS = [
    Subplot(
        name,
        "share",
        [
            Line("same", [0, 1], [0.5, 0.4], BLUE, low=[0.4, 0.3], high=[0.6, 0.5]),
            Line("switch", [0, 1], [0.2, 0.1], VERMILION, "s", seeds=[[0.3, 0.2], [0.1, 0.0]]),
        ],
        words=["krish", "likes"],
        y_range=(0, 1),
        percent=True,
        zero_line=True,
    )
    for name in ("LSTM", "GRU")
]


def test_each_subplot_has_its_lines_and_words_and_the_legend_each_label_once(drawn):
    draw_subplots(SUBPLOTS, "unused.png", columns=2, size=(8, 4))
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
    draw_subplots(SUBPLOTS, tmp_path / "a.png", size=(6, 5))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
