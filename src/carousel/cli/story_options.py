"""Options that say what the stories tell of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from carousel.cli.parameters import TEXT

if TYPE_CHECKING:
    from carousel.study.stories import Cast

STORY_OPTIONS = (
    click.option(
        "--names",
        type=TEXT,
        metavar="NAME:HE,...",
        help="Whom the stories tell of, each with he or she: amir:he,bea:she.",
    ),
    click.option(
        "--foods", type=TEXT, metavar="FOOD,...", help="What is eaten in them: tea,milk,juice."
    ),
    click.option(
        "--kinds",
        type=TEXT,
        metavar="KIND,...",
        help="The kinds of stories: some of same, switch, return, habits and names.",
    ),
)


def story_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what the stories tell of."""
    for option in reversed(STORY_OPTIONS):
        command = option(command)
    return command


def read_kinds(kinds: str | None) -> Sequence[str]:
    """Return the kinds that ``--kinds`` names; all without it."""
    from carousel.study.stories import KINDS

    return KINDS if kinds is None else _split(kinds)


def read_cast(names: str | None, foods: str | None) -> Cast:
    """Return the cast that ``--names`` and ``--foods`` name.

    Raises:
        SettingsError: it can't be told of.
    """
    from carousel.study.stories import CAST, FOODS, NAMES, Cast

    if names is None and foods is None:
        return CAST
    people = [name.partition(":") for name in _split(names or "")]
    return Cast(
        NAMES if names is None else {name: pronoun for name, _, pronoun in people},
        FOODS if foods is None else _split(foods),
    )


def _split(words: str) -> list[str]:
    return [word.strip().lower() for word in words.split(",") if word.strip()]
