"""Curves as PNG, with matplotlib: one look, in colours that the colour-blind can tell apart."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.storage.atomic import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart with any colour vision; markers carry the same.
STYLES: dict[str, dict[str, Any]] = {
    "rnn": {"color": "#D55E00", "marker": "s", "linestyle": (0, (1, 1))},
    "gru": {"color": "#0072B2", "marker": "^", "linestyle": (0, (4, 2))},
    "lstm": {"color": "#009E73", "marker": "o", "linestyle": "solid"},
}
TRAIN, VALID = "#999999", "#0072B2"


def learning_curve(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Perplexity on training and validation text against epochs, as a PNG."""
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
    save_figure(figure, path)


def accuracy_by_distance(
    results: Sequence[Mapping[str, Any]], path: str | Path, *, trained_to: int
) -> None:
    """Accuracy of the last word against the words of filler, a panel for each kind of story.

    ``results``: rows of ``model``, ``kind``, ``gap`` and ``accuracy``; the shaded part is what
    training had.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in results))
    models = list(dict.fromkeys(row["model"] for row in results))
    figure, axes = new_figure(1, len(kinds), (2.5 * len(kinds) + 0.6, 3.4))
    for ax, kind in zip(axes, kinds, strict=True):
        ax.axvspan(-1, trained_to, color="#EEEEEE", zorder=0)
        for model in models:
            points = sorted(
                (row["gap"], row["accuracy"])
                for row in results
                if row["kind"] == kind and row["model"] == model
            )
            ax.plot(*zip(*points, strict=True), label=model.upper(), markersize=4, **STYLES[model])
        ax.set_title(kind, loc="left")
        ax.set_ylim(-0.03, 1.05)
        ax.set_xlim(-1, max(row["gap"] for row in results) + 1)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        ax.set_xticks(sorted({row["gap"] for row in results})[::2])
        ax.set_xlabel("words in between")
        if ax is not axes[0]:
            ax.tick_params(labelleft=False)
    axes[0].set_ylabel("last word right")
    axes[0].text(trained_to / 2, 0.0, "trained", ha="center", va="bottom", color="#555555", size=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(models), frameon=False)
    save_figure(figure, path)


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Any]]:
    """An empty figure of ``size`` inches and its panels, row by row, in the look of all curves."""
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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_file(path, buffer.getvalue())
