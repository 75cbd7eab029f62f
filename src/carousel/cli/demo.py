"""``carousel demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Where the three models and the picture go.")] = Path(
        "carousel-demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the stories and the weights.", min=0)] = 0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Refuse to replace an earlier demo.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train an RNN, a GRU and an LSTM side by side on small stories and compare their memory."""
    import json

    from rich.console import Console

    from carousel.cli.needs import need_torch

    need_torch()
    from carousel.study.demo import run_demo

    console = Console(stderr=json_)
    result = run_demo(console, out=out, seed=seed, force=not keep)
    if json_:
        print(json.dumps(result))
