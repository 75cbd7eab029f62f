"""``carousel generate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from carousel.cli.parameters import (
    COUNT,
    MODEL,
    NUMBER,
    TEXT,
    WHOLE,
    adapt_option,
    as_json,
    block_option,
    model_option,
)

if TYPE_CHECKING:
    from carousel.adaptation.adapted import AdaptName
    from carousel.model import LanguageModel


@click.command()
@click.argument(
    "arguments",
    metavar="[MODEL] [TEXT]",
    type=MODEL,
    nargs=-1,
    help="A model folder (without one: a model that comes with Carousel) and how the text "
    "begins. The text - is read from standard input.",
)
@model_option
@click.option(
    "--input",
    "lines_file",
    metavar="FILE",
    help="Continue each line of this file; - is standard input. All are stepped together.",
)
@click.option(
    "--samples", type=COUNT, default=1, show_default=True, help="Number of texts for each prompt."
)
@click.option(
    "--max-tokens", type=WHOLE, default=50, show_default=True, help="The most tokens to add."
)
@click.option(
    "--temperature",
    type=NUMBER,
    default=1.0,
    show_default=True,
    help="Below 1, likely words become likelier; above 1, less likely. 0 takes the likeliest.",
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
@click.option(
    "--repetition-penalty",
    type=NUMBER,
    default=1.0,
    show_default=True,
    help="Above 1, tokens that the text holds already become less likely.",
)
@click.option(
    "--no-repeat",
    type=WHOLE,
    default=0,
    show_default=True,
    metavar="N",
    help="Never write the same N tokens in a row a second time. 0 turns this off.",
)
@click.option(
    "--beam",
    type=COUNT,
    default=1,
    show_default=True,
    metavar="N",
    help="Above 1, follow N texts side by side and print the likeliest (beam search).",
)
@click.option("--seed", type=WHOLE, help="Random seed. The same seed gives the same text.")
@click.option(
    "--stop", type=TEXT, metavar="TEXT", multiple=True, help="End before this text comes up."
)
@block_option
@adapt_option
@as_json
def generate(
    arguments: Sequence[str],
    model: str | None,
    lines_file: str | None,
    samples: int,
    block: str | None,
    adapt: AdaptName | None,
    as_json: bool,
    no_repeat: int,
    beam: int,
    **settings: Any,
) -> None:
    """Continue a text, word by word."""
    from carousel.cli.arguments import open_model, open_model_only, read_blocked

    settings |= {"no_repeat_ngram_size": no_repeat}
    if beam > 1:
        settings["num_beams"] = beam
    if lines_file is not None or samples > 1:
        from carousel.cli.generate_lines import generate_lines

        if lines_file is not None:
            opened = open_model_only(arguments, model)
        else:
            opened, text = open_model(arguments, model)
        opened = opened.adapt(adapt)
        texts = [text or ""] if lines_file is None else lines_file
        settings["bad_words"] = read_blocked(opened, block)
        generate_lines(opened, texts, samples, settings, as_json=as_json)
        return
    opened, text = open_model(arguments, model)
    opened = opened.adapt(adapt)
    settings["bad_words"] = read_blocked(opened, block)
    print_text(opened, text or "", settings, as_json=as_json)


def print_text(model: LanguageModel, text: str, settings: dict[str, Any], *, as_json: bool) -> None:
    """Print a text and its continuation as it comes."""
    from dataclasses import asdict

    from carousel.cli.output import note_unknown_words, print_json
    from carousel.text.printable import printable_text

    pieces = model.stream(text, **settings)
    unknown = note_unknown_words(model.tokenizer, text)
    if as_json:
        words = [asdict(word) for word in unknown]
        print_json({"text": text, "generated": "".join(pieces), "unknown": words})
        return
    print(printable_text(text), end="", flush=True)
    for piece in pieces:
        print(printable_text(piece), end="", flush=True)
    print()
