"""The demo's figure holds what was measured."""

import pytest

from carousel.study.demo_report import draw_accuracy
from carousel.study.stories import TRAINED_GAPS


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they are saved."""
    figures = []
    monkeypatch.setattr(
        "carousel.study.demo_report.save_figure", lambda figure, path: figures.append(figure)
    )
    return figures


RESULTS = [
    {"model": model, "kind": kind, "gap": gap, "accuracy": 1 / (1 + gap)}
    for model in ("rnn", "lstm")
    for kind in ("same", "switch")
    for gap in (0, 4, 8)
]


def test_a_subplot_a_kind_and_a_line_a_model(drawn):
    draw_accuracy(RESULTS, "unused.png")
    assert [axes.get_title(loc="left") for axes in drawn[0].axes] == ["same", "switch"]
    for axes in drawn[0].axes:
        lines = axes.get_lines()
        assert [line.get_label() for line in lines] == ["RNN", "LSTM"]
        assert list(lines[0].get_xdata()) == [0, 4, 8]
        assert list(lines[0].get_ydata()) == [1, 0.2, 1 / 9]
        (shaded,) = axes.patches
        assert shaded.get_x() + shaded.get_width() == max(TRAINED_GAPS)


def test_a_picture_is_written(tmp_path):
    draw_accuracy(RESULTS, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
