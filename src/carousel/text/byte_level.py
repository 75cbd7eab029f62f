"""The byte-level alphabet of byte pairs: which bytes a token stands for, and where characters end.

A token of byte-pair encoding is written with one printable letter a byte (Radford et al. 2019,
"Language models are unsupervised multitask learners", section 2.2). A character of UTF-8 has up to
four bytes, so a token can end within a character.
"""

from __future__ import annotations

import codecs
from functools import lru_cache


@lru_cache(maxsize=1)
def byte_of_letter() -> dict[str, int]:
    """The byte that each letter of the alphabet stands for: printable bytes stand for themselves.

    >>> byte_of_letter()["A"], byte_of_letter()["Ġ"]
    (65, 32)
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def token_bytes(token: str) -> bytes:
    """The bytes that a token of byte pairs stands for; of any other token its UTF-8.

    >>> token_bytes("Ġcaf"), token_bytes("<unk>")
    (b' caf', b'<unk>')
    """
    alphabet = byte_of_letter()
    if all(letter in alphabet for letter in token):
        return bytes(alphabet[letter] for letter in token)
    return token.encode()


def split_partial(data: bytes) -> tuple[str, bytes] | None:
    r"""Split bytes into whole characters and the beginning of a character that is cut off.

    Returns:
        The text, and the bytes at the end (b"" if none); None where the bytes are not UTF-8.

    >>> split_partial("né".encode()[:2])
    ('n', b'\xc3')
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(data)
    except UnicodeDecodeError:
        return None
    partial = decoder.getstate()[0]
    # Python takes the beginning of a surrogate for that of a character, and no end of it.
    return None if b"\xed\xa0" <= partial < b"\xee" else (text, partial)
