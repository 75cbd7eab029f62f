"""``carousel stories``."""

from __future__ import annotations

from pathlib import Path

import click

from carousel.cli.parameters import COUNT, PATH, Number
from carousel.cli.story_options import read_cast, read_kinds, story_options


@click.command()
@story_options
@click.option(
    "--count", type=COUNT, default=1000, show_default=True, help="How many stories, one a line."
)
@click.option(
    "--seed",
    type=Number(whole=True, minimum=0),
    default=0,
    show_default=True,
    help="Another seed tells other stories.",
)
@click.option(
    "--held-out",
    is_flag=True,
    help="Tell the facts that are never told without this flag: for tests.",
)
@click.option("--out", type=PATH, metavar="FILE", help="Write them there, not to the screen.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A JSON object a line: text, answer, rival, kind, and where the deciding word is.",
)
def stories(
    names: str | None,
    foods: str | None,
    kinds: str | None,
    count: int,
    seed: int,
    held_out: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write small stories in which an earlier word decides the last one: the answer is known.

    Train a model on them, and ask it for the last words of stories that it was never told.
    """
    from dataclasses import asdict

    from carousel.cli.output import print_line
    from carousel.storage.atomic import write_file
    from carousel.study.stories import tell_stories
    from carousel.text.printable import to_json

    told = tell_stories(
        count,
        seed=seed,
        kinds=read_kinds(kinds),
        held_out=held_out,
        cast=read_cast(names, foods),
    )
    lines = (
        to_json(asdict(story) | {"answer": story.answer}) if as_json else story.text
        for story in told
    )
    if out is None:
        for line in lines:
            print(line)
    else:
        write_file(out, "".join(line + "\n" for line in lines))
        print_line(f"Wrote {count:,} stories to {out}.")
