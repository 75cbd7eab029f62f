"""``carousel study``."""

from __future__ import annotations

from pathlib import Path

import click

from carousel.cli.parameters import COUNT, MODEL, PATH, as_json

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


@click.command()
@click.argument("name", metavar="NAME", help=f"One of {', '.join(STUDIES)}.")
@click.option(
    "--seeds",
    type=COUNT,
    default=3,
    show_default=True,
    help="How many models of each cell, with seeds 1, 2, ...",
)
@click.option(
    "--out",
    type=PATH,
    metavar="DIR",
    default=Path("carousel-study"),
    show_default=True,
    help="Where results go. Models that a study trained are kept there and used again.",
)
@click.option("--model", type=MODEL, metavar="DIR", help="characters: the model folder.")
@click.option("--text", type=PATH, metavar="FILE", help="characters: the text it learned from.")
@as_json
def study(
    name: str, seeds: int, out: Path, model: str | None, text: Path | None, as_json: bool
) -> None:
    """Measure one of the lecture's claims: train models, look inside, show what comes out."""
    import importlib

    from carousel.cli.console import Console
    from carousel.cli.needs import need_torch
    from carousel.cli.output import print_json
    from carousel.errors import SettingsError

    if name not in STUDIES:
        known = "; ".join(f"{study} ({question})" for study, question in STUDIES.items())
        raise SettingsError(f"no study is called {name!r}; there are {known}")
    given = {option is not None for option in (model, text)}
    if given != {name == "characters"}:
        raise SettingsError("characters wants --model and --text, and no other study takes them")
    need_torch()
    module = importlib.import_module(f"carousel.study.{name.replace('-', '_')}")
    console = Console(stderr=as_json)
    if model is not None:
        result = module.run(console, out, Path(model), text)
    else:
        result = module.run(console, out, seeds)
    if as_json:
        print_json(result)
