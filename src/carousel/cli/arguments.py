"""Which of a command's arguments is the model and which the text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from carousel.errors import SettingsError, TextError
from carousel.model import LanguageModel
from carousel.pretrained import ENGLISH, PRETRAINED, choose_model, pretrained_models

LONGEST_SHOWN = 40
"""Characters of an argument that an error shows."""


def open_model(
    arguments: Sequence[str], model_name: str | None = None
) -> tuple[LanguageModel, str | None]:
    """Open the model and find the text of ``[MODEL] [TEXT]``.

    Args:
        arguments: what was given. The first is the model if it is a model folder or a model that
            comes with Carousel. The text ``-`` is read from standard input, as is a text that is
            not given, unless that is a terminal.
        model_name: the value of ``--model``; all ``arguments`` are text then.

    Returns:
        The model, and the text or None.

    Raises:
        FolderError, SettingsError, TextError: in one line.
    """
    name, texts = split_model(arguments, model_name, most_texts=1)
    if texts:
        text: str | None = check_text(texts[0])
    else:
        text = None if sys.stdin.isatty() else read_text()
    return load_model(name, [text or ""]), text


def open_model_only(arguments: Sequence[str], model_name: str | None = None) -> LanguageModel:
    """Open the model of ``[MODEL]``, where texts come from a file.

    Raises:
        FolderError, SettingsError: in one line.
    """
    name, _ = split_model(arguments, model_name, most_texts=0)
    return load_model(name, [])


def open_texts(
    arguments: Sequence[str], model_name: str | None = None
) -> tuple[LanguageModel, list[str]]:
    """Open the model and find the texts of ``[MODEL] TEXT [TEXT]``.

    Raises:
        FolderError, SettingsError, TextError: in one line.
    """
    name, texts = split_model(arguments, model_name, most_texts=2)
    if texts:
        texts = [check_text(text) for text in texts]
    else:
        texts = [_read_piped("give a text to explain, in quotation marks")]
    return load_model(name, texts), texts


def open_models(
    arguments: Sequence[str], model_names: Sequence[str] = ()
) -> tuple[dict[str, LanguageModel], str]:
    """Open the models by name and find the text of ``MODEL MODEL ... [TEXT]``.

    Raises:
        FolderError, SettingsError, TextError: in one line.
    """
    names, texts = list(model_names), list(arguments)
    while not model_names and texts and is_model(texts[0]):
        names.append(texts.pop(0))
    if len(texts) > 1:
        raise SettingsError(
            f"{_shorten(texts[0])} is not a model: give two models or more, and one text in "
            "quotation marks"
        )
    if len(names) < 2:
        raise SettingsError("give two models or more, and a text in quotation marks")
    models: dict[str, LanguageModel] = {}
    for name in names:
        shown = Path(name).name or name
        models[name if shown in models else shown] = LanguageModel.load(name)
    if len(models) < len(names):
        raise SettingsError("the same model twice: give different ones")
    if not texts:
        return models, _read_piped("give a text to compare them on")
    return models, check_text(texts[0])


def split_model(
    arguments: Sequence[str], model_name: str | None, *, most_texts: int
) -> tuple[str | None, list[str]]:
    """Part ``[MODEL] TEXT ...`` into the model's name, or None for the default, and the texts.

    Raises:
        SettingsError: there are too many texts, or the first of them is no model.
    """
    name, texts = model_name, list(arguments)
    if name is None and texts and is_model(texts[0]):
        name = texts.pop(0)
    if len(texts) <= most_texts:
        return name, texts
    if name is None and len(texts) == most_texts + 1:
        missing = not _exists(texts[0])
        raise SettingsError(
            f"{_shorten(texts[0])} is not {'there' if missing else 'a model folder'}: give a "
            f"model folder, or one of {', '.join(pretrained_models())}; a text of several words "
            "goes in quotation marks"
        )
    if most_texts == 0:
        raise SettingsError(f"the texts come from a file: leave out {_shorten(texts[0])}")
    wanted = "one text" if most_texts == 1 else "one text or two, each"
    raise SettingsError(
        f"give a model and {wanted} in quotation marks: {_shorten(texts[0])} ... is not quoted"
    )


def is_model(argument: str) -> bool:
    """Return whether an argument is a model folder or a model that comes with Carousel."""
    if argument in pretrained_models():
        return True
    try:
        return (Path(argument) / "config.json").is_file()
    except (OSError, ValueError):
        # A text may be longer than a file's name can be.
        return False


def read_blocked(model: LanguageModel, path: str | None) -> list[str]:
    """Return the words of the file that ``--block`` names; none where it is not given.

    Raises:
        TextError: it can't be read, or a line holds more than a word.
    """
    if path is None:
        return []
    from carousel.predict.blocked_words import read_blocked_words

    return sorted(read_blocked_words(model.tokenizer, path).words)


def check_text(text: str) -> str:
    """Return ``text``, or what standard input holds if it is ``-``.

    Raises:
        TextError: it is not UTF-8.
    """
    if text == "-":
        return read_text()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = len(text[: error.start].encode())
        raise TextError(f"the text is not UTF-8: byte {at} can't be read") from None
    return text


def read_text() -> str:
    """Read standard input as one text, without the line break at its end.

    Raises:
        TextError: it is not in the encoding of standard input, which is UTF-8 nearly everywhere.
    """
    encoding = sys.stdin.encoding or "utf-8"
    # Every text of ASCII is UTF-8 too, and systems without a language name ASCII.
    encoding = "utf-8" if encoding.lower() in ("ascii", "us-ascii", "utf-8") else encoding
    try:
        text = sys.stdin.buffer.read().decode(encoding)
    except UnicodeDecodeError as error:
        raise TextError(
            f"standard input is not {encoding.upper()} text: byte {error.start} can't be read"
        ) from None
    return text.replace("\r\n", "\n").removesuffix("\n")


def load_model(name: str | None, texts: list[str]) -> LanguageModel:
    """Load the model of a name; where none was given, one that fits. Say where english answers."""
    if name is not None:
        return LanguageModel.load(name)
    chosen = choose_model(texts)
    if chosen == ENGLISH:
        print(f"carousel: {chosen} answers (--model chooses another)", file=sys.stderr)
    return LanguageModel.load(PRETRAINED / chosen)


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _read_piped(message: str) -> str:
    if sys.stdin.isatty():
        raise SettingsError(message)
    return read_text()


def _shorten(argument: str) -> str:
    return argument if len(argument) <= LONGEST_SHOWN else argument[:LONGEST_SHOWN] + "..."
