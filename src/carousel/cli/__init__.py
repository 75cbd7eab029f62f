"""The command line: a table of commands, one module each; parse, call, print."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import typer

from carousel import __version__
from carousel.cli.quick import QuickCommand, QuickGroup
from carousel.errors import CarouselError

# typer carries click inside, under a private name: its own errors' base is the way to it.
UsageError: type[Exception] = typer.BadParameter.__mro__[2]

INTERRUPTED = 130
"""What typer returns after Ctrl-C: 128 and the signal's number, as shells count."""

NAMES = (
    "demo", "train", "predict", "generate", "evaluate", "info", "explain", "compare", "phrases",
    "page", "study", "import", "quantize",
)  # fmt: skip
"""The commands: each is a function in a module of its name (``import_`` where Python needs it)."""

COMMANDS: tuple[Callable[..., None], ...]
"""Their functions. They are loaded when asked for: a command need not wait for the others."""


def __getattr__(name: str) -> Any:
    if name == "COMMANDS":
        return load_commands(NAMES)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_commands(names: Sequence[str]) -> tuple[Callable[..., None], ...]:
    """The functions of the commands ``names``."""
    found = [f"{name}_" if iskeyword(name) else name for name in names]
    return tuple(getattr(import_module(f"carousel.cli.{name}"), name) for name in found)


def make_app(names: Sequence[str]) -> typer.Typer:
    """The command line with the commands ``names``."""
    app = typer.Typer(
        name="carousel",
        cls=QuickGroup,
        help="Recurrent next-word models you can see inside.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(root)
    for command in load_commands(names):
        app.command(cls=QuickCommand)(command)
    return app


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
    known = bool(arguments) and arguments[0] in NAMES
    try:
        app = make_app(arguments[:1] if known else NAMES)
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
