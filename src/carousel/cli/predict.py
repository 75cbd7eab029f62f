"""``carousel predict``."""

from __future__ import annotations

from typing import Annotated

import typer


def predict(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [TEXT]",
            help="A model folder (the shipped story model if none) and the words so far.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many words.")] = 5,
    prefix: Annotated[
        str | None, typer.Option(help="The word being typed: only words that continue it.")
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="The text ends in the middle of a word.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict the next word, with probabilities.

    Without a text it is read from standard input; on a terminal a prompt opens where suggestions
    follow as you type.
    """
    from carousel.cli.arguments import open_model
    from carousel.predict.next_words import predict_next

    model, text = open_model(arguments or [])
    if text is None:
        from carousel.cli.prompt import run_prompt

        run_prompt(model, k)
        return
    found = predict_next(model, text, k=k, prefix=prefix, complete=complete)
    if json_:
        import json

        rows = [{"word": word, "probability": p} for word, p in found]
        print(json.dumps({"text": text, "predictions": rows}, ensure_ascii=False))
        return
    if not found:
        print("no known word starts so")
        return
    import sys

    from carousel.draw.terminal.plain_bars import plain_bars

    lines = None if sys.stdout.isatty() else plain_bars(found)
    if lines is not None:
        print(lines)
        return
    from rich.console import Console

    from carousel.draw.terminal.tables import probability_bars

    Console().print(probability_bars(found))
