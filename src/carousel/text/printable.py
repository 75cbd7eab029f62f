"""Text from models, files and requests as it may be shown on a screen.

Such text is data. Control characters, terminal escapes and bidirectional overrides in it must not
act on the terminal that shows it.
"""

from __future__ import annotations

import json
import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
SIGNS = {"\t": "⇥", "\n": "⏎"}
"""How a tab and a line break are shown inside one word."""
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Format characters that belong to words and emoji. They act on their neighbours alone."""
MARKS = "\N{SOFT HYPHEN}\N{LEFT-TO-RIGHT MARK}\N{RIGHT-TO-LEFT MARK}\N{ARABIC LETTER MARK}"
"""Format characters of running text that show nothing and change no order of letters."""
NOT_ASCII = re.compile(r"[^ -~]")


def printable_word(word: str) -> str:
    r"""Return one token as it is shown: every character is visible and none acts on a terminal.

    Args:
        word: a token. A token of spaces alone is shown as ``␣``, a tab as ``⇥``, a line break as
            ``⏎``, and any other control character as U+FFFD.

    >>> printable_word("pizza"), printable_word(" "), printable_word("\x1b[31m")
    ('pizza', '␣', '�[31m')
    """
    if not word.strip(" "):
        return "␣" * len(word)
    return "".join(c if _is_safe(c) else SIGNS.get(c, REPLACEMENT) for c in word)


def printable_text(text: str) -> str:
    r"""Return running text as it is shown: line breaks, tabs and spaces stay as they are.

    >>> printable_text("one\ntwo\x07")
    'one\ntwo�'
    """
    return "".join(c if _is_safe(c) or c in "\n\t" else REPLACEMENT for c in text)


def to_json(data: Any, *, ascii_only: bool = False) -> str:
    r"""Return ``data`` as one line of JSON in which no character acts on a terminal.

    Args:
        data: what ``json.dumps`` takes.
        ascii_only: escape every character outside ASCII, for outputs that can't show them.

    Returns:
        JSON that reads back as the same data: what is not printable is escaped as ``\uXXXX``.

    >>> to_json({"word": "café\x9b"})
    '{"word": "café\\u009b"}'
    """
    text = json.dumps(data, ensure_ascii=ascii_only)
    return NOT_ASCII.sub(
        lambda found: found[0] if _is_safe(found[0]) else json.dumps(found[0])[1:-1], text
    )


def _is_safe(character: str) -> bool:
    return character.isprintable() or character in JOINERS or character in MARKS
