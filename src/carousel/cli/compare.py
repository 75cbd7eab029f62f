"""``carousel compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL MODEL... TEXT",
            help="Two model folders or more, and a text; without one it is read from stdin.",
        ),
    ] = None,
    compare_words: Annotated[
        str | None,
        typer.Option("--compare", metavar="WORD,WORD", help="The two next words to tell apart."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write everything as one HTML page that works offline.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the curves as SVG.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the curves as PNG.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """See several models read the same text, side by side on the same axis.

    Under each word: how likely each model finds the two next words, what it has kept of them, and
    how much of its state the word made anew.
    """
    from carousel.cli.arguments import open_models
    from carousel.cli.explain import parse_pair, show_report
    from carousel.explain.model_comparison import SideBySide

    models, text = open_models(arguments or [])
    pair = None if compare_words is None else parse_pair(compare_words)
    show_report(SideBySide.of(models, text, compare=pair), html, svg, png, json_=json_, units=0)
