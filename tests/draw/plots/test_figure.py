"""Figures: PNG files that hold what they were given."""

import pytest

from carousel.draw.plots.figure import learning_curve


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


def test_a_picture_is_written(tmp_path):
    learning_curve(ROWS, tmp_path / "a.png")
    assert png_size(tmp_path / "a.png") == (1050, 630)


def test_a_learning_curve_names_its_best(drawn):
    learning_curve(ROWS, "unused.png")
    axes = drawn[0].axes[0]
    assert "2.70 after 2.00" in axes.get_title(loc="left")
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines == {"validation": [7.4, 2.7], "training": [9.0, 3.0]}
