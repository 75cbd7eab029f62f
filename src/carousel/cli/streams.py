"""Standard input, output and error as the commands need them: closed, full or of few characters."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import TextIO

from carousel.errors import SettingsError

FALLBACK = "carousel-fallback"
"""The name of the codec error handler that replaces what an output encoding lacks."""
LOOK_ALIKES = str.maketrans(
    "█▉▊▋▌▍▎▏▁▂▃▄▅▆▇─━│┃╸╺╴…→×±‖′⏎␣⇥–—‘’“”",
    "#####   ..:-=+#--||---.>x~|'$_>--''\"\"",
)
"""Characters of ASCII, one for one so that columns stay aligned."""


def prepare_streams() -> None:
    """Make standard streams that are closed usable, and let no output encoding fail.

    Raises:
        SettingsError: standard output is closed.
    """
    codecs.register_error(FALLBACK, _replace_lacking)
    # What is opened first takes the number of a closed stream: these must not be a model's files.
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        raise SettingsError("standard output is closed: there is nowhere to print to")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=FALLBACK)


def discard_output(stream: TextIO | None = None) -> None:
    """Point a stream to nowhere, so that what is buffered makes no second error at exit.

    Args:
        stream: standard output or error; None for standard output.
    """
    with contextlib.suppress(OSError, ValueError):  # where it is no file, nothing is buffered
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (stream or sys.stdout).fileno())
        os.close(nowhere)


def shows_unicode() -> bool:
    """Return whether standard output can show every character."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name.startswith("utf")


def _replace_lacking(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(LOOK_ALIKES)
    return "".join(c if c.isascii() else "?" for c in lacking), error.end
