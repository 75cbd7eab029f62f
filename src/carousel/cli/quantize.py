"""``carousel quantize``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer


class Format(enum.StrEnum):
    """What a model can be quantized to."""

    INT8 = "int8"
    BF16 = "bf16"


def quantize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model folder, as training wrote it.")
    ],
    to: Annotated[Format, typer.Option(help="8 bits a weight, or 16 (bfloat16).")],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Measure perplexity before and after on this text."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Write a model with fewer bits a weight, and report what that costs and gains."""
    import json
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from carousel.draw.terminal.tables import facts
    from carousel.quantize import quantize as write_quantized

    screen = Console(stderr=True)
    with Progress(
        TextColumn("evaluating"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} tokens"),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal or not on,
    ) as bars:
        task = bars.add_task("", total=None)
        report = write_quantized(
            model,
            out,
            {"bf16": "bfloat16"}.get(to, str(to)),
            on=on or (),
            force=force,
            on_progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    if json_:
        print(json.dumps({"model": str(out), **asdict(report)}))
        return
    r = report
    rows = [
        (
            "size of the weights",
            f"{r.bytes_before:,} to {r.bytes_after:,} bytes: "
            f"{r.bytes_before / r.bytes_after:.2f} times smaller",
        ),
        (
            "single steps",
            f"{r.words_per_second_before:,.0f} to {r.words_per_second_after:,.0f} words/s: "
            f"{r.words_per_second_after / r.words_per_second_before:.2f} times as fast",
        ),
    ]
    if r.perplexity_before is not None and r.perplexity_after is not None:
        change = r.perplexity_after / r.perplexity_before - 1
        rows.insert(
            1,
            ("perplexity", f"{r.perplexity_before:.3f} to {r.perplexity_after:.3f}: {change:+.2%}"),
        )
    Console().print(facts([*rows, ("saved in", str(out))]))
