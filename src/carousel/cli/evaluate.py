"""``carousel evaluate``."""

from __future__ import annotations

from typing import Annotated

import typer

from carousel.cli.train import EncodingErrors


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder.")],
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Text: files, folders, globs, .gz, or - for stdin."),
    ],
    encoding_errors: Annotated[
        EncodingErrors, typer.Option(help="Go on where bytes are not UTF-8.")
    ] = EncodingErrors.STRICT,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a model on text: perplexity, recall of the next word, keystrokes saved."""
    import json
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from carousel.draw.terminal.tables import facts
    from carousel.evaluate import evaluate as measure
    from carousel.model import LanguageModel
    from carousel.text.files import find_files

    opened = LanguageModel.load(model)
    found = find_files(files)
    screen = Console(stderr=True)
    with Progress(
        TextColumn("evaluating"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} tokens"),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    ) as bars:
        task = bars.add_task("", total=None)
        result = measure(
            opened,
            found,
            encoding_errors=encoding_errors,
            on_progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    table = asdict(result)
    if json_:
        print(json.dumps(table))
        return
    rates = {"unknown_rate", "keystrokes_saved", "recall_at_1", "recall_at_3", "recall_at_5"}
    rows = []
    for name, value in table.items():
        if value is None:
            continue
        shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
        rows.append((name.replace("_", " "), f"{value:.2%}" if name in rates else shown))
    Console().print(facts(rows))
