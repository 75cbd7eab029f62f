"""A vocabulary that grows: the new words of a text, after those that a model knows."""

from __future__ import annotations

import json
from collections.abc import Iterable

from carousel.errors import SettingsError
from carousel.text.tokenizer import Tokenizer
from carousel.text.vocabulary import train_tokenizer


def extend_tokenizer(
    tokenizer: Tokenizer,
    pieces: Iterable[str],
    *,
    min_count: int = 1,
    vocab_size: int | None = None,
) -> Tokenizer:
    """A tokenizer that also knows the tokens of a text. Known tokens keep their ids.

    Args:
        tokenizer: the one to extend, of words, white space or characters.
        pieces: the text, in pieces of whole lines.
        min_count: how often a new token must occur in the text.
        vocab_size: the most tokens of the new vocabulary; the most frequent new ones are taken.

    Raises:
        SettingsError: a tokenizer of byte pairs, which knows every word.
        TextError: a text without a single token.

    >>> from carousel.text.tokenizer import END_OF_LINE, UNKNOWN, make_tokenizer
    >>> small = make_tokenizer("words", [UNKNOWN, END_OF_LINE, "krish", "likes"])
    >>> extend_tokenizer(small, ["krish likes pizza"]).tokens()
    ['<unk>', '<eos>', 'krish', 'likes', 'pizza']
    """
    if tokenizer.kind == "bpe":
        raise SettingsError("extend_vocab: byte pairs know every word already: leave it out")
    of_text = train_tokenizer(
        tokenizer.kind, pieces, lowercase=tokenizer.lowercase, min_count=min_count
    )
    # A tokenizer of another library may take out characters, or cut in other places.
    new = [
        token
        for token in of_text.tokens()
        if tokenizer.id(token) is None and tokenizer.encode(token) == [tokenizer.unknown_id]
    ]
    if vocab_size is not None:
        new = new[: max(0, vocab_size - tokenizer.vocab_size)]
    table = json.loads(tokenizer.to_json())
    for token in new:
        table["model"]["vocab"][token] = len(table["model"]["vocab"])
    extended = Tokenizer.from_json(json.dumps(table))
    extended.forms = tokenizer.forms
    return extended
