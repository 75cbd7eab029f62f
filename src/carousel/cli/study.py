"""``carousel study``."""

from __future__ import annotations

from pathlib import Path

import click

from carousel.cli.parameters import COUNT, MODEL, PATH, as_json
from carousel.study import STUDIES


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
    from carousel.cli.console import Console
    from carousel.cli.needs import need_scipy, need_torch
    from carousel.cli.output import print_json
    from carousel.errors import SettingsError
    from carousel.study.registry import conduct_study, find_study

    given = {option is not None for option in (model, text)}
    if name in STUDIES and given != {name == "characters"}:
        raise SettingsError("characters wants --model and --text, and no other study takes them")
    if name in STUDIES:
        need_torch()
        need_scipy()
    module = find_study(name)
    if model is not None:
        arguments = module.Arguments(model=Path(model), text=text)
    else:
        arguments = module.Arguments(out=out, seeds=seeds)
    console = Console(stderr=as_json)
    result = conduct_study(name, module, arguments, out=out, console=console)
    if as_json:
        print_json(result)
