"""Scripts that are written without spaces between words."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

UNSPACED = {
    "CJK": "Chinese or Japanese",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "THAI": "Thai",
    "LAO": "Lao",
    "KHMER": "Khmer",
    "MYANMAR": "Burmese",
    "TIBETAN": "Tibetan",
}
"""Scripts without spaces between words, as Unicode's names of characters call them."""


def script_of(character: str) -> str:
    """The first word of a character's name, which is the script's for letters.

    >>> script_of("ж"), script_of("我")
    ('CYRILLIC', 'CJK')
    """
    return unicodedata.name(character, "?").split(" ")[0]


@lru_cache(maxsize=4096)
def is_unspaced(character: str) -> bool:
    """Whether a character is a letter or mark of a script that puts no spaces between words.

    >>> is_unspaced("我"), is_unspaced("a")
    (True, False)
    """
    return script_of(character) in UNSPACED and unicodedata.category(character)[0] in "LM"
