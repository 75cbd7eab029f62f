"""What the study of the context switch draws and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from carousel.draw.plots.panels import BLUE, GREEN, GREY, RED, Line, Panel, panels
from carousel.study.pairs import places
from carousel.study.tables import each, numbers, with_interval

# Where each place stands on the axis that both kinds of story share.
AXIS = (
    "krish", "likes", "pizza", "but", "he\nhis", "does\nfriend", "not\n", "like\nlikes", "burger",
    "filler", "so", "he\nhis", "\nfriend", "orders",
)  # fmt: skip
AXIS_POSITIONS = {
    "same": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13),
    "switch": (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13),
}
LOOK = {"same": (BLUE, "o"), "switch": (RED, "s")}
NAMES = {"lstm": ("LSTM", "forget gate f"), "gru": ("GRU", "update gate z (keeps)")}


def draw(result: dict[str, Any], folder: Path) -> None:
    """The four figures of the study."""
    cells = result["cells"]
    gates, belts, decisions, held = [], [], [], []
    for cell, summary in cells.items():
        name, gate = NAMES[cell]
        gates.append(
            Panel(
                name,
                gate,
                [
                    *_lines(summary["gate"], "mean of all units: "),
                    *_lines(summary["best"], "the 10 units found: ", (0, (2, 1.5))),
                ],
                words=AXIS,
                y_range=(0, 1.02),
            )
        )
        belts.append(
            Panel(
                name,
                "the first food",
                [
                    *_lines(summary["left"], "its luggage left: ", first=2),
                    *_lines(summary["read"], "can be read: ", (0, (2, 1.5)), first=2),
                ],
                words=AXIS,
                y_range=(0, 1.04),
                percent=True,
            )
        )
        decisions.append(
            Panel(
                name,
                "for the right food (logits)",
                _lines(summary["decision"], "through each word's luggage: "),
                words=AXIS,
                zero=True,
            )
        )
        held.append(_held_panel(name, summary["held"]))
    size = (8.2, 6.2)
    panels(gates, folder / "gates.png", size=size)
    panels(belts, folder / "belt.png", size=size)
    panels(decisions, folder / "decision.png", size=size)
    panels(held, folder / "held.png", columns=2, size=(8.2, 4.0))


def report(result: dict[str, Any], console: Console) -> None:
    """Print the tables of each cell."""
    for cell, summary in result["cells"].items():
        name, gate = NAMES[cell]

        def say(text: str, name: str = name) -> None:
            console.print(f"\n[bold]{name}[/bold]: {text}", highlight=False)

        say(
            f"{gate}, mean of all units (95% interval over stories) and of the 10 best found; "
            "the first food: luggage left, share of it kept by this word, can be read; logits for "
            "the right food through this word's luggage"
        )
        rows = []
        for kind in ("same", "switch"):
            for number, place in enumerate(places(kind)):
                if number < 2:
                    continue
                stays = summary["left"][kind]["mean"]
                rows.append(
                    (
                        f"{kind}: {place}",
                        _interval(summary["gate"][kind], number, ".3f"),
                        f"{summary['best'][kind]['mean'][number]:.2f}",
                        f"{stays[number]:.0%}",
                        "" if number == 2 else f"{stays[number] / stays[number - 1]:.0%}",
                        f"{summary['read'][kind]['mean'][number]:.0%}",
                        f"{summary['decision'][kind]['mean'][number]:+.1f}",
                    )
                )
        console.print(
            numbers(
                ("place", "gate", "best", "left", "kept", "read", "logits"),
                rows,
            )
        )
        say(
            "gate in switch less gate in same; AUC of the 10 units that close most, on the other "
            "half, a seed each; the highest 97.5% of random units and of shuffled labels"
        )
        apart = []
        for contrast, difference in summary["difference"].items():
            by_seed = summary["units"][contrast]
            mean, low, high = (difference[end] for end in ("mean", "low", "high"))
            apart.append(
                (
                    contrast.replace(" / ", "/"),
                    with_interval(mean, low, high, "+.2f"),
                    each([units["separation"] for units in by_seed], ".2f"),
                    f"{max(units['random_95'][2] for units in by_seed):.2f}",
                    f"{max(units['shuffled_95'][2] for units in by_seed):.2f}",
                    f"{max(max(units['p_shuffled'], units['p_random']) for units in by_seed):.3f}",
                )
            )
        console.print(numbers(("at", "mean of all", "AUC", "random", "shuffled", "p"), apart))
        say(
            "gates held in switch stories: how often the answer falls back to the first food "
            "(the 10 found, 10 at random, all units), and with all held is still right"
        )
        fell = []
        for hold, rates in summary["held"].items():
            selected = rates.get("found")
            fell.append(
                (
                    hold,
                    _interval(selected, 0, ".0%") if selected else "",
                    each([seed[0] for seed in selected["seeds"]]) if selected else "",
                    f"{rates['random'][0]:.0%}" if selected else "",
                    each([seed[0] for seed in rates["all"]["seeds"]]),
                    f"{rates['all']['mean'][1]:.0%}",
                )
            )
        console.print(
            numbers(
                ("held", "10 found", "seeds", "random", "all, seeds", "right"),
                fell,
            )
        )


def _interval(summary: dict[str, Any], number: int, form: str) -> str:
    mean, low, high = (summary[end][number] for end in ("mean", "low", "high"))
    return with_interval(mean, low, high, form)


def _lines(
    summaries: dict[str, Any], label: str, dash: Any = "solid", first: int = 0
) -> list[Line]:
    return [
        Line(
            label + kind,
            AXIS_POSITIONS[kind][first:],
            summaries[kind]["mean"][first:],
            *LOOK[kind],
            dash,
            summaries[kind]["low"][first:],
            summaries[kind]["high"][first:],
            [seed[first:] for seed in summaries[kind]["seeds"]],
        )
        for kind in ("same", "switch")
    ]


def _held_panel(name: str, held: dict[str, Any]) -> Panel:
    looks = iter([(BLUE, "o"), (GREEN, "^"), (GREY, "D"), (RED, "s")])
    lines = []
    for hold, rates in held.items():
        if "curve" not in rates or "=1" not in hold:
            continue
        colour, marker = next(looks)
        place = hold.partition("=1 ")[2]
        curve = rates["curve"]
        x = [*curve["counts"], "all"]
        steps = list(range(len(x)))
        whole = rates["all"]["mean"][0]
        lines.append(Line(place, steps, [*curve["found"], whole], colour, marker))
        lines.append(
            Line("as many at random", steps[:-1], curve["random"], colour, "", (0, (1, 1.5)))
        )
    return Panel(
        name,
        "falls back to the first food",
        lines,
        x_label="units held open",
        words=[str(number) for number in x],
        y_range=(-0.02, 1.04),
        percent=True,
    )
