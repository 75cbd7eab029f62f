"""``carousel info``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carousel.cli.parameters import MODEL, as_json

if TYPE_CHECKING:
    from carousel.model import LanguageModel


@click.command()
@click.argument(
    "model",
    type=MODEL,
    metavar="[MODEL]",
    required=False,
    help="A model folder. Without one: the story model that comes with Carousel.",
)
@click.option("--words", is_flag=True, help="List the tokens that the model knows, one a line.")
@as_json
def info(model: str | None, words: bool, as_json: bool) -> None:
    """Show what a model is: cell, sizes, tokens, recipe, how training went."""
    from carousel.cli.output import print_facts, print_json
    from carousel.model import LanguageModel
    from carousel.text.printable import printable_word

    opened = LanguageModel.load(model)
    if words:
        tokens = opened.tokenizer.tokens()
        if as_json:
            print_json(tokens)
        else:
            print("\n".join(map(printable_word, tokens)))
        return
    table = describe_model(opened)
    if as_json:
        print_json(table)
        return
    rows = []
    for name, value in table.items():
        heading = name.replace("_", " ")
        if isinstance(value, dict):
            entries = [f"{key} = {_show(entry)}" for key, entry in value.items()]
            rows += [(heading if at == 0 else "", entry) for at, entry in enumerate(entries)]
        elif value is not None and value != ():
            rows.append((heading, _show(value)))
    print_facts(rows)


def describe_model(model: LanguageModel) -> dict[str, Any]:
    """Return what a model is as plain data.

    Raises:
        FolderError: the recipe or the metrics in its folder can't be read.
    """
    import json
    import tomllib
    from dataclasses import asdict

    from carousel.errors import FolderError

    folder = model.path
    assert folder is not None  # a model that was loaded has one
    table: dict[str, Any] = {
        "path": str(folder),
        "bytes": _bytes_in(folder),
        "parameters": model.config.parameters,
        "tokens": model.tokenizer.kind,
        **asdict(model.config),
    }
    try:
        recipe = folder / "recipe.toml"
        table["recipe"] = tomllib.loads(recipe.read_text("utf-8")) if recipe.exists() else None
        rows = [json.loads(line) for line in _lines_of(folder / "metrics.jsonl")]
        best = [row for row in rows if isinstance(row.get("valid_loss"), float)]
        table["best"] = min(best, key=lambda row: row["valid_loss"], default=None)
    except (ValueError, AttributeError, OSError, RecursionError) as error:
        raise FolderError(
            f"{folder}: recipe.toml or metrics.jsonl can't be read: {error}"
        ) from None
    return table


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        # A file may be replaced meanwhile.
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _show(value: Any) -> str:
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_show, value))
    return str(value)
