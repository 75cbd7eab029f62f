"""Which of a command's arguments is the model and which the text."""

from __future__ import annotations

import sys
from pathlib import Path

from carousel.errors import SettingsError, TextError
from carousel.model import LanguageModel, shipped_models


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
    elif arguments:
        only = arguments[0]
        if Path(only).exists() or only in shipped_models() or "/" in only:
            name = only
        else:
            text = only
    model = LanguageModel.load(name)
    if text is None and not sys.stdin.isatty():
        try:
            text = sys.stdin.read().removesuffix("\n")
        except UnicodeDecodeError as error:
            raise TextError(
                f"standard input is not UTF-8 text: byte {error.start} can't be read"
            ) from None
    return model, text
