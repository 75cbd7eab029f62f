"""How tokens of characters and byte pairs spell words: which can begin one, which can go on.

A token of byte pairs may end within a character of UTF-8. The bytes of a character that is not
whole yet are called ``pending`` here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from carousel.text.byte_level import split_partial, token_bytes
from carousel.text.tokenizer import MID_LETTER, Tokenizer

LETTER_SIGNS = frozenset(MID_LETTER) | {"\N{RIGHT SINGLE QUOTATION MARK}"}
"""Signs that can stand within a word."""


class Alphabet:
    """The tokens of a model of characters or byte pairs, as the bytes that they stand for.

    Masks are ``[V]`` of bool, and made once.

    Args:
        tokenizer: a tokenizer of ``chars`` or ``bpe``.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        byte_pairs = tokenizer.kind == "bpe"
        self.eol_id = tokenizer.eol_id
        tokens = tokenizer.tokens()
        self.surfaces = [token_bytes(t) if byte_pairs else t.encode() for t in tokens]
        """The bytes of each token."""
        self.spaced = np.array([surface[:1] == b" " for surface in self.surfaces])
        """The tokens that begin with a space."""
        self.special = np.arange(len(tokens)) <= self.eol_id
        self._masks: dict[tuple[str, bytes], np.ndarray] = {}

    def begin(self, *, spaced: bool) -> np.ndarray:
        """The tokens that can begin a word: with the space before it, or that alone, or without."""

        def begins(surface: bytes) -> bool:
            if (surface[:1] == b" ") != spaced:
                return False
            return surface == b" " or _spells(surface.removeprefix(b" "), first=True)

        return self._mask("spaced" if spaced else "begin", b"", begins)

    def go_on(self, pending: bytes) -> np.ndarray:
        """The tokens that can go on with a word."""
        return self._mask("go on", pending, lambda surface: _spells(pending + surface))

    def valid(self, pending: bytes) -> np.ndarray:
        """The tokens after which the text is UTF-8; the end of a line where nothing is pending."""
        mask = self._mask(
            "valid", pending, lambda surface: split_partial(pending + surface) is not None
        )
        if not pending:
            mask = mask.copy()
            mask[self.eol_id] = True
        return mask

    def _mask(self, name: str, pending: bytes, test: Callable[[bytes], bool]) -> np.ndarray:
        key = (name, pending)
        if key not in self._masks:
            self._masks[key] = np.array(
                [
                    # Within a character only bytes from 0x80 on can follow.
                    not special and (not pending or surface[:1] >= b"\x80") and test(surface)
                    for special, surface in zip(self.special, self.surfaces, strict=True)
                ]
            )
        return self._masks[key]


@lru_cache(maxsize=8)
def alphabet_of(tokenizer: Tokenizer) -> Alphabet:
    """The alphabet of a tokenizer; made once for each."""
    return Alphabet(tokenizer)


def pending_bytes(data: bytes) -> bytes:
    """The bytes of a character that is not whole yet, at the end of ``data``."""
    split = split_partial(data)
    return b"" if split is None else split[1]


def _spells(data: bytes, *, first: bool = False) -> bool:
    """Whether bytes are letters, or the beginning of one; a word begins with a letter."""
    split = split_partial(data)
    if not data or split is None:
        return False
    text, pending = split
    if not all(map(_is_letter, text)) or (first and text and not text[0].isalpha()):
        return False
    return not pending or _begins_letters(pending)


def _is_letter(character: str) -> bool:
    """Whether a character belongs to words: a letter, a mark, a joiner, an inner apostrophe."""
    category = unicodedata.category(character)
    joins = category == "Cf" and character != "\u200b"
    return category[0] in "LM" or joins or character in LETTER_SIGNS


@lru_cache(maxsize=1024)
def _begins_letters(pending: bytes) -> bool:
    """Whether most characters that begin with these bytes are letters or marks."""
    lead = pending[0]
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    value = lead & (0xFF >> (size + 1))
    for byte in pending[1:]:
        value = value << 6 | byte & 0x3F
    span = 64 ** (size - len(pending))
    codes = range(value * span, min((value + 1) * span, 0x110000))
    categories = [unicodedata.category(chr(code))[0] for code in codes]
    assigned = sum(category != "C" for category in categories)
    return sum(category in "LM" for category in categories) * 2 > assigned
