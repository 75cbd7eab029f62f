"""``carousel phrases``."""

from __future__ import annotations

from typing import Annotated

import typer

LONGEST = 120
"""Characters of a place that are shown."""


def phrases(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text that holds the phrase.")],
    words: Annotated[
        str,
        typer.Option(
            metavar="FIRST:LAST", help="Which words of the text are the phrase, counted from 1."
        ),
    ],
    in_: Annotated[
        list[str],
        typer.Option("--in", metavar="FILE", help="Where to look: a file, folder or glob; again."),
    ],
    name: Annotated[str, typer.Option(help="The gate or state that is looked at.")] = "hidden",
    layer: Annotated[int, typer.Option(help="Its layer; -1 for the last.")] = -1,
    threshold: Annotated[float, typer.Option(help="A unit is on above this.")] = 0.3,
    off_before: Annotated[
        bool, typer.Option("--off-before", help="Only units that are off just before.")
    ] = False,
    off_after: Annotated[
        bool, typer.Option("--off-after", help="Only units that are off just after.")
    ] = False,
    k: Annotated[int, typer.Option("-k", help="How many places.", min=1)] = 10,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find where the units that are on over a few words are on together elsewhere.

    The first search in a text reads it through the model and keeps what is on; later ones, for any
    words, take seconds.
    """
    import json

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from carousel.errors import SettingsError
    from carousel.lens.state_search import index_states
    from carousel.model import LanguageModel
    from carousel.text.files import find_files

    numbers = words.split(":")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise SettingsError(f"--words {words!r} is no stretch: write FIRST:LAST, as 3:6")
    stretch = (int(numbers[0]), int(numbers[-1]))
    opened = LanguageModel.load(model)
    found_files = find_files(in_)
    screen = Console(stderr=True)
    with Progress(
        TextColumn("reading"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} tokens"),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    ) as bars:
        task = bars.add_task("", total=None)
        index = index_states(
            opened,
            found_files,
            name=name,
            layer=layer,
            threshold=threshold,
            on_progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    found = index.find_phrase(text, stretch, off_before=off_before, off_after=off_after, k=k)
    if json_:
        print(json.dumps(found.table()))
        return
    console = Console()
    listed = ", ".join(map(str, found.units[:20])) + (" ..." if len(found.units) > 20 else "")
    console.print(
        f"{len(found.units)} units of {index.point} above {threshold:g}: {listed}\n"
        f"All on together at {found.together:,} of {len(index.ids):,} tokens\n",
        highlight=False,
        soft_wrap=True,
    )
    gap = " " if opened.tokenizer.kind in ("words", "whitespace") else ""
    for place in found.places:
        head = f"{len(place.units):>3} on for {place.length:>3}, line {place.line:>7,}  "
        console.print(
            Text.assemble(head, (place.before + gap, "dim"), (_shorten(place.text), "bold"),
                          (gap + place.after, "dim")),
            soft_wrap=True,
        )  # fmt: skip


def _shorten(text: str) -> str:
    """A long text's start and end."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
