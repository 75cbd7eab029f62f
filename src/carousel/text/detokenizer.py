"""Words and marks back into text, with the spaces that a person would write."""

from __future__ import annotations

from collections.abc import Sequence

NO_SPACE_BEFORE = frozenset(",.!?;:)]}%…'»")
NO_SPACE_AFTER = frozenset("([{$#@«¿¡")
JOINING = frozenset("-/_")
"""Marks that take no space on either side: well-known, and/or."""


def detokenize(tokens: Sequence[str]) -> str:
    """Join the tokens of a line with natural spacing.

    Cutting the result into tokens again gives the same tokens.

    >>> detokenize(['"', 'yes', ',', '"', 'he', 'said', '(', 'twice', ')', '.'])
    '"yes," he said (twice).'
    """
    text = ""
    previous = ""
    quote_open = False
    for position, token in enumerate(tokens):
        closing = token == '"' and quote_open
        joined = (
            not previous
            or token in NO_SPACE_BEFORE
            or token in JOINING
            or previous in NO_SPACE_AFTER
            or previous in JOINING
            or closing
            or (previous == '"' and quote_open)
            or _inside_number(tokens, position)
        )
        text += token if joined else " " + token
        if token == '"':
            quote_open = not quote_open
        previous = token
    return text


def _inside_number(tokens: Sequence[str], position: int) -> bool:
    """Whether a token continues a number such as 3.14, 10,000 or 12:30."""
    return (
        position >= 2
        and tokens[position - 1] in (".", ",", ":")
        and tokens[position].isdecimal()
        and tokens[position - 2].isdecimal()
    )
