"""``carousel demo``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from carousel.cli.parameters import PATH, Number, as_json
from carousel.cli.story_options import read_cast, read_kinds, story_options


@click.command()
@click.option(
    "--out",
    type=PATH,
    metavar="DIR",
    default=Path("carousel-demo"),
    show_default=True,
    help="Where the three models and the picture go.",
)
@click.option(
    "--seed",
    type=Number(whole=True, minimum=0),
    default=1,
    show_default=True,
    help="Random seed of the stories and the weights.",
)
@story_options
@click.option("--keep", is_flag=True, help="Do not replace an earlier demo.")
@as_json
def demo(
    out: Path,
    seed: int,
    names: str | None,
    foods: str | None,
    kinds: str | None,
    keep: bool,
    as_json: bool,
) -> None:
    """Train an RNN, a GRU and an LSTM side by side on small stories and compare their memory.

    It takes two to three minutes on two cores.
    """
    from carousel.cli.console import Console
    from carousel.cli.needs import need_torch
    from carousel.cli.output import print_json, program_name

    need_torch()
    from carousel.study.demo import run_demo

    result = run_demo(
        Console(stderr=as_json),
        out=out,
        seed=seed,
        kinds=read_kinds(kinds),
        cast=read_cast(names, foods),
        force=not keep,
        program=program_name(),
    )
    if as_json:
        print_json(result)
    else:
        offer_page([result["models"][cell] for cell in ("lstm", "gru", "rnn")])


def offer_page(folders: Sequence[str]) -> None:
    """Ask whether to open the page on the models; where nobody can answer, show the command."""
    from carousel.cli.output import program_name
    from carousel.cli.page import serve_page
    from carousel.text.printable import printable_text

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("See all three on the page:")
        print(printable_text(f"  {program_name()} page"), *folders, sep=" \\\n    ")
    elif click.confirm("Open the page on these three models?", default=True):
        serve_page(folders)
