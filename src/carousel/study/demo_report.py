"""What the demo draws and prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from carousel.draw.plots.figure import CELL_STYLES, new_figure, save_figure
from carousel.study.last_word import Accuracy
from carousel.study.stories import MEANINGS, TESTED_GAPS, TRAINED_GAPS
from carousel.study.tables import accuracy_table, side_by_side


def draw_accuracy(rows: Sequence[Accuracy], path: str | Path) -> None:
    """Draw the accuracy of the last word against the words of filler, a subplot a kind of story.

    The shaded part is what training had.

    Args:
        rows: what ``last_word.measure_accuracy`` gave, of one model or several.
        path: where the PNG goes.
    """
    trained_to = max(TRAINED_GAPS)
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, axes = new_figure(1, len(kinds), (2.5 * len(kinds) + 0.6, 3.4))
    for ax, kind in zip(axes, kinds, strict=True):
        ax.axvspan(-1, trained_to, color="#EEEEEE", zorder=0)
        for model in models:
            points = sorted(
                (row["gap"], row["accuracy"])
                for row in rows
                if row["kind"] == kind and row["model"] == model
            )
            ax.plot(
                *zip(*points, strict=True), label=model.upper(), markersize=4, **CELL_STYLES[model]
            )
        ax.set_title(kind, loc="left")
        ax.set_ylim(-0.03, 1.05)
        ax.set_xlim(-1, max(row["gap"] for row in rows) + 1)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        ax.set_xticks(sorted({row["gap"] for row in rows})[::2])
        ax.set_xlabel("words in between")
        if ax is not axes[0]:
            ax.tick_params(labelleft=False)
    axes[0].set_ylabel("last word right")
    axes[0].text(trained_to / 2, 0.0, "trained", ha="center", va="bottom", color="#555555", size=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(models), frameon=False)
    save_figure(figure, path)


def report_demo(console: Console, result: dict[str, Any], program: str = "carousel") -> None:
    """Print what came out: tables, predictions, paths, and what to try next."""
    cells = list(result["models"])
    sizes = ", ".join(f"{cell.upper()} {result['parameters'][cell]:,}" for cell in cells)
    seconds = result["training_seconds"]
    console.print(f"\nTrained in {seconds:.0f} s; parameters: {sizes}.", highlight=False)
    console.print("Accuracy of a story's last word, on stories whose facts training never told.")
    kinds = list(dict.fromkeys(row["kind"] for row in result["accuracy"]))
    for kind in kinds:
        console.print(f"  [bold]{kind:<7}[/bold]{MEANINGS[kind]}", highlight=False)
    console.print()
    for title, columns, table in _accuracy_tables(cells, kinds, result["accuracy"]):
        console.print(f"[bold]{title[0]}[/bold]{title[1]}", highlight=False)
        console.print(accuracy_table(columns, table))
    for sentence, guesses in result["predictions"].items():
        console.print(f"[bold]{sentence}[/bold] ...", highlight=False)
        columns_of = {
            cell.upper(): [(g["word"], g["probability"]) for g in guesses[cell]] for cell in cells
        }
        console.print(side_by_side(columns_of))
        console.print()
    for cell, path in result["models"].items():
        console.print(f"{cell.upper():<5} {path}", highlight=False, soft_wrap=True)
    console.print(f"Plot  {result['picture']}", highlight=False, soft_wrap=True)
    folder, asked = result["models"]["lstm"], list(result["predictions"])[min(1, len(kinds) - 1)]
    console.print(
        "\nNext, ask the LSTM yourself, see its memory, and tell stories of your own:\n"
        f'  {program} predict {folder} \\\n    "{asked}"\n'
        f'  {program} explain {folder} \\\n    "{asked}"\n'
        f"  {program} demo --names amir:he,bea:she --foods tea,milk,juice,cocoa \\\n"
        f"    --kinds same,switch --out my-demo",
        highlight=False,
        soft_wrap=True,
    )


def _accuracy_tables(
    cells: Sequence[str], kinds: Sequence[str], rows: Sequence[Accuracy]
) -> Iterator[tuple[tuple[str, str], Sequence[str], dict[str, list[float]]]]:
    """Title and its note, columns, and the accuracy of each cell in each column."""
    longest = max(TRAINED_GAPS)

    def share(cell: str, kinds: Sequence[str], gaps: Sequence[int]) -> float:
        fitting = [
            row["accuracy"]
            for row in rows
            if row["model"] == cell and row["kind"] in kinds and row["gap"] in gaps
        ]
        return sum(fitting) / len(fitting)

    trained = [gap for gap in TESTED_GAPS if gap <= longest]
    beyond = [gap for gap in TESTED_GAPS if gap > longest]
    for title, gaps in (
        (f"By kind of story, at trained distances (up to {longest} words of filler)", trained),
        (f"By kind of story, beyond them (up to {max(beyond)} words)", beyond),
    ):
        by_kind = {cell.upper(): [share(cell, [kind], gaps) for kind in kinds] for cell in cells}
        yield (title, ""), kinds, by_kind
    columns = [f"{gap}" if gap <= longest else f"{gap}*" for gap in TESTED_GAPS]
    by_gap = {cell.upper(): [share(cell, kinds, [gap]) for gap in TESTED_GAPS] for cell in cells}
    yield ("By words of filler", " (* beyond training)"), columns, by_gap
