"""Where the tokens of a prompt stand in its text."""

from __future__ import annotations

from collections.abc import Sequence


def token_offsets(text: str, tokens: Sequence[str]) -> list[int]:
    """The place of each token in a text, in characters.

    A token that is not written so, such as an unknown word, stands where the one before it ended.

    >>> token_offsets("so he, too, orders", ["so", "he", ",", "too", ",", "orders"])
    [0, 3, 5, 7, 10, 12]
    """
    lowered, end = text.lower(), 0
    if len(lowered) != len(text):  # a few letters become two
        lowered = text
    offsets = []
    for token in tokens:
        start = lowered.find(token.lower(), end) if token else end
        start = end if start < 0 else start
        offsets.append(start)
        if lowered.startswith(token.lower(), start):
            end = start + len(token)
    return offsets
