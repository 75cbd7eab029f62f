"""Figures: PNG files that hold what they were given."""

import pytest

from carousel.draw.plots.figure import accuracy_by_distance, learning_curve


def png_size(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they are saved."""
    figures = []
    monkeypatch.setattr(
        "carousel.draw.plots.figure.save_figure", lambda figure, path: figures.append(figure)
    )
    return figures


ROWS = [
    {"epoch": 1.0, "valid_loss": 2.0, "valid_perplexity": 7.4, "train_perplexity": 9.0},
    {"epoch": 2.0, "valid_loss": 1.0, "valid_perplexity": 2.7, "train_perplexity": 3.0},
]
RESULTS = [
    {"model": model, "kind": kind, "gap": gap, "accuracy": 1 / (1 + gap)}
    for model in ("rnn", "lstm")
    for kind in ("same", "switch")
    for gap in (0, 4, 8)
]


def test_pictures_are_written(tmp_path):
    learning_curve(ROWS, tmp_path / "a.png")
    accuracy_by_distance(RESULTS, tmp_path / "b.png", trained_to=4)
    assert png_size(tmp_path / "a.png") == (1050, 630)
    assert png_size(tmp_path / "b.png")[0] > 800


def test_a_learning_curve_names_its_best(drawn):
    learning_curve(ROWS, "unused.png")
    axes = drawn[0].axes[0]
    assert "2.70 after 2.00" in axes.get_title(loc="left")
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines == {"validation": [7.4, 2.7], "training": [9.0, 3.0]}


def test_a_panel_a_kind_and_a_line_a_model(drawn):
    accuracy_by_distance(RESULTS, "unused.png", trained_to=4)
    assert [axes.get_title(loc="left") for axes in drawn[0].axes] == ["same", "switch"]
    for axes in drawn[0].axes:
        lines = axes.get_lines()
        assert [line.get_label() for line in lines] == ["RNN", "LSTM"]
        assert list(lines[0].get_xdata()) == [0, 4, 8]
        assert list(lines[0].get_ydata()) == [1, 0.2, 1 / 9]
