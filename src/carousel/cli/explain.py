"""``carousel explain``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carousel.cli.parameters import MODEL, PATH, TEXT, Number, as_json, model_option

if TYPE_CHECKING:
    from carousel.explain.explanation import Explanation
    from carousel.explain.visualization import Visualization
    from carousel.text.unknown_words import UnknownWord

LAST_WORDS = 100
"""So many words are shown of a longer text."""


@click.command()
@click.argument(
    "arguments",
    metavar="[MODEL] TEXT [TEXT]",
    type=MODEL,
    nargs=-1,
    help="A model folder (without one: a model that comes with Carousel) and a text, or "
    "two texts to compare.",
)
@model_option
@click.option(
    "--clamp",
    "clamps",
    type=TEXT,
    metavar="CLAMP",
    multiple=True,
    help="Hold a gate and see what changes. forget=1@friend sets it at a word, forget*0.5@3 scales "
    "it at a position, forget:3,7=1@5-8 sets two units at a range, forget~1:0.5 moves it half the "
    "way to 1 everywhere. May be repeated.",
)
@click.option(
    "--compare", type=TEXT, metavar="WORD,WORD", help="Weigh two next words against each other."
)
@click.option(
    "--units",
    type=Number(whole=True, minimum=0),
    default=3,
    show_default=True,
    help="How many of the units that change most the terminal shows.",
)
@click.option(
    "--all", "show_all", is_flag=True, help="Show all words of a long text, not the last 100 only."
)
@click.option("--html", type=PATH, metavar="FILE", help="Write one HTML page that works offline.")
@click.option(
    "--live",
    type=PATH,
    metavar="FILE",
    help="Write the page with the model inside: one HTML file to type into, which works offline.",
)
@click.option("--svg", type=PATH, metavar="FILE", help="Write the belt as SVG.")
@click.option("--png", type=PATH, metavar="FILE", help="Write the belt as PNG.")
@as_json
def explain(
    arguments: Sequence[str],
    model: str | None,
    clamps: Sequence[str],
    compare: str | None,
    units: int,
    show_all: bool,
    html: Path | None,
    live: Path | None,
    svg: Path | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Watch a model read: its gates, its belt and its predictions at every word.

    With two texts, also where their gates differ. With --clamp, the reading before and after. With
    --compare, each word's share of the decision between two next words.
    """
    import warnings

    from carousel.cli.arguments import open_texts
    from carousel.cli.output import note_unknown_words, print_line
    from carousel.errors import LensError, UntouchedWarning
    from carousel.explain.explanation import Explanation

    opened, texts = open_texts(arguments, model)
    pair = None if compare is None else parse_pair(compare)
    with warnings.catch_warnings():
        # A clamp that was asked for and changes nothing is a mistake in the command.
        warnings.simplefilter("error", UntouchedWarning)
        try:
            explanation = Explanation.of(
                opened.model,
                opened.tokenizer,
                texts,
                clamps=clamps,
                compare=pair,
                name="" if opened.path is None else opened.path.name,
            )
        except UntouchedWarning as warning:
            raise LensError(str(warning)) from None
    if not show_all:
        explanation = show_last_words(explanation)
    unknown = {text: note_unknown_words(opened.tokenizer, text) for text in texts}
    if live is not None:
        text, other = [*texts, ""][:2]
        opened.page(text, other=other, clamps=clamps, compare=pair).save(live)
    show_report(explanation, html, svg, png, as_json=as_json, units=units, unknown=unknown)
    if live is not None and not as_json:
        print_line(f"Written: {live}")


def show_last_words(explanation: Explanation) -> Explanation:
    """Return an explanation that shows the end of a long text, and say so on standard error."""
    import sys
    from dataclasses import replace

    longest = max(map(len, explanation.traces)) - 1  # without the line start
    if longest <= LAST_WORDS:
        return explanation
    print(
        f"carousel: the text has {longest:,} tokens; the last {LAST_WORDS} are shown, "
        "--all shows all of them",
        file=sys.stderr,
    )
    return replace(explanation, last=LAST_WORDS)


def parse_pair(words: str) -> tuple[str, str]:
    """Return the two words of ``burger,pizza``.

    Raises:
        SettingsError: there are not two.
    """
    from carousel.errors import SettingsError

    first, _, second = (part.strip() for part in words.partition(","))
    if not first or not second or "," in second:
        raise SettingsError(f"--compare wants two words with a comma between, not {words!r}")
    return first, second


def show_report(
    report: Visualization,
    html: Path | None,
    svg: Path | None,
    png: Path | None,
    *,
    as_json: bool,
    units: int,
    unknown: Mapping[str, Sequence[UnknownWord]],
) -> None:
    """Write the files that were asked for, and print the report or its numbers.

    Args:
        report: what is shown.
        html: the files to write, or None.
        svg: as ``html``.
        png: as ``html``.
        as_json: print JSON instead of the picture for people.
        units: how many units the picture shows.
        unknown: unknown words by the name of the text or model.
    """
    from dataclasses import asdict

    from carousel.cli.output import print_json, print_line

    for path, write in (
        (html, report.write_html),
        (svg, report.write_svg),
        (png, report.write_png),
    ):
        if path is not None:
            write(path)
    if as_json:
        table = report.table()
        table["unknown"] = {
            name: [asdict(word) for word in words] for name, words in unknown.items()
        }
        print_json(table)
        return
    from carousel.cli.console import Console

    console = Console()
    for line in report.lines(console.width, units):
        console.print(line, soft_wrap=True, highlight=False)
    for path in (html, svg, png):
        if path is not None:
            print_line(f"Written: {path}")
