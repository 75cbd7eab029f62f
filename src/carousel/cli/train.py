"""``carousel train``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

from carousel.errors import SettingsError


class EncodingErrors(enum.StrEnum):
    """What to do with bytes that are not UTF-8."""

    STRICT = "strict"
    REPLACE = "replace"


MODEL, LENGTH = "The model", "The run"


def train(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Text: files, folders, globs, .gz, or - for stdin."),
    ],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    valid: Annotated[
        list[str] | None, typer.Option(help="Validate on this file, not on the text's end.")
    ] = None,
    test: Annotated[list[str] | None, typer.Option(help="Test on this file at the end.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Settings: a TOML file, or characters or stories.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Cut text into words, whitespace, chars or bpe.")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="rnn, gru, lstm, cifg, or a variant.")] = None,
    layers: Annotated[int | None, typer.Option(help="Layers of cells.")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Units of each layer.")] = None,
    embedding_size: Annotated[int | None, typer.Option(help="Width of the embedding.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout between layers.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest learning rate.")] = None,
    epochs: Annotated[float | None, typer.Option(help="How often the text is read.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Or how long training may take.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and dropout.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any setting of a recipe, as TOML: --set batch=64."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    encoding_errors: Annotated[
        EncodingErrors, typer.Option(help="Go on where bytes are not UTF-8.")
    ] = EncodingErrors.STRICT,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard logs beside the model.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Train a model on your own text.

    The best model on validation is in the folder at every moment; Ctrl-C stops and keeps it.
    """
    import json

    from rich.console import Console

    from carousel.cli.needs import need_torch

    need_torch()
    from carousel.training.job import train_model
    from carousel.training.screen import TerminalScreen

    given: dict[str, Any] = {
        "tokens": tokens,
        "cell": cell,
        "layers": layers,
        "hidden_size": hidden_size,
        "embedding_size": embedding_size,
        "dropout": dropout,
        "learning_rate": learning_rate,
        "epochs": epochs,
        "minutes": minutes,
        "seed": seed,
        "device": device,
    }
    given = {key: value for key, value in given.items() if value is not None}
    given |= parse_settings(set_ or [])
    console = Console(stderr=json_)
    with TerminalScreen(console) as screen:
        model = train_model(
            files,
            out=out,
            valid=valid or (),
            test=test or (),
            recipe=recipe,
            settings=given,
            force=force,
            encoding_errors=encoding_errors,
            tensorboard=tensorboard,
            screen=screen,
        )
    if json_:
        lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        print(json.dumps({"model": str(out), "metrics": [json.loads(line) for line in lines]}))
    else:
        words = model.tokenizer.kind != "chars"
        example = '"the"' if words else '"The "'
        console.print(f"Saved in {out}. Next: carousel predict {out} {example}", soft_wrap=True)


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` pairs, the value as in TOML, or text where it is none.

    Raises:
        SettingsError: a pair without a sign of equality.
    """
    import tomllib

    made: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set wants key=value, not {pair!r}")
        try:
            made[key.strip().replace("-", "_")] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            made[key.strip().replace("-", "_")] = value.strip()
    return made
