"""``carousel explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from carousel.explain.html_report import Report


def explain(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] TEXT [TEXT]",
            help="A model folder (the shipped story model if none) and a text, or two to compare.",
        ),
    ] = None,
    clamp: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GATE=VALUE@WORD", help="Hold a gate and see what changes: forget=1@friend."
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(metavar="WORD,WORD", help="Weigh two next words against each other."),
    ] = None,
    units: Annotated[
        int, typer.Option(help="How many of the units that move most the terminal shows.", min=0)
    ] = 3,
    html: Annotated[
        Path | None, typer.Option(help="Write everything as one HTML page that works offline.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the belt as SVG.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the belt as PNG.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Watch a model read: its gates, its belt and its guesses at every word.

    With two texts also where their gates part ways; with --clamp the reading before and after;
    with --compare each word's share of the decision between two next words.
    """
    import warnings

    from carousel.cli.arguments import open_texts
    from carousel.errors import LensError, UntouchedWarning
    from carousel.explain.explanation import Explanation

    model, texts = open_texts(arguments or [])
    pair = None if compare is None else parse_pair(compare)
    with warnings.catch_warnings():
        # Who asks for a clamp that changes nothing has asked for something else.
        warnings.simplefilter("error", UntouchedWarning)
        try:
            explanation = Explanation.of(model, texts, clamps=clamp or (), compare=pair)
        except UntouchedWarning as warning:
            raise LensError(str(warning)) from None
    show_report(explanation, html, svg, png, json_=json_, units=units)


def parse_pair(words: str) -> tuple[str, str]:
    """The two words of ``burger,pizza``.

    Raises:
        SettingsError: not two.
    """
    from carousel.errors import SettingsError

    first, _, second = (part.strip() for part in words.partition(","))
    if not first or not second or "," in second:
        raise SettingsError(f"--compare wants two words with a comma between, not {words!r}")
    return first, second


def show_report(
    report: Report,
    html: Path | None,
    svg: Path | None,
    png: Path | None,
    *,
    json_: bool,
    units: int,
) -> None:
    """Write the files that were asked for, and print the report or its numbers."""
    for path, write in (
        (html, report.write_html),
        (svg, report.write_svg),
        (png, report.write_png),
    ):
        if path is not None:
            write(path)
    if json_:
        import json

        print(json.dumps(report.table(), ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for line in report.lines(console.width, units):
        console.print(line, soft_wrap=True, highlight=False)
    for path in (html, svg, png):
        if path is not None:
            console.print(f"Written: {path}", highlight=False, soft_wrap=True, markup=False)
