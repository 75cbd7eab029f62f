"""``carousel generate``."""

from __future__ import annotations

from typing import Annotated

import typer


def generate(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [TEXT]",
            help="A model folder (the shipped story model if none) and how the text begins.",
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="The most tokens to add.")] = 50,
    temperature: Annotated[
        float, typer.Option(help="Below 1 bolder in its habits, above 1 more varied; 0: likeliest.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(help="Only among the likeliest k; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Only among the likeliest, up to this share.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text comes up.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Go on writing where a text stops."""
    from carousel.cli.arguments import open_model
    from carousel.predict.generation import generate as continue_text

    model, text = open_model(arguments or [])
    text = text or ""
    pieces = continue_text(
        model,
        text,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=stop or (),
    )
    if json_:
        import json

        print(json.dumps({"text": text, "generated": "".join(pieces)}, ensure_ascii=False))
        return
    print(text, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
