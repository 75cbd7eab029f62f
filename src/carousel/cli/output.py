"""What commands print: JSON, facts, notes on standard error."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carousel.cli.streams import shows_unicode
from carousel.text.printable import printable_text, to_json
from carousel.text.tokenizer import Tokenizer
from carousel.text.unknown_words import UnknownWord, find_unknown_words

MOST_NOTED = 5
"""Unknown words that a note names."""


def print_json(data: Any) -> None:
    """Print one line of JSON in which no character acts on a terminal."""
    print(to_json(data, ascii_only=not shows_unicode()))


def print_facts(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line, wrapped to the terminal."""
    from carousel.cli.console import Console
    from carousel.draw.terminal.tables import facts

    Console().print(facts([(name, printable_text(value)) for name, value in rows]))


def print_line(text: str = "") -> None:
    """Print text for people, with line breaks so that it fits a terminal.

    Words are never cut: a long path stays whole, and can be copied.
    """
    text = printable_text(text)
    if not has_width():
        print(text)
        return
    import textwrap

    width = shutil.get_terminal_size().columns
    for line in text.split("\n"):
        print(
            "\n".join(
                textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
            )
        )


def has_width() -> bool:
    """Return whether lines must fit a width: a terminal's, or that of ``COLUMNS``."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def print_next_step(*arguments: str | Path) -> None:
    """Print a command that can be tried next, as it can be typed.

    Paths are quoted for a shell where they must be; other arguments are printed as they are.
    """
    typed = [_quoted(part) if isinstance(part, Path) else part for part in arguments]
    print_line("Next:")
    print(printable_text(f"  {program_name()} {' '.join(typed)}"))


def _quoted(path: Path) -> str:
    import shlex

    # What begins with a dash would be taken for an option.
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


def program_name() -> str:
    """Return how ``carousel`` is started here: by its name, or by its path if it is elsewhere."""
    script = Path(sys.argv[0])
    found = shutil.which("carousel")
    if script.name != "carousel" or (found and Path(found).resolve() == script.resolve()):
        return "carousel"
    return str(script)


def note_unknown_words(
    tokenizer: Tokenizer, text: str, *, name: str = "this model"
) -> list[UnknownWord]:
    """Return the words of a text that a model does not know, and say them on standard error."""
    unknown = find_unknown_words(tokenizer, text)
    notes: dict[str, str] = {}
    for word in unknown:
        hint = f" (it knows {', '.join(word.nearest)})" if word.nearest else ""
        notes[word.word] = f"{word.word}{hint}"
    if notes:
        shown = ", ".join(list(notes.values())[:MOST_NOTED])
        more = f" and {len(notes) - MOST_NOTED} more" if len(notes) > MOST_NOTED else ""
        print(printable_text(f"carousel: not known to {name}: {shown}{more}"), file=sys.stderr)
    return unknown
