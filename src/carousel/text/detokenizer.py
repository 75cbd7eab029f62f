"""Words and marks back into text, with the spaces a person would write."""

from __future__ import annotations

from collections.abc import Sequence

NO_SPACE_BEFORE = frozenset(",.!?;:)]}%…'»")
NO_SPACE_AFTER = frozenset("([{$#@«¿¡")
JOINING = frozenset("-/_")
"""Marks that take no space on either side: well-known, and/or."""


def join_words(tokens: Sequence[str]) -> str:
    """Join the tokens of a line: ``he does n't , "`` and the like become natural text.

    Cutting the result into tokens again gives the same tokens.
    """
    text = ""
    before = ""
    quote_open = False
    for number, token in enumerate(tokens):
        closing = token == '"' and quote_open
        glued = (
            not before
            or token in NO_SPACE_BEFORE
            or token in JOINING
            or before in NO_SPACE_AFTER
            or before in JOINING
            or closing
            or (before == '"' and quote_open)
            or _inside_number(tokens, number)
        )
        text += token if glued else " " + token
        if token == '"':
            quote_open = not quote_open
        before = token
    return text


def _inside_number(tokens: Sequence[str], at: int) -> bool:
    """Whether a token continues a number such as 3.14, 10,000 or 12:30."""
    return (
        at >= 2
        and tokens[at - 1] in (".", ",", ":")
        and tokens[at].isdecimal()
        and tokens[at - 2].isdecimal()
    )
