"""The command line: a table of commands, one module each; parse, call, print."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from carousel import __version__
from carousel.cli.compare import compare
from carousel.cli.demo import demo
from carousel.cli.evaluate import evaluate
from carousel.cli.explain import explain
from carousel.cli.generate import generate
from carousel.cli.import_ import import_
from carousel.cli.info import info
from carousel.cli.phrases import phrases
from carousel.cli.predict import predict
from carousel.cli.study import study
from carousel.cli.train import train
from carousel.errors import CarouselError

# typer carries click inside, under a private name: its own errors' base is the way to it.
UsageError: type[Exception] = typer.BadParameter.__mro__[2]

INTERRUPTED = 130
"""What typer returns after Ctrl-C: 128 and the signal's number, as shells count."""

COMMANDS = (
    demo,
    train,
    predict,
    generate,
    evaluate,
    info,
    explain,
    compare,
    phrases,
    study,
    import_,
)

app = typer.Typer(
    name="carousel",
    help="Recurrent next-word models you can see inside.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command()(command)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Recurrent next-word models you can see inside."""
    if version:
        print(f"carousel {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def run(arguments: list[str]) -> int:
    """Run one command; the exit code. Errors for people are one line on standard error, and 2."""
    try:
        code = app(arguments, prog_name="carousel", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:
            print("carousel: interrupted", file=sys.stderr)
        return code if isinstance(code, int) else 0
    except UsageError as error:
        return _complain(error.format_message())  # type: ignore[attr-defined]
    except CarouselError as error:
        return _complain(str(error))
    except BrokenPipeError:
        # Whoever read the output has gone; a second failure at exit would only be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def main() -> NoReturn:
    """The console script."""
    raise SystemExit(run(sys.argv[1:]))


def _complain(message: str) -> int:
    print(f"carousel: {' '.join(message.split())}", file=sys.stderr)
    return 2
