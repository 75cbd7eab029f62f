"""How a model's lower-case words are written: ``truecase.json`` in a model folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from carousel.errors import FolderError
from carousel.storage.strict_json import parse_json
from carousel.text.printable import printable_text
from carousel.text.tokenizer import Tokenizer
from carousel.text.truecase import lowered

TRUECASE_FILE = "truecase.json"
FORMAT_VERSION = 1
SURROGATE = re.compile("[\ud800-\udfff]")


def forms_to_json(forms: Mapping[str, str]) -> str:
    """The text of a ``truecase.json`` for forms with capitals, by the word in lower case."""
    table = {"format": FORMAT_VERSION, "forms": list(forms.values())}
    return json.dumps(table, ensure_ascii=False, indent=0) + "\n"


def parse_forms(text: str | bytes, tokenizer: Tokenizer, where: str) -> dict[str, str]:
    """The forms with capitals that a ``truecase.json`` lists, by the word in lower case.

    Args:
        text: the file's content.
        tokenizer: the model's tokenizer.
        where: what an error calls the file.

    Raises:
        FolderError: not JSON, of another format, or a form is not a word of the model.
    """
    table = parse_json(text, where)
    if not isinstance(table, dict) or table.get("format") != FORMAT_VERSION:
        raise FolderError(f"{where} is not of format {FORMAT_VERSION}")
    forms = table.get("forms")
    if table.keys() != {"format", "forms"} or not isinstance(forms, list):
        raise FolderError(f"{where} must hold a list of forms")
    if not tokenizer.lowercase or tokenizer.kind != "words":
        raise FolderError(f"{where}: the model's tokens are not words in lower case")
    by_word = {lowered(form): form for form in forms if isinstance(form, str)}
    if len(by_word) != len(forms):
        raise FolderError(f"{where}: a form is no text, or a word has two")
    for word, form in by_word.items():
        # A half of a surrogate pair can be in JSON, and in no word.
        if SURROGATE.search(form) or tokenizer.id(word) is None:
            raise FolderError(f"{where}: {printable_text(form[:40])!r} is no word of the model")
    return by_word
