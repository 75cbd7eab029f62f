"""``carousel generate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from carousel.cli.parameters import MODEL, NUMBER, TEXT, WHOLE, adapt_option, as_json, model_option

if TYPE_CHECKING:
    from carousel.adaptation.adapted import AdaptName


@click.command()
@click.argument(
    "arguments",
    metavar="[MODEL] [TEXT]",
    type=MODEL,
    nargs=-1,
    help="A model folder (without one: the story model that comes with Carousel) and how the text "
    "begins. The text - is read from standard input.",
)
@model_option
@click.option(
    "--max-tokens", type=WHOLE, default=50, show_default=True, help="The most tokens to add."
)
@click.option(
    "--temperature",
    type=NUMBER,
    default=1.0,
    show_default=True,
    help="Below 1 likely words become likelier, above 1 less so. 0 always takes the likeliest.",
)
@click.option(
    "--top-k",
    type=WHOLE,
    default=0,
    show_default=True,
    help="Sample among the k likeliest tokens only. 0 means all.",
)
@click.option(
    "--top-p",
    type=NUMBER,
    default=1.0,
    show_default=True,
    help="Sample among the likeliest tokens that together have this probability.",
)
@click.option("--seed", type=WHOLE, help="Random seed. The same seed gives the same text.")
@click.option(
    "--stop", type=TEXT, metavar="TEXT", multiple=True, help="End before this text comes up."
)
@adapt_option
@as_json
def generate(
    arguments: Sequence[str],
    model: str | None,
    max_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    stop: Sequence[str],
    adapt: AdaptName | None,
    as_json: bool,
) -> None:
    """Continue a text, word by word."""
    from dataclasses import asdict

    from carousel.cli.arguments import open_model
    from carousel.cli.output import note_unknown_words, print_json
    from carousel.text.printable import printable_text

    opened, given = open_model(arguments, model)
    opened = opened.adapt(adapt)
    text = given or ""
    pieces = opened.stream(
        text,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=stop,
    )
    unknown = note_unknown_words(opened.tokenizer, text)
    if as_json:
        words = [asdict(word) for word in unknown]
        print_json({"text": text, "generated": "".join(pieces), "unknown": words})
        return
    print(printable_text(text), end="", flush=True)
    for piece in pieces:
        print(printable_text(piece), end="", flush=True)
    print()
