"""What the study of the context switch draws and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from carousel.draw.palette import BLUE, GREEN, GREY, VERMILION
from carousel.draw.plots.subplots import Line, Subplot, draw_subplots
from carousel.study.pairs import places
from carousel.study.tables import number_table, per_seed, with_interval

# Where each place stands on the axis that both kinds of story share.
AXIS = (
    "krish", "likes", "pizza", "but", "he\nhis", "does\nfriend", "not\n", "like\nlikes", "burger",
    "filler", "so", "he\nhis", "\nfriend", "orders",
)  # fmt: skip
POSITIONS = {
    "same": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13),
    "switch": (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13),
}
STYLES = {"same": (BLUE, "o"), "switch": (VERMILION, "s")}
DASHED = (0, (2, 1.5))
NAMES = {"lstm": ("LSTM", "forget gate f"), "gru": ("GRU", "update gate z (keeps)")}


def draw(result: dict[str, Any], folder: Path) -> None:
    """Draw the four figures: gates, belt, decision, and gates held open."""
    gates, belts, decisions, held = [], [], [], []
    for cell, measured in result["cells"].items():
        name, gate = NAMES[cell]
        gate_lines = [
            *_lines(measured["gate"], "mean of all units: "),
            *_lines(measured["best"], "the 10 units found: ", DASHED),
        ]
        belt_lines = [
            *_lines(measured["left"], "its luggage left: ", first=2),
            *_lines(measured["read"], "can be read: ", DASHED, first=2),
        ]
        decision_lines = _lines(measured["decision"], "through each word's luggage: ")
        gates.append(Subplot(name, gate, gate_lines, words=AXIS, y_range=(0, 1.02)))
        belts.append(
            Subplot(name, "the first food", belt_lines, words=AXIS, y_range=(0, 1.04), percent=True)
        )
        decisions.append(
            Subplot(name, "for the right food (logits)", decision_lines, words=AXIS, zero_line=True)
        )
        held.append(_held_subplot(name, measured["held"]))
    size = (8.2, 6.2)
    draw_subplots(gates, folder / "gates.png", size=size)
    draw_subplots(belts, folder / "belt.png", size=size)
    draw_subplots(decisions, folder / "decision.png", size=size)
    draw_subplots(held, folder / "held.png", columns=2, size=(8.2, 4.0))


def report(result: dict[str, Any], console: Console) -> None:
    """Print the tables, three a cell."""
    for cell, measured in result["cells"].items():
        name, gate = NAMES[cell]
        for about, table in (
            (
                f"{gate}, mean of all units (95% interval over stories) and of the 10 best found; "
                "the first food: luggage left, share of it kept by this word, can be read; logits "
                "for the right food through this word's luggage",
                _word_table(measured),
            ),
            (
                "gate in switch less gate in same; AUC of the 10 units that close most, on the "
                "other half, a seed each; the highest 97.5% of random units and of shuffled labels",
                _contrast_table(measured),
            ),
            (
                "gates held in switch stories: how often the answer falls back to the first food "
                "(the 10 found, 10 at random, all units), and with all held is still right",
                _held_table(measured["held"]),
            ),
        ):
            console.print(f"\n[bold]{name}[/bold]: {about}", highlight=False)
            console.print(table)


def _word_table(measured: dict[str, Any]) -> Table:
    """Gate, belt, readout and decision at each word."""
    rows = []
    for kind in ("same", "switch"):
        left = measured["left"][kind]["mean"]
        for number, place in enumerate(places(kind)):
            if number < 2:
                continue
            rows.append(
                (
                    f"{kind}: {place}",
                    _interval(measured["gate"][kind], number, ".3f"),
                    f"{measured['best'][kind]['mean'][number]:.2f}",
                    f"{left[number]:.0%}",
                    "" if number == 2 else f"{left[number] / left[number - 1]:.0%}",
                    f"{measured['read'][kind]['mean'][number]:.0%}",
                    f"{measured['decision'][kind]['mean'][number]:+.1f}",
                )
            )
    return number_table(("place", "gate", "best", "left", "kept", "read", "logits"), rows)


def _contrast_table(measured: dict[str, Any]) -> Table:
    """How far apart the two stories' gates are, and how well ten units tell them apart."""
    rows = []
    for contrast, difference in measured["difference"].items():
        selected = measured["units"][contrast]
        mean, low, high = (difference[end] for end in ("mean", "low", "high"))
        rows.append(
            (
                contrast.replace(" / ", "/"),
                with_interval(mean, low, high, "+.2f"),
                per_seed([one["separation"] for one in selected], ".2f"),
                f"{max(one['random_95'][2] for one in selected):.2f}",
                f"{max(one['shuffled_95'][2] for one in selected):.2f}",
                f"{max(max(one['p_shuffled'], one['p_random']) for one in selected):.3f}",
            )
        )
    return number_table(("at", "mean of all", "AUC", "random", "shuffled", "p"), rows)


def _held_table(held: dict[str, Any]) -> Table:
    """How often the answer falls back while gates are held."""
    rows = []
    for hold, rates in held.items():
        found = rates.get("found")
        rows.append(
            (
                hold,
                _interval(found, 0, ".0%") if found else "",
                per_seed([seed[0] for seed in found["seeds"]]) if found else "",
                f"{rates['random'][0]:.0%}" if found else "",
                per_seed([seed[0] for seed in rates["all"]["seeds"]]),
                f"{rates['all']['mean'][1]:.0%}",
            )
        )
    return number_table(("held", "10 found", "seeds", "random", "all, seeds", "right"), rows)


def _interval(summary: dict[str, Any], number: int, form: str) -> str:
    mean, low, high = (summary[end][number] for end in ("mean", "low", "high"))
    return with_interval(mean, low, high, form)


def _lines(
    summaries: dict[str, Any], label: str, dash: Any = "solid", first: int = 0
) -> list[Line]:
    return [
        Line(
            label + kind,
            POSITIONS[kind][first:],
            summaries[kind]["mean"][first:],
            *STYLES[kind],
            dash,
            summaries[kind]["low"][first:],
            summaries[kind]["high"][first:],
            [seed[first:] for seed in summaries[kind]["seeds"]],
        )
        for kind in ("same", "switch")
    ]


def _held_subplot(name: str, held: dict[str, Any]) -> Subplot:
    styles = iter([(BLUE, "o"), (GREEN, "^"), (GREY, "D"), (VERMILION, "s")])
    lines = []
    for hold, rates in held.items():
        if "curve" not in rates or "=1" not in hold:
            continue
        colour, marker = next(styles)
        place = hold.partition("=1 ")[2]
        curve = rates["curve"]
        x = [*curve["counts"], "all"]
        steps = list(range(len(x)))
        whole = rates["all"]["mean"][0]
        lines.append(Line(place, steps, [*curve["found"], whole], colour, marker))
        lines.append(
            Line("as many at random", steps[:-1], curve["random"], colour, "", (0, (1, 1.5)))
        )
    return Subplot(
        name,
        "falls back to the first food",
        lines,
        x_label="units held open",
        words=[str(number) for number in x],
        y_range=(-0.02, 1.04),
        percent=True,
    )
