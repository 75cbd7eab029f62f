"""``carousel info``."""

from __future__ import annotations

from typing import Annotated

import typer


def info(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model folder; the shipped story model if none."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a model is: cell, sizes, tokens, recipe, how training went."""
    import json
    import tomllib
    from dataclasses import asdict

    from carousel.errors import FolderError
    from carousel.model import LanguageModel

    opened = LanguageModel.load(model)
    folder = opened.path
    assert folder is not None  # a loaded model has one
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    table: dict[str, object] = {
        "path": str(folder),
        "bytes": size,
        "parameters": opened.config.parameters,
        "tokens": opened.tokenizer.kind,
        **asdict(opened.config),
    }
    try:
        recipe = folder / "recipe.toml"
        table["recipe"] = tomllib.loads(recipe.read_text("utf-8")) if recipe.exists() else None
        metrics = folder / "metrics.jsonl"
        rows = metrics.read_text("utf-8").splitlines() if metrics.exists() else []
        parsed = [json.loads(row) for row in rows]
        best = [row for row in parsed if isinstance(row.get("valid_loss"), float)]
        table["best"] = min(best, key=lambda row: row["valid_loss"], default=None)
    except (ValueError, AttributeError, OSError) as error:
        raise FolderError(
            f"{folder}: recipe.toml or metrics.jsonl can't be read: {error}"
        ) from None
    if json_:
        print(json.dumps(table))
        return
    from rich.console import Console

    from carousel.draw.terminal.tables import facts

    shown = []
    for name, value in table.items():
        if isinstance(value, dict):
            value = ", ".join(
                f"{key} {entry:.5g}" if isinstance(entry, float) else f"{key} {entry}"
                for key, entry in value.items()
            )
        elif isinstance(value, tuple):
            value = ", ".join(f"{entry:,}" for entry in value) or None
        elif isinstance(value, int) and not isinstance(value, bool):
            value = f"{value:,}"
        if value is not None:
            shown.append((name.replace("_", " "), str(value)))
    Console().print(facts(shown))
