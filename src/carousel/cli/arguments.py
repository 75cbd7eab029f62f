"""Which of a command's arguments is the model and which the text."""

from __future__ import annotations

import sys
from pathlib import Path

from carousel.errors import SettingsError, TextError
from carousel.model import LanguageModel
from carousel.pretrained import pretrained_models


def open_model(arguments: list[str]) -> tuple[LanguageModel, str | None]:
    """``[MODEL] [TEXT]``: one argument alone is a model where it names one, else the text.

    Text that is not given comes from standard input; None where that is a terminal.

    Raises:
        FolderError, SettingsError, TextError: in one line.
    """
    if len(arguments) > 2:
        raise SettingsError(
            f"give a model and a text; the text goes in quotation marks: {arguments[1]!r} ..."
        )
    name: str | None = None
    text: str | None = None
    if len(arguments) == 2:
        name, text = arguments
    elif arguments and names_model(arguments[0]):
        name = arguments[0]
    elif arguments:
        text = arguments[0]
    model = LanguageModel.load(name)
    if text is None and not sys.stdin.isatty():
        text = read_text()
    return model, text


def open_texts(arguments: list[str]) -> tuple[LanguageModel, list[str]]:
    """``[MODEL] TEXT [TEXT]``: the first argument is a model where it names one.

    One text that is not given comes from standard input.

    Raises:
        FolderError, SettingsError, TextError: in one line.
    """
    name = (
        arguments[0] if len(arguments) == 3 or (arguments and names_model(arguments[0])) else None
    )
    texts = arguments if name is None else arguments[1:]
    if len(texts) > 2:
        raise SettingsError(
            f"give a model and one text or two, each in quotation marks: {texts[0]!r} ..."
        )
    model = LanguageModel.load(name)
    return model, texts or [_piped("give a text to explain, in quotation marks")]


def open_models(arguments: list[str]) -> tuple[dict[str, LanguageModel], str]:
    """``MODEL MODEL ... TEXT``: models by name, and one text, from standard input if not given.

    Raises:
        FolderError, SettingsError, TextError: in one line.
    """
    *names, last = arguments or [""]
    text: str | None = last
    if arguments and names_model(last):
        names, text = arguments, None
    if len(names) < 2:
        raise SettingsError("give two models or more, and a text in quotation marks")
    made: dict[str, LanguageModel] = {}
    for name in names:
        shown = Path(name).name or name
        made[name if shown in made else shown] = LanguageModel.load(name)
    if len(made) < len(names):
        raise SettingsError("the same model twice: give different ones")
    return made, _piped("give a text to compare them on") if text is None else text


def names_model(argument: str) -> bool:
    """Whether an argument is a model's name or folder, and not a text."""
    return argument in pretrained_models() or "/" in argument or Path(argument).exists()


def read_text() -> str:
    """Standard input as one text.

    Raises:
        TextError: it is not UTF-8.
    """
    try:
        return sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise TextError(
            f"standard input is not UTF-8 text: byte {error.start} can't be read"
        ) from None


def _piped(wanted: str) -> str:
    if sys.stdin.isatty():
        raise SettingsError(wanted)
    return read_text()
