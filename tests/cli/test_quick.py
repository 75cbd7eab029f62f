"""Values that are what they should be are taken as they are; typer still checks the others."""

import enum
from pathlib import Path
from typing import Annotated

import pytest
import typer

from carousel.cli.quick import QuickCommand


class Colour(enum.StrEnum):
    RED = "red"


def make(cls):
    """A command line of one command that tells what it was given."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    told = []

    @app.command(cls=cls)
    def show(
        words: Annotated[list[str] | None, typer.Argument()] = None,
        k: Annotated[int, typer.Option("-k", min=0, max=9)] = 5,
        share: float = 0.5,
        path: Path = Path("x"),
        colour: Colour = Colour.RED,
        name: str | None = None,
        more: Annotated[list[str] | None, typer.Option()] = None,
        numbers: Annotated[list[int] | None, typer.Option()] = None,
        flag: bool = False,
    ) -> None:
        told.append((words, k, share, path, colour, name, more, numbers, flag))

    return app, told


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a b c",
        "1 -k 3",
        "-k 9 --share 2 --path a/b --colour red",
        "--name n --more a --more 2 --flag",
        "--numbers 1 --numbers 2 w",
        "-k 10",
        "-k x",
        "--share x",
        "--colour blue",
        "--numbers x",
        "--name",
    ],
)
def test_as_typer_does_it(line):
    outcomes = []
    for cls in (typer.core.TyperCommand, QuickCommand):
        app, told = make(cls)
        try:
            app(line.split(), standalone_mode=False)
        except Exception as error:
            told.append(str(error))
        outcomes.append([(type(v), v) for v in told[0]] if told[0] is tuple else told)
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) == 1
