"""Clamps as they are written on a command line: ``forget=1@friend``."""

from __future__ import annotations

from collections.abc import Sequence

from carousel.errors import LensError
from carousel.lens.clamp import Clamp, How


def parse_clamp(text: str, words: Sequence[str] = ()) -> Clamp:
    """The clamp that ``forget=1@friend`` writes.

    ``GATE[:UNITS]OP[@WHERE]``: a gate (``forget`` or ``layers.1.forget``); units as ``3,7`` or
    ``3-9``; ``=VALUE`` to set, ``*FACTOR`` to scale, ``~TARGET:STRENGTH`` to move toward a target;
    and where, with commas between: words, positions (``3``; the line start is 0) and ranges of
    positions (``5-8``). Every word if left out. A word in quotation marks is a word, whatever it
    looks like: ``forget=0@'5'``.

    Args:
        text: what was written.
        words: the words of the text that it is for: a number that is also one of them is refused,
            as it can mean both.

    Raises:
        LensError: it is not written so.

    >>> clamp = parse_clamp("forget=1@friend")
    >>> clamp.name, clamp.value, clamp.how, clamp.at
    ('forget', 1.0, 'set', ['friend'])
    >>> parse_clamp("forget~1:0.5@5-8").at
    [5, 6, 7, 8]
    """
    setting, at_sign, where = text.partition("@")
    gate, sign, number = _split_setting(setting)
    name, colon, unit_text = gate.strip().partition(":")
    target, strength_colon, strength = number.partition(":")
    try:
        value = float(target)
        if not sign or not name or (sign == "~") != bool(strength_colon):
            raise ValueError
        how: How = {"=": "set", "*": "scale", "~": "toward"}[sign]  # type: ignore[assignment]
        units = [unit for part in unit_text.split(",") for unit in _range(part)] if colon else None
        amount = float(strength) if strength_colon else 1.0
    except ValueError:
        raise LensError(
            f"{text!r} is no clamp: write GATE=VALUE@WORD, as forget=1@friend, GATE*FACTOR@WORD, "
            f"or GATE~TARGET:STRENGTH@WORD"
        ) from None
    if not at_sign:
        return Clamp(name, value, how, units=units, strength=amount)
    places = [place.strip() for place in where.split(",")]
    if not all(places):
        raise LensError(
            f"{text!r} names no word after the @ or between commas; without @ every word is held"
        )
    at = [place for written in places for place in _parse_place(written, words)]
    return Clamp(name, value, how, at=at, units=units, strength=amount)


def _split_setting(setting: str) -> tuple[str, str, str]:
    for sign in "=~*":
        gate, written, number = setting.partition(sign)
        if written:
            return gate, sign, number
    return setting, "", ""


def _range(written: str) -> list[int]:
    """``7`` or ``5-8`` as whole numbers."""
    first, dash, last = written.strip().partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError
    numbers = list(range(int(first), int(last or first) + 1))
    if not numbers:
        raise ValueError
    return numbers


def _parse_place(written: str, words: Sequence[str]) -> list[str | int]:
    if len(written) > 2 and written[0] == written[-1] and written[0] in "'\"":
        return [written[1:-1]]
    try:
        numbers = _range(written)
    except ValueError:
        return [written]
    if written in words:
        raise LensError(
            f"{written} is a position and a word of the text: write '{written}' in quotation marks "
            f"for the word, or {written}-{written} for the position"
        )
    return list(numbers)
