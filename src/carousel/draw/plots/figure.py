"""Figures as PNG, with matplotlib: one look for all, in colours that everybody can tell apart."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.draw.palette import BLUE, GREEN, VERMILION
from carousel.storage.atomic import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_STYLES: dict[str, dict[str, Any]] = {
    "rnn": {"color": VERMILION, "marker": "s", "linestyle": (0, (1, 1))},
    "gru": {"color": BLUE, "marker": "^", "linestyle": (0, (4, 2))},
    "lstm": {"color": GREEN, "marker": "o", "linestyle": "solid"},
}
"""How each cell is drawn; markers and dashes tell the same as colours, for print without them."""
TRAIN, VALID = "#999999", BLUE


def learning_curve(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw perplexity on training and validation text against epochs, as a PNG.

    Args:
        rows: as in ``draw_learning_curve``.
        path: where the PNG goes.
    """
    save_figure(draw_learning_curve(rows), path)


def draw_learning_curve(
    rows: Sequence[Mapping[str, Any]], five_gram_perplexity: float | None = None
) -> Figure:
    """Draw perplexity on training and validation text against epochs.

    Args:
        rows: one a validation, with ``epoch``, ``train_perplexity``, ``valid_perplexity`` and
            ``valid_loss``.
        five_gram_perplexity: of a 5-gram on the validation text, drawn as a line to compare with.
    """
    figure, axes = new_figure(1, 1, (7.0, 4.2))
    ax = axes[0]
    epochs = [row["epoch"] for row in rows]
    curves = {
        "validation": ([row["valid_perplexity"] for row in rows], VALID, "o"),
        "training": ([row["train_perplexity"] for row in rows], TRAIN, "s"),
    }
    best = min(rows, key=lambda row: row["valid_loss"])
    for name, (values, colour, marker) in curves.items():
        ax.plot(epochs, values, color=colour, marker=marker, markersize=3.5, label=name)
    if five_gram_perplexity is not None:
        ax.axhline(five_gram_perplexity, color="#777777", linestyle="--", label="a 5-gram")
    ax.set_yscale("log")
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 3, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("times the text was read")
    ax.set_ylabel("perplexity per token")
    ax.set_title(
        f"best on validation: {best['valid_perplexity']:.2f} after {best['epoch']:.2f} epochs",
        loc="left",
    )
    ax.legend(frameon=False)
    return figure


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Any]]:
    """An empty figure of ``size`` inches and its axes, row by row, in the look of all figures."""
    # Not pyplot: it would look for a screen and keep every figure.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        ax.set_axisbelow(True)
    return figure, list(axes.flat)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    write_file(path, png_of(figure))


def png_of(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
