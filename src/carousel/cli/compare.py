"""``carousel compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from carousel.cli.parameters import MODEL, PATH, TEXT, as_json


@click.command()
@click.argument(
    "arguments",
    metavar="MODEL MODEL... [TEXT]",
    type=MODEL,
    nargs=-1,
    help="Two model folders or more, and a text. Without a text it is read from standard input.",
)
@click.option(
    "--model",
    "model_names",
    type=MODEL,
    metavar="DIR",
    multiple=True,
    help="A model; give it twice or more. The argument is the text then.",
)
@click.option(
    "--compare",
    "compare_words",
    type=TEXT,
    metavar="WORD,WORD",
    help="The two next words to compare.",
)
@click.option("--html", type=PATH, metavar="FILE", help="Write one HTML page that works offline.")
@click.option("--svg", type=PATH, metavar="FILE", help="Write the curves as SVG.")
@click.option("--png", type=PATH, metavar="FILE", help="Write the curves as PNG.")
@as_json
def compare(
    arguments: Sequence[str],
    model_names: Sequence[str],
    compare_words: str | None,
    html: Path | None,
    svg: Path | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Show several models reading the same text, side by side on the same axis.

    Under each word: the probability that each model gives to the two next words, what it still
    holds of them, and how much of its state the word replaced.
    """
    from carousel.cli.arguments import open_models
    from carousel.cli.explain import parse_pair, show_report
    from carousel.cli.output import note_unknown_words
    from carousel.explain.model_comparison import ModelComparison

    models, text = open_models(arguments, model_names)
    pair = None if compare_words is None else parse_pair(compare_words)
    parts = {name: (model.model, model.tokenizer) for name, model in models.items()}
    comparison = ModelComparison.of(parts, text, compare=pair)
    unknown = {
        name: note_unknown_words(model.tokenizer, text, name=name) for name, model in models.items()
    }
    show_report(comparison, html, svg, png, as_json=as_json, units=0, unknown=unknown)
