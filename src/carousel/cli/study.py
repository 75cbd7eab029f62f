"""``carousel study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

STUDIES = {
    "short-memory": "how far back do an RNN, a GRU and an LSTM of equal size remember?",
    "context-switch": "does the forget gate close where the story turns to another subject?",
    "going-back": "is the first subject still there when the story comes back to it?",
    "characters": "what does a character model of a book keep, for how long, in which units?",
}
"""Each study's question by its name. The study is the module of that name in ``carousel.study``;
its ``run(console, out, seeds)`` prints a table, writes figures and ``results.json`` into a folder
of its name in ``out``, and returns what it wrote as plain data. ``characters`` takes a model and a
text in the place of seeds."""


def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(STUDIES)}.")],
    seeds: Annotated[
        int, typer.Option(help="How many models of each cell, with seeds 1, 2, ...", min=1)
    ] = 3,
    out: Annotated[
        Path,
        typer.Option(help="Where results go; models that a study trained are kept and used again."),
    ] = Path("carousel-study"),
    model: Annotated[
        Path | None, typer.Option(help="characters: the model folder.", show_default=False)
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="characters: the text it learned from.", show_default=False)
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Measure one of the claims: train models, look inside, print and draw what comes out."""
    import importlib
    import json

    from rich.console import Console

    from carousel.cli.needs import need_torch
    from carousel.errors import SettingsError

    if name not in STUDIES:
        known = "; ".join(f"{study} ({question})" for study, question in STUDIES.items())
        raise SettingsError(f"no study is called {name!r}; there are {known}")
    given = {option is not None for option in (model, text)}
    if given != {name == "characters"}:
        raise SettingsError("characters wants --model and --text, and no other study takes them")
    need_torch()
    module = importlib.import_module(f"carousel.study.{name.replace('-', '_')}")
    console = Console(stderr=json_)
    if name == "characters":
        result = module.run(console, out, model, text)
    else:
        result = module.run(console, out, seeds)
    if json_:
        print(json.dumps(result))
