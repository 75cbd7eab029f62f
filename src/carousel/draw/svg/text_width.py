"""How wide text is, without a font at hand: widths that no usual sans-serif font exceeds."""

from __future__ import annotations


def text_width(words: str, size: float = 13, *, bold: bool = False) -> float:
    """How wide a line of text is at most, in pixels, in the usual sans-serif fonts.

    Args:
        words: the text.
        size: the font's size in pixels.
        bold: whether it is bold.
    """
    wide = sum(_width(char) for char in words) * size
    return wide * 1.13 if bold else wide


def fit(words: str, width: float, size: float = 13, *, bold: bool = False) -> str:
    """``words``, or as much of their beginning as fits ``width`` pixels, with an ellipsis.

    >>> fit("unhappiness", 60)
    'unhap…'
    """
    if text_width(words, size, bold=bold) <= width:
        return words
    for end in range(len(words) - 1, 0, -1):
        if text_width(words[:end] + "…", size, bold=bold) <= width:
            return words[:end] + "…"
    return "…"


def _width(char: str) -> float:
    # DejaVu Sans, the widest of the fonts asked for.
    if char in "iljI.,:;'|!":
        return 0.4
    if char in "mwMW@%":
        return 1.0
    if "a" <= char <= "z" or char in " ()-/":
        return 0.645
    if char.isascii():
        return 0.84 if char in "+=<>~^#&" else 0.8 if char.isupper() else 0.65
    return 1.3 if ord(char) > 0x1F000 else 1.05


def wrap(words: str, width: float, size: float = 13, *, bold: bool = False) -> list[str]:
    """The lines that ``words`` take within ``width`` pixels, broken at spaces.

    A single word that is wider is cut short.

    >>> wrap("a caption that is long", 90)
    ['a caption', 'that is', 'long']
    """
    lines: list[str] = []
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, bold=bold) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [fit(line, width, size, bold=bold) for line in lines]
