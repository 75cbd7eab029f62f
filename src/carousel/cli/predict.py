"""``carousel predict``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carousel.cli.parameters import (
    COUNT,
    MODEL,
    PATH,
    TEXT,
    WHOLE,
    adapt_option,
    as_json,
    block_option,
    model_option,
)
from carousel.errors import SettingsError

if TYPE_CHECKING:
    from carousel.adaptation.adapted import AdaptName


@click.command()
@click.argument(
    "arguments",
    metavar="[MODEL] [TEXT]",
    type=MODEL,
    nargs=-1,
    help="A model folder (without one: a model that comes with Carousel) and the words so "
    "far. The text - is read from standard input.",
)
@model_option
@click.option(
    "--input",
    "lines_file",
    metavar="FILE",
    help="Answer each line of this file in a line of its own; - is standard input.",
)
@click.option("-k", type=WHOLE, default=5, show_default=True, help="Number of words to show.")
@click.option("--prefix", type=TEXT, metavar="LETTERS", help="The beginning of the next word.")
@click.option("--complete", is_flag=True, help="Complete the unfinished word that ends the text.")
@block_option
@click.option(
    "--window",
    type=COUNT,
    help="Read only so many tokens, the last ones, filled up on the left, as Keras does.",
)
@adapt_option
@click.option(
    "--session",
    type=PATH,
    metavar="FILE",
    help="Go on with the session in this file, and keep it there. It begins where there is none.",
)
@as_json
def predict(
    arguments: Sequence[str],
    model: str | None,
    lines_file: str | None,
    k: int,
    prefix: str | None,
    complete: bool,
    block: str | None,
    window: int | None,
    adapt: AdaptName | None,
    session: Path | None,
    as_json: bool,
) -> None:
    """Predict the next word, with probabilities.

    Without a text, the text is read from standard input. On a terminal, a prompt opens in which
    suggestions follow as you type.
    """
    from carousel.cli.arguments import open_model, open_model_only, read_blocked

    if lines_file is not None:
        from carousel.cli.predict_lines import predict_lines

        if session is not None:
            raise SettingsError("the lines of --input are texts of their own: leave out --session")
        opened = open_model_only(arguments, model)
        opened = opened.adapt(adapt)
        options = {"k": k, "prefix": prefix, "complete": complete, "window": window}
        blocked = read_blocked(opened, block)
        predict_lines(opened, lines_file, as_json=as_json, bad_words=blocked, **options)
        return
    opened, text = open_model(arguments, model)
    opened = opened.adapt(adapt)
    bad_words = read_blocked(opened, block)
    if text is None:
        from carousel.cli.prompt import run_prompt

        run_prompt(opened, k, session, bad_words)
        return
    from carousel.cli.predictions import predict_text

    answer = predict_text(
        opened,
        text,
        k=k,
        prefix=prefix,
        complete=complete,
        window=window,
        session_file=session,
        bad_words=bad_words,
    )
    if as_json:
        from carousel.cli.output import print_json

        print_json(answer)
    elif not answer["predictions"]:
        print("no known word starts so")
    else:
        show_predictions([(row["word"], row["probability"]) for row in answer["predictions"]])


def show_predictions(predictions: Sequence[tuple[str, float]]) -> None:
    """Print words with their probabilities and bars."""
    import sys

    from carousel.draw.terminal.plain_bars import plain_bars
    from carousel.text.printable import printable_word

    rows = [(printable_word(word), probability) for word, probability in predictions]
    lines = None if sys.stdout.isatty() else plain_bars(rows)
    if lines is not None:
        print(lines)
        return
    from carousel.cli.console import Console
    from carousel.draw.terminal.tables import probability_bars

    Console().print(probability_bars(rows))
