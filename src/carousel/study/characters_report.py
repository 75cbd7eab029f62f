"""What the study of characters draws and prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from carousel.draw.palette import BLUE, ORANGE, PINK, YELLOW
from carousel.draw.plots.figure import new_figure, save_figure
from carousel.draw.terminal.tables import facts

OPEN, SHUT = 0.9, 0.1
"""Karpathy et al.'s right- and left-saturated: a gate above, a gate below."""
GATE_NAMES = {"f": "forget", "i": "input", "o": "output"}
GATE_STYLES: dict[str, dict[str, Any]] = {
    "f": {"color": BLUE, "marker": "o"},
    "i": {"color": ORANGE, "marker": "^"},
    "o": {"color": PINK, "marker": "s"},
}
LAYER_MARKERS = "o^sDv"
LISTED = (1, 5, 10, 50, 100, 500)
"""The distances in characters at which the table says how much luggage is left."""


def draw(result: Mapping[str, Any], folder: Path) -> None:
    """Draw saturated gates, half-lives, what is left of luggage, and two units along a text."""
    figure, axes = new_figure(3, 3, (12.0, 8.6))
    grid = axes[0].get_gridspec()
    for ax in axes[3:]:
        ax.remove()
    saturated, lives, kept = axes[:3]
    for layer, measured in enumerate(result["layers"]):
        _draw_layer(saturated, lives, kept, layer, measured, result["retention"][layer])
    _label(saturated, lives, kept, several=len(result["layers"]) > 1)
    excerpt = result["excerpt"]
    for row, name in enumerate(("quotation", "line"), 1):
        ax = figure.add_subplot(grid[row, :])
        ax.spines[["top", "right"]].set_visible(False)
        _draw_unit(ax, excerpt, name)
    save_figure(figure, folder / "characters.png")


def _draw_layer(
    saturated: Any, lives: Any, kept: Any, layer: int, measured: Mapping[str, Any],
    retention: Mapping[str, Any],
) -> None:  # fmt: skip
    for gate, style in GATE_STYLES.items():
        shares = measured["gates"][gate]
        saturated.scatter(
            shares["left_saturated"], shares["right_saturated"], s=9, alpha=0.5, lw=0,
            label=None if layer else GATE_NAMES[gate], **style,
        )  # fmt: skip
    half = np.array(measured["half_life"])
    edges = np.geomspace(max(0.1, half.min()), half.max() * 1.01, 40)
    lives.hist(half, edges, histtype="step" if layer else "stepfilled", alpha=0.8,
               label=f"layer {layer}")  # fmt: skip
    kept.plot(retention["distance"], retention["left"], marker=LAYER_MARKERS[layer % 5],
              markersize=4, label=f"layer {layer}")  # fmt: skip


def _label(saturated: Any, lives: Any, kept: Any, *, several: bool) -> None:
    saturated.set_title("share of characters at which gates are saturated", loc="left", size=10)
    saturated.set_xlabel(f"below {SHUT}")
    saturated.set_ylabel(f"above {OPEN}")
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
    if several:
        lives.legend(frameon=False)
        kept.legend(frameon=False)


def _draw_unit(ax: Any, excerpt: Mapping[str, Any], name: str) -> None:
    """The cell state of one unit along the text, with what it is said to track behind it."""
    inside = np.array(excerpt["inside"], dtype=bool)
    places = np.arange(len(inside))
    unit = excerpt[name]
    ax.plot(places, unit["values"], color=BLUE, lw=1.2)
    low, high = min(unit["values"]) - 0.1, max(unit["values"]) + 0.1
    ax.set_ylim(low, high)
    ax.set_xlim(0, len(places))
    ax.set_ylabel("cell state")
    titles = {"quotation": "shaded: inside quotation marks", "line": "lines: ends of lines"}
    heading = f"unit {unit['unit']} of layer {unit['layer']}; {titles[name]}"
    ax.set_title(heading, loc="left", size=10)
    if name == "quotation":
        ax.fill_between(places, low, high, where=inside, color=YELLOW, alpha=0.4, lw=0,
                        step="mid")  # fmt: skip
    else:
        ends = places[np.array(excerpt["column"]) == 0]
        ax.vlines(ends, low, high, color="#555555", lw=0.8)
        ax.set_xlabel("characters")


def report(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables, one a layer."""
    console.print(
        f"\n{result['characters']:,} characters held out, {result['inside_quotation']:.0%} of them "
        f"inside quotation marks",
        highlight=False,
    )
    for layer, measured in enumerate(result["layers"]):
        units = len(measured["half_life"])
        rows = [
            *_gate_rows(measured["gates"]),
            *_memory_rows(measured["half_life"], result["retention"][layer]),
            *_unit_rows(result["tracked"][layer]),
        ]
        console.print(f"\n[bold]Layer {layer}[/bold], {units} units", highlight=False)
        console.print(facts(rows))


def _gate_rows(gates: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for gate, shares in gates.items():
        right, left = (np.mean(shares[f"{side}_saturated"]) for side in ("right", "left"))
        rows.append(
            (
                f"{GATE_NAMES[gate]} gates",
                f"above {OPEN} {right:.1%} of the time, below {SHUT} {left:.1%}; "
                f"always open {shares['always_open']:.1%} of units, "
                f"always closed {shares['always_closed']:.1%}",
            )
        )
    return rows


def _memory_rows(half_life: list[float], retention: Mapping[str, Any]) -> list[tuple[str, str]]:
    half = np.array(half_life)
    quantiles = np.quantile(half, [0.1, 0.5, 0.9])
    left = [
        f"{share:.1%} after {distance:.0f}"
        for distance, share in zip(retention["distance"], retention["left"], strict=True)
        if distance in LISTED
    ]
    return [
        (
            "half-life",
            "10%, 50%, 90% of units: {:.1f}, {:.1f}, {:.1f} characters; the longest {:.0f}; "
            "{:d} units above 100".format(*quantiles, half.max(), int((half > 100).sum())),
        ),
        ("luggage left", ", ".join(left)),
    ]


def _unit_rows(tracked: Mapping[str, Any]) -> list[tuple[str, str]]:
    quotation, line = tracked["quotation"], tracked["line"]
    return [
        (
            "inside quotation",
            f"unit {quotation['units'][0]}: AUC {quotation['auc'][0]:.3f}, "
            f"p {quotation['p_units'][0]:.3f}; mean of {len(quotation['units'])} units "
            f"{quotation['separation']:.3f}, with shuffled labels "
            f"{quotation['shuffled_95'][0]:.3f} to {quotation['shuffled_95'][2]:.3f}, "
            f"random units {quotation['random_95'][0]:.3f} to {quotation['random_95'][2]:.3f}",
        ),
        (
            "position in line",
            f"unit {line['units'][0]}: rank correlation {line['correlation'][0]:+.3f}; "
            f"next {', '.join(f'{r:+.3f}' for r in line['correlation'][1:])}; "
            f"shuffled, largest of all units {line['shuffled_95']:.3f}",
        ),
    ]
