"""``carousel phrases``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from carousel.cli.parameters import COUNT, MODEL, NUMBER, TEXT, WHOLE, as_json, text_file_options

if TYPE_CHECKING:
    from carousel.lens.state_search import SearchResult, StateIndex

LONGEST = 120
"""Characters of a place that are shown."""


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL", help="A model folder.")
@click.argument("text", metavar="TEXT", help="A text that holds the phrase.")
@click.option(
    "--words",
    type=TEXT,
    metavar="FIRST:LAST",
    required=True,
    help="Which words of the text are the phrase, counted from 1.",
)
@click.option(
    "--in",
    "files",
    type=click.Path(),
    metavar="FILE",
    multiple=True,
    required=True,
    help="Where to search: a file, folder or glob. May be repeated.",
)
@click.option(
    "--name",
    type=TEXT,
    metavar="NAME",
    default="hidden",
    show_default=True,
    help="The gate or state.",
)
@click.option(
    "--layer", type=WHOLE, default=-1, show_default=True, help="Its layer; -1 is the last."
)
@click.option(
    "--threshold", type=NUMBER, default=0.3, show_default=True, help="A unit is on above this."
)
@click.option("--off-before", is_flag=True, help="Only units that are off just before the phrase.")
@click.option("--off-after", is_flag=True, help="Only units that are off just after the phrase.")
@click.option("-k", type=COUNT, default=10, show_default=True, help="Number of places to show.")
@text_file_options
@as_json
def phrases(
    model: str,
    text: str,
    words: str,
    files: Sequence[str],
    name: str,
    layer: int,
    threshold: float,
    off_before: bool,
    off_after: bool,
    k: int,
    encoding: str,
    encoding_errors: str,
    skip_bad_files: bool,
    as_json: bool,
) -> None:
    """Find other places in a text where the same units are on as over a few words.

    The first search in a text reads all of it through the model and stores which units are on.
    Later searches in the same text take seconds.
    """
    from carousel.cli.arguments import check_text
    from carousel.cli.output import print_json
    from carousel.cli.progress import progress_bar
    from carousel.lens.state_search import index_states
    from carousel.model import LanguageModel
    from carousel.text.files import find_files

    text = check_text(text)
    stretch = parse_stretch(words)
    opened = LanguageModel.load(model)
    found_files = find_files(
        files, encoding=encoding, encoding_errors=encoding_errors, skip_bad_files=skip_bad_files
    )
    with progress_bar("reading") as on_progress:
        index = index_states(
            opened.model, opened.tokenizer, found_files, name=name, layer=layer,
            threshold=threshold, encoding=encoding, encoding_errors=encoding_errors,
            on_progress=on_progress,
        )  # fmt: skip
    matches = index.find_phrase(text, stretch, off_before=off_before, off_after=off_after, k=k)
    if as_json:
        print_json(matches.table())
    else:
        show_matches(index, matches)


def parse_stretch(words: str) -> tuple[int, int]:
    """Return the first and the last word of ``3:6``, or of ``3``.

    Raises:
        SettingsError: it is not written so.
    """
    from carousel.errors import SettingsError

    numbers = words.split(":")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise SettingsError(f"--words {words!r} is no range of words: write FIRST:LAST, as 3:6")
    return int(numbers[0]), int(numbers[-1])


def show_matches(index: StateIndex, matches: SearchResult) -> None:
    """Print the units of a phrase, and the places where they are on together."""
    from rich.text import Text

    from carousel.cli.console import Console
    from carousel.cli.output import has_width, print_line
    from carousel.text.printable import printable_text

    units = matches.units
    listed = ", ".join(map(str, units[:20])) + (" ..." if len(units) > 20 else "")
    print_line(
        f"{len(units)} units of {index.point} above {index.threshold:g}: {listed}\n"
        f"All on together at {matches.together:,} of {len(index.ids):,} tokens\n"
    )
    console = Console()
    gap = " " if index.tokenizer.whole_words else ""
    for place in matches.places:
        head = f"{len(place.units):>3} on for {place.length:>3}, line {place.line:>7,}  "
        before, phrase, after = map(
            printable_text, (place.before + gap, shorten(place.text), gap + place.after)
        )
        console.print(
            Text.assemble(head, (before, "dim"), (phrase, "bold"), (after, "dim")),
            soft_wrap=not has_width(),
        )


def shorten(text: str) -> str:
    """Return a text, or the start and the end of a long one."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
