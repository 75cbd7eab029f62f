"""The way in: one command is run, and every error ends in one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from carousel.cli.streams import discard_output, prepare_streams
from carousel.errors import CarouselError
from carousel.text.printable import printable_text

BUG, BAD_INPUT = 1, 2
"""Exit codes."""
NO_MEMORY = "there is not enough memory for this"
LONGEST_NAME = 120
"""Characters of a file's name that an error shows."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Errors are one line on standard error: 2 for bad input, 130 after Ctrl-C, 143 where SIGTERM
    stopped a training run, 1 for a bug in Carousel. Only with ``CAROUSEL_DEBUG=1``
    does a bug print its traceback.
    """
    try:
        prepare_streams()
        with _short_warnings():
            code = _invoke(list(arguments))
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, click.Abort):
        return complain_of_signal("interrupted", signal.SIGINT)
    except BrokenPipeError:
        # Whoever read the output has gone, as `head` does: that is no error.
        discard_output()
        return 0
    except click.ClickException as error:
        return _complain(error.format_message(), BAD_INPUT)
    except CarouselError as error:
        return _complain(str(error), BAD_INPUT)
    except MemoryError:
        return _complain(NO_MEMORY, BAD_INPUT)
    except OSError as error:
        return _complain_of_system(error)
    except RuntimeError as error:
        # Python and PyTorch have no errors of their own for these.
        if "can't start new thread" in str(error):
            return _complain("the system allows no more threads: raise its limit", BAD_INPUT)
        if "allocate memory" in str(error) or "out of memory" in str(error):
            return _complain(NO_MEMORY, BAD_INPUT)
        return _complain_of_bug(error)
    except Exception as error:
        return _complain_of_bug(error)
    except BaseException as error:
        # A panic of a library in Rust is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        return _complain_of_bug(error)


def main() -> NoReturn:
    """Run the command of ``sys.argv`` and exit: the console script."""
    raise SystemExit(run(sys.argv[1:]))


def _invoke(arguments: list[str]) -> int:
    from carousel.cli.group import carousel

    instruction = os.environ.get("_CAROUSEL_COMPLETE")
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(carousel, {}, "carousel", "_CAROUSEL_COMPLETE", instruction)
    try:
        # Not carousel.main(): it has exit codes and messages of its own.
        with carousel.make_context("carousel", arguments) as context:
            result = carousel.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return result if isinstance(result, int) else 0


def signal_exit_code(number: int) -> int:
    """Return the exit code of a command that a signal has ended: 128 more, as shells count."""
    return 128 + number


def complain_of_signal(message: str, number: int) -> int:
    """Print one line about the signal that has ended a command, and return the exit code."""
    return _complain(message, signal_exit_code(number))


def _complain(message: str, code: int) -> int:
    line = printable_text(" ".join(message.split()))
    try:
        print(f"carousel: {line}", file=sys.stderr, flush=True)
    except OSError:  # standard error is full or closed: the exit code must do
        discard_output(sys.stderr)
    return code


def _complain_of_system(error: OSError) -> int:
    """An error of the system that no room has put into words: a full disk, a forbidden file."""
    reason = error.strerror or str(error)
    if error.filename is None:  # a stream, such as a full standard output
        discard_output()
        return _complain(f"reading or writing failed: {reason}", BAD_INPUT)
    name = os.fsdecode(error.filename) if not isinstance(error.filename, int) else "a file"
    shown = name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "..."
    return _complain(f"{shown}: {reason}", BAD_INPUT)


def _complain_of_bug(error: BaseException) -> int:
    if os.environ.get("CAROUSEL_DEBUG", "0") != "0":
        import traceback

        traceback.print_exc()
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else (
        f" at line {trace.tb_lineno} of {Path(trace.tb_frame.f_code.co_filename).name}"
    )  # fmt: skip
    return _complain(
        f"this is a bug in Carousel: {type(error).__name__}: {error}{place}. Please report it "
        "with the command and its traceback, which CAROUSEL_DEBUG=1 prints",
        BUG,
    )


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Show warnings as one line each, without a place in the code."""

    def show(message: Warning | str, *place: Any, **more: Any) -> None:
        _complain(f"warning: {message}", BAD_INPUT)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
