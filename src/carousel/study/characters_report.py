"""What the study of characters prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from carousel.draw.terminal.tables import facts

OPEN, SHUT = 0.9, 0.1
"""Karpathy et al.'s right- and left-saturated: a gate above, a gate below."""
NAMES = {"f": "forget", "i": "input", "o": "output"}
SHOWN_DISTANCES = (1, 5, 10, 50, 100, 500)
"""Of the distances over which luggage is followed, those that are printed."""


def report(result: Mapping[str, Any], console: Console) -> None:
    """Print a table for each layer."""
    console.print(
        f"\n{result['characters']:,} characters held out, {result['inside_quotation']:.0%} of them "
        f"inside quotation marks",
        highlight=False,
    )
    for layer, measured in enumerate(result["layers"]):
        rows = [
            *_gate_rows(measured["gates"]),
            _half_life_row(np.array(measured["half_life"])),
            _luggage_row(result["retention"][layer]),
            _quotation_row(result["tracked"][layer]["quotation"]),
            _line_row(result["tracked"][layer]["line"]),
        ]
        units = len(measured["half_life"])
        console.print(f"\n[bold]Layer {layer}[/bold], {units} units", highlight=False)
        console.print(facts(rows))


def _gate_rows(gates: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    rows = []
    for gate, table in gates.items():
        right, left = (np.mean(table[f"{side}_saturated"]) for side in ("right", "left"))
        rows.append(
            (
                f"{NAMES[gate]} gates",
                f"above {OPEN} {right:.1%} of the time, below {SHUT} {left:.1%}; "
                f"always open {table['always_open']:.1%} of units, "
                f"always closed {table['always_closed']:.1%}",
            )
        )
    return rows


def _half_life_row(half_lives: np.ndarray) -> tuple[str, str]:
    low, middle, high = np.quantile(half_lives, [0.1, 0.5, 0.9])
    return (
        "half-life",
        f"10%, 50%, 90% of units: {low:.1f}, {middle:.1f}, {high:.1f} characters; "
        f"the longest {half_lives.max():.0f}; {int((half_lives > 100).sum())} units above 100",
    )


def _luggage_row(retention: Mapping[str, list[float]]) -> tuple[str, str]:
    shares = [
        f"{left:.1%} after {distance:.0f}"
        for distance, left in zip(retention["distance"], retention["left"], strict=True)
        if distance in SHOWN_DISTANCES
    ]
    return "luggage left", ", ".join(shares)


def _quotation_row(quotation: Mapping[str, Any]) -> tuple[str, str]:
    return (
        "inside quotation",
        f"unit {quotation['units'][0]}: AUC {quotation['auc'][0]:.3f}, "
        f"p {quotation['p_units'][0]:.3f}; mean of {len(quotation['units'])} units "
        f"{quotation['separation']:.3f}, with shuffled labels "
        f"{quotation['shuffled_95'][0]:.3f} to {quotation['shuffled_95'][2]:.3f}, "
        f"random units {quotation['random_95'][0]:.3f} to {quotation['random_95'][2]:.3f}",
    )


def _line_row(line: Mapping[str, Any]) -> tuple[str, str]:
    return (
        "position in line",
        f"unit {line['units'][0]}: rank correlation {line['correlation'][0]:+.3f}; "
        f"next {', '.join(f'{r:+.3f}' for r in line['correlation'][1:])}; "
        f"shuffled, largest of all units {line['shuffled_95']:.3f}",
    )
