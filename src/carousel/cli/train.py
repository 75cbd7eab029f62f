"""``carousel train``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carousel.cli.parameters import RUN_FOLDER, TEXT, as_json, force, text_file_options
from carousel.cli.setting_options import setting_options
from carousel.errors import SettingsError

if TYPE_CHECKING:
    from carousel.model import LanguageModel


@click.command()
@click.argument(
    "files",
    type=click.Path(),
    metavar="[FILE]...",
    nargs=-1,
    help="Text: files, folders, globs, .gz, or - for standard input.",
)
@click.option("--out", type=RUN_FOLDER, metavar="DIR", help="The model folder to write.")
@click.option(
    "--resume",
    type=RUN_FOLDER,
    metavar="DIR",
    help="Continue the interrupted run of this model folder.",
)
@click.option(
    "--from",
    "base_model",
    type=TEXT,
    metavar="DIR",
    help="Fine-tune this model: a folder, or english. It is not changed.",
)
@click.option(
    "--valid",
    type=click.Path(),
    metavar="FILE",
    multiple=True,
    help="Validate on this file, not on the end of the text.",
)
@click.option(
    "--test",
    type=click.Path(),
    metavar="FILE",
    multiple=True,
    help="Test on this file at the end.",
)
@click.option(
    "--recipe",
    type=TEXT,
    metavar="NAME",
    help="Settings: a TOML file, or one that comes along, such as characters or words-small.",
)
@click.option(
    "--set",
    "pairs",
    type=TEXT,
    metavar="KEY=VALUE",
    multiple=True,
    help="A setting, as a recipe writes it: --set batch_size=64. May be repeated.",
)
@force
@text_file_options
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard logs beside the model.")
@as_json
@setting_options
@click.pass_context
def train(
    context: click.Context,
    /,
    files: Sequence[str],
    out: Path | None,
    resume: Path | None,
    base_model: str | None,
    valid: Sequence[str],
    test: Sequence[str],
    recipe: str | None,
    pairs: Sequence[str],
    force: bool,
    encoding: str,
    encoding_errors: str,
    skip_bad_files: bool,
    tensorboard: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Train a model on your own text.

    The best model on validation is in the folder at every moment. Ctrl-C stops the run and keeps
    that model. A run that was interrupted or killed continues with --resume.
    """
    from carousel.cli.needs import need_torch

    given = {name: value for name, value in settings.items() if value is not None}
    if resume is not None:
        refuse_others(context)
    elif not files:
        raise SettingsError("no text was named: give a FILE, or --resume DIR to continue a run")
    elif out is None:
        raise SettingsError("no folder was named for the model: give --out DIR")
    options = {
        "valid": valid,
        "test": test,
        "base_model": base_model,
        "recipe": recipe,
        "settings": given | parse_settings(pairs),
        "force": force,
        "encoding": encoding,
        "encoding_errors": encoding_errors,
        "skip_bad_files": skip_bad_files,
        "tensorboard": tensorboard,
    }
    need_torch()
    return run_training(files, out, resume, options, as_json=as_json)


def run_training(
    files: Sequence[str],
    out: Path | None,
    resume: Path | None,
    options: Mapping[str, Any],
    *,
    as_json: bool,
) -> int:
    """Begin or continue a run, show its progress and outcome, and return the exit code.

    Args:
        files: the text to train on.
        out: the model folder to write.
        resume: the model folder of the run to continue, or None to begin one.
        options: further arguments of ``train_model``.
        as_json: print JSON; progress goes to standard error then.
    """
    import signal

    from carousel.cli.console import Console
    from carousel.cli.entry import complain_of_signal, signal_exit_code
    from carousel.training.job import resume_training, train_model
    from carousel.training.run.callbacks import LastOutcome
    from carousel.training.run.distributed import is_main_process
    from carousel.training.run.interrupts import Terminated, raise_terminated
    from carousel.training.run.progress_reporter import ConsoleReporter

    # The signal by which a system ends its processes stops the run as Ctrl-C does.
    signal.signal(signal.SIGTERM, raise_terminated)
    last = LastOutcome()
    try:
        with ConsoleReporter(Console(stderr=as_json)) as reporter:
            if resume is not None:
                model = resume_training(resume, reporter=reporter, callbacks=[last])
                folder = resume
            else:
                assert out is not None  # train has checked it
                model = train_model(files, out=out, reporter=reporter, callbacks=[last], **options)
                folder = out
    except Terminated:
        return complain_of_signal("terminated", signal.SIGTERM)
    if is_main_process():
        show_outcome(folder, model, as_json=as_json)
    outcome = last.outcome
    if outcome is None or outcome.stop_reason != "interrupted":
        return 0
    return signal_exit_code(outcome.signal_number or signal.SIGINT)


def refuse_others(context: click.Context) -> None:
    """Check that a run is continued with the settings it was begun with.

    Raises:
        SettingsError: more than ``--resume`` and ``--json`` was given.
    """
    command_line = click.core.ParameterSource.COMMANDLINE
    given = [
        "FILE" if parameter.param_type_name == "argument" else parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is command_line
    ]
    if others := [name for name in given if name not in ("--resume", "--json")]:
        raise SettingsError(
            "--resume continues with the run's files and settings: leave out " + ", ".join(others)
        )


def show_outcome(folder: Path, model: LanguageModel, *, as_json: bool) -> None:
    """Print where the model is and what comes next."""
    import json

    from carousel.cli.output import print_json, print_line, print_next_step
    from carousel.training.run.run_folder import RunFolder

    interrupted = RunFolder(folder).path.exists()
    if as_json:
        metrics = folder / "metrics.jsonl"
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
        rows = [json.loads(line) for line in lines]
        print_json({"model": str(folder), "finished": not interrupted, "metrics": rows})
    elif interrupted:
        print_line(f"Interrupted. The best model so far is in {folder}.")
        print_next_step("train", "--resume", folder)
    else:
        print_line(f"Saved in {folder}.")
        text = suggest_text(model)
        if text is None:
            print_next_step("generate", folder, '""')
        else:
            print_next_step("predict", folder, text)


def suggest_text(model: LanguageModel) -> str | None:
    """Return a text, quoted for a shell, after which a model predicts words; None if there is none.

    It is the most frequent word that does, or a word that a line may begin with.
    """
    import shlex

    from carousel.errors import PredictionError

    tokenizer = model.tokenizer
    frequent = [token for id, token in enumerate(tokenizer.tokens()) if tokenizer.is_word(id)]
    likely = [word for word, _ in model.next_words("", k=3)]
    candidates = [*frequent[:3], *likely] if tokenizer.whole_words else likely
    for word in sorted(candidates, key=lambda word: not word.isalpha()):
        try:
            found = model.next_words(word, k=1)
        except PredictionError:
            continue
        if found:
            return f'"{word}"' if word.isalpha() else shlex.quote(word)
    return None


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Return ``key=value`` pairs as a table. A value is read as TOML, or else taken as text.

    Raises:
        SettingsError: a pair has no ``=``.
    """
    import tomllib

    table: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set wants key=value, not {pair!r}")
        name = key.strip().replace("-", "_")
        try:
            table[name] = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            table[name] = value.strip()
    return table
