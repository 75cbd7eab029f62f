"""``carousel train``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carousel.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from carousel.model import LanguageModel


class EncodingErrors(enum.StrEnum):
    """What to do with bytes that are not UTF-8."""

    STRICT = "strict"
    REPLACE = "replace"


MODEL, LENGTH = "The model", "The run"


def train(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Text: files, folders, globs, .gz, or - for stdin."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The model folder to write.")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Go on with the interrupted run of this model folder."),
    ] = None,
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
    softmax: Annotated[
        str | None,
        typer.Option(help="full, adaptive, sampled, or auto: adaptive if that is faster."),
    ] = None,
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
    What was interrupted, or killed, goes on with --resume.
    """
    import signal

    from rich.console import Console

    from carousel.cli.needs import need_torch

    need_torch()
    from carousel.training.job import resume_training, train_model
    from carousel.training.run.distributed import is_main_process
    from carousel.training.run.progress_reporter import ConsoleReporter

    given: dict[str, Any] = {
        "tokens": tokens,
        "cell": cell,
        "layers": layers,
        "hidden_size": hidden_size,
        "embedding_size": embedding_size,
        "softmax": softmax,
        "dropout": dropout,
        "learning_rate": learning_rate,
        "epochs": epochs,
        "minutes": minutes,
        "seed": seed,
        "device": device,
    }
    given = {key: value for key, value in given.items() if value is not None}
    given |= parse_settings(set_ or [])
    if resume is not None:
        refuse_others(context)
    elif not files:
        raise SettingsError("no text was named: give a FILE, or --resume DIR to go on with a run")
    elif out is None:
        raise SettingsError("no folder was named for the model: give --out DIR")
    # A system that ends its processes is to be heard as Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=json_)
    with ConsoleReporter(console) as reporter:
        if resume is not None:
            folder, model = resume, resume_training(resume, reporter=reporter)
        else:
            assert files is not None
            assert out is not None
            folder = out
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
                reporter=reporter,
            )
    if is_main_process():
        show_outcome(console, folder, model, as_json=json_)


def refuse_others(context: typer.Context) -> None:
    """A run that goes on is as it was begun.

    Raises:
        SettingsError: something else than ``--resume`` and ``--json`` was given.
    """
    given = [
        "FILE" if name == "files" else "--" + name.rstrip("_").replace("_", "-")
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if others := [name for name in given if name not in ("--resume", "--json")]:
        raise SettingsError(
            f"--resume goes on with the run's files and settings: leave out {', '.join(others)}"
        )


def show_outcome(
    console: Console, folder: Path, model: LanguageModel, *, as_json: bool = False
) -> None:
    """Where the model is, and what comes next."""
    import json

    from carousel.training.run.run_folder import RunFolder

    goes_on = RunFolder(folder).path.exists()
    if as_json:
        metrics = folder / "metrics.jsonl"
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
        rows = [json.loads(line) for line in lines]
        print(json.dumps({"model": str(folder), "finished": not goes_on, "metrics": rows}))
    elif goes_on:
        console.print(f"To go on: carousel train --resume {folder}", soft_wrap=True)
    else:
        example = '"the"' if model.tokenizer.kind != "chars" else '"The "'
        console.print(
            f"Saved in {folder}. Next: carousel predict {folder} {example}", soft_wrap=True
        )


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
