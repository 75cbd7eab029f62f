"""The figures of the studies of memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carousel.draw.plots.figure import STYLES, new_figure, save_figure


def short_memory_figure(
    rows: Sequence[Mapping[str, Any]],
    profiles: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
    path: str | Path,
    *,
    trained_to: int,
) -> None:
    """Accuracy and gradients against distance: six panels, with the spread over seeds.

    Args:
        rows: one a cell and gap, with ``accuracy``, ``wilson``, ``seeds_from_to``, and ``reach``
            and ``share`` as mean, lowest and highest.
        profiles: by cell, ``before``, ``reach`` and ``change`` of each seed over the distance.
        path: where the PNG goes.
        trained_to: the longest gap of training, up to which panels are shaded.
    """
    figure, axes = new_figure(2, 3, (13.0, 7.0))
    by_gap, by_word = (axes[0], axes[3], axes[4]), (axes[1], axes[2], axes[5])
    right, reach, share = by_gap
    for cell in profiles:
        mine = sorted((row for row in rows if row["cell"] == cell), key=lambda row: row["gap"])
        gaps = [row["gap"] for row in mine]
        style = STYLES[cell]
        for ax, means, spans in (
            (right, [r["accuracy"] for r in mine], [r["seeds_from_to"] for r in mine]),
            (reach, [r["reach"][0] for r in mine], [r["reach"][1:] for r in mine]),
            (share, [r["share"][0] for r in mine], [r["share"][1:] for r in mine]),
        ):
            ax.fill_between(gaps, *zip(*spans, strict=True), color=style["color"], alpha=0.15, lw=0)
            ax.plot(gaps, means, label=cell.upper(), markersize=4, **style)
        low, high = zip(*(row["wilson"] for row in mine), strict=True)
        right.vlines(gaps, low, high, color=style["color"], lw=1.5)
        for ax, name in zip(by_word, ("before", "reach", "change"), strict=True):
            seeds = np.array(profiles[cell][name])
            back = np.arange(1, seeds.shape[1] + 1)
            ax.fill_between(
                back, seeds.min(0), seeds.max(0), color=style["color"], alpha=0.15, lw=0
            )
            ax.plot(back, seeds.mean(0), markersize=3, lw=1.2, **style)
    for ax, title in zip(
        by_gap,
        (
            "a. last word right, all kinds of stories",
            "d. gradient at the deciding word, logits",
            "e. its share of the gradient at all words",
        ),
        strict=True,
    ):
        ax.set_title(title, loc="left")
        ax.axvspan(-1, trained_to, color="#EEEEEE", zorder=0)
        ax.set_xlim(-1, max(row["gap"] for row in rows) + 1)
        ax.set_xticks(sorted({row["gap"] for row in rows}))
        ax.set_xlabel("words of filler in between (shaded: as in training)")
        ax.set_ylim(bottom=0)
    right.set_ylim(-0.03, 1.05)
    right.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    share.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for ax, title in zip(
        by_word,
        (
            "b. gradient before training, last word = 1",
            "c. gradient after training, logits",
            "f. change when the word is replaced, nats",
        ),
        strict=True,
    ):
        ax.set_title(title, loc="left")
        ax.set_yscale("log")
        ax.set_xlabel("words back from the answer (switch stories)")
    by_word[1].set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    by_word[1].minorticks_off()
    by_word[2].set_ylim(bottom=1e-2)
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
    save_figure(figure, path)


GATE_STYLES: dict[str, dict[str, Any]] = {
    "f": {"color": "#0072B2", "marker": "o", "label": "forget"},
    "i": {"color": "#E69F00", "marker": "^", "label": "input"},
    "o": {"color": "#CC79A7", "marker": "s", "label": "output"},
}
INSIDE = "#F0E442"


def characters_figure(
    result: Mapping[str, Any], stretch: Mapping[str, Any], path: str | Path
) -> None:
    """Saturated gates, half-lives, what is left of luggage, and two units along a text.

    Args:
        result: ``layers`` with ``gates`` and ``half_life``, and ``retention``, a layer each.
        stretch: ``inside`` (a flag a character) and ``column``; ``quotation`` and ``line`` with
            ``layer``, ``unit`` and ``values``.
        path: where the PNG goes.
    """
    figure, axes = new_figure(3, 3, (12.0, 8.6))
    grid = axes[0].get_gridspec()
    for ax in axes[3:]:
        ax.remove()
    saturated, lives, kept = axes[:3]
    markers = "o^sDv"
    for layer, found in enumerate(result["layers"]):
        for gate, style in GATE_STYLES.items():
            table = found["gates"][gate]
            saturated.scatter(
                table["left_saturated"], table["right_saturated"], s=9, alpha=0.5, lw=0,
                **style | ({"label": None} if layer else {}),
            )  # fmt: skip
        half = np.array(found["half_life"])
        edges = np.geomspace(max(0.1, half.min()), half.max() * 1.01, 40)
        lives.hist(half, edges, histtype="step" if layer else "stepfilled", alpha=0.8,
                   label=f"layer {layer}")  # fmt: skip
        table = result["retention"][layer]
        kept.plot(table["distance"], table["left"], marker=markers[layer % 5], markersize=4,
                  label=f"layer {layer}")  # fmt: skip
    saturated.set_title("share of characters at which gates are saturated", loc="left", size=10)
    saturated.set_xlabel("below 0.1")
    saturated.set_ylabel("above 0.9")
    saturated.plot([0, 1], [1, 0], color="#999999", lw=0.8)
    saturated.legend(frameon=False, markerscale=2)
    lives.set_title("half-life of units, characters", loc="left", size=10)
    lives.set_xscale("log")
    lives.set_ylabel("units")
    kept.set_title("luggage left", loc="left", size=10)
    kept.set_xscale("log")
    kept.set_xlabel("characters later")
    kept.set_ylim(0, 1.02)
    kept.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    if len(result["layers"]) > 1:
        lives.legend(frameon=False)
        kept.legend(frameon=False)
    inside = np.array(stretch["inside"], dtype=bool)
    at = np.arange(len(inside))
    for row, (name, title) in enumerate(
        (
            ("quotation", "shaded: inside quotation marks"),
            ("line", "lines: ends of lines"),
        ),
        1,
    ):
        ax = figure.add_subplot(grid[row, :])
        ax.spines[["top", "right"]].set_visible(False)
        unit = stretch[name]
        ax.plot(at, unit["values"], color="#0072B2", lw=1.2)
        low, high = min(unit["values"]) - 0.1, max(unit["values"]) + 0.1
        ax.set_ylim(low, high)
        ax.set_xlim(0, len(at))
        ax.set_ylabel("cell state")
        ax.set_title(f"unit {unit['unit']} of layer {unit['layer']}; {title}", loc="left", size=10)
        if name == "quotation":
            ax.fill_between(at, low, high, where=inside, color=INSIDE, alpha=0.4, lw=0,
                            step="mid")  # fmt: skip
        else:
            ends = at[np.array(stretch["column"]) == 0]
            ax.vlines(ends, low, high, color="#555555", lw=0.8)
            ax.set_xlabel("characters")
    save_figure(figure, path)
