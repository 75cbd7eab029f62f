"""Types of arguments and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from carousel.pretrained import pretrained_models


class Number(click.ParamType[float]):
    """A number, whole or not, with a least value."""

    def __init__(self, *, whole: bool = False, minimum: float | None = None) -> None:
        self.name = "whole number" if whole else "number"
        self.convert_to: type[int] | type[float] = int if whole else float
        self.minimum = minimum

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Return the number that ``value`` writes."""
        try:
            number = self.convert_to(value)
        except ValueError:
            self.fail(f"{value!r} is not a {self.name}", parameter, context)
        if self.minimum is not None and not number >= self.minimum:
            self.fail(f"it must be at least {self.minimum}, not {number}", parameter, context)
        return number

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows as the value."""
        return "N" if self.convert_to is int else "X"


class Text(click.ParamType[str]):
    """Text for a model. Bytes that are not UTF-8 are refused; in names of files they may stand."""

    name = "text"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        """Return ``value``, if it is UTF-8."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not UTF-8", parameter, context)
        return text


class RunFolderPath(click.Path):
    """A model folder with a training run: its name must be UTF-8, as the checkpoints' reader asks.

    Refused is a name before training, and not after hours of it.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        return super().convert(TEXT.convert(os.fsdecode(value), param, ctx), param, ctx)


class ModelName(click.ParamType[str]):
    """A model folder, or the name of a model that comes with Carousel; completed as both."""

    name = "model"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the models that come with Carousel, and let the shell add folders."""
        names = [name for name in pretrained_models() if name.startswith(incomplete)]
        return [*map(CompletionItem, names), CompletionItem(incomplete, type="dir")]


MODEL = ModelName()
TEXT = Text()
WHOLE = Number(whole=True)
COUNT = Number(whole=True, minimum=1)
NUMBER = Number()
PATH = click.Path(path_type=Path)
RUN_FOLDER = RunFolderPath()

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
force = click.option("--force", is_flag=True, help="Replace a model that is there.")
model_option = click.option(
    "--model", type=MODEL, metavar="DIR", help="The model. All other arguments are text."
)
adapt_option = click.option(
    "--adapt",
    type=click.Choice(["cache", "dynamic"]),
    help="Adapt to the text that is read: remember its last words (cache), or learn from it "
    "(dynamic, which needs PyTorch). The model itself stays as it is.",
)
block_option = click.option(
    "--block",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="Words never to suggest: a text file with a word a line.",
)
TEXT_FILE_OPTIONS = (
    click.option(
        "--encoding",
        type=TEXT,
        metavar="NAME",
        default="utf-8",
        show_default=True,
        help="The encoding of the text files, such as cp1252 or utf-16.",
    ),
    click.option(
        "--encoding-errors",
        type=click.Choice(["strict", "replace"]),
        default="strict",
        show_default=True,
        help="What to do with bytes that can't be read: stop, or put U+FFFD in their place.",
    ),
    click.option(
        "--skip-bad-files",
        is_flag=True,
        help="Continue without the files that can't be read as text.",
    ),
)


def text_file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how text files are read."""
    for option in reversed(TEXT_FILE_OPTIONS):
        command = option(command)
    return command


text_files = click.Path(allow_dash=True)
