"""A ``tokenizer.json`` as transformers uses it, and as a model folder has it.

They differ in one token. What ends a line is called ``<eos>`` in a model folder, and is never
matched in a text: each line of a text is cut by itself. Transformers must find it in texts. So it
is called what it is there, a line break.
"""

from __future__ import annotations

import json
from typing import Any

from carousel.errors import ConvertError
from carousel.text.tokenizer import END_OF_LINE, Tokenizer

LINE_BREAK = "\n"


def to_transformers(tokenizer: Tokenizer) -> str:
    """The ``tokenizer.json`` for transformers."""
    table = json.loads(tokenizer.to_json())
    _rename(table, END_OF_LINE, LINE_BREAK)
    end_of_line = {"id": tokenizer.eol_id, "content": LINE_BREAK, "special": True}
    matched_anywhere = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    table["added_tokens"] = [end_of_line | matched_anywhere]
    return json.dumps(table)


def from_transformers(text: str, where: str = "tokenizer.json") -> Tokenizer:
    """The tokenizer of a ``tokenizer.json`` that ``to_transformers`` made.

    Args:
        text: the file's content.
        where: what an error calls the file.

    Raises:
        ConvertError: tokens were added to it.
        FolderError: it is another tokenizer.

    >>> from carousel.text.vocabulary import train_tokenizer
    >>> tokenizer = train_tokenizer("words", ["krish likes pizza"])
    >>> from_transformers(to_transformers(tokenizer)).tokens() == tokenizer.tokens()
    True
    """
    try:
        table = json.loads(text)
        added = [token["content"] for token in table["added_tokens"]]
        _rename(table, LINE_BREAK, END_OF_LINE)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ConvertError(f"{where} is not a tokenizer of a Carousel model") from None
    if added != [LINE_BREAK]:
        raise ConvertError(f"{where} has tokens that were added to it: a model folder can't")
    # Transformers puts the end of a line before each text, as in Carousel the model does,
    # and keeps here how it last padded and cut a batch.
    table |= dict.fromkeys(("post_processor", "padding", "truncation")) | {"added_tokens": []}
    return Tokenizer.from_json(json.dumps(table), where)


def _rename(table: dict[str, Any], old: str, new: str) -> None:
    vocab = table["model"]["vocab"]
    table["model"]["vocab"] = {new if token == old else token: id for token, id in vocab.items()}
