"""Colours: one palette for every picture, and one colour for each gate, state and word.

All colours of meaning are Okabe and Ito's ("Color Universal Design", 2008), which people tell apart
with any kind of colour vision. Texts, lines and grounds have a light and a dark variant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

ORANGE, SKY, GREEN, PINK = "#E69F00", "#56B4E9", "#009E73", "#CC79A7"
VERMILION, BLUE, YELLOW, GREY = "#D55E00", "#0072B2", "#F0E442", "#777777"

COLOURS = {
    "forget": VERMILION,
    "input": GREEN,
    "candidate": PINK,
    "output": BLUE,
    "state": ORANGE,
    "hidden": SKY,
    "positive": VERMILION,
    "negative": BLUE,
    "luggage-0": ORANGE,
    "luggage-1": SKY,
    "luggage-2": GREEN,
    "luggage-3": PINK,
    "luggage-4": VERMILION,
    "luggage-5": BLUE,
    "luggage-6": YELLOW,
}
"""Every colour of meaning by its name."""
LUGGAGE_COLOURS = 7
"""How many colours words can have; more words share them."""
LIGHT = {
    "ink": "#1F2328",
    "dim": "#59636E",
    "line": "#D0D7DE",
    "soft": "#F0F2F5",
    "ground": "#FFFFFF",
}
DARK = {
    "ink": "#E6EDF3",
    "dim": "#9198A1",
    "line": "#3D444D",
    "soft": "#1B222B",
    "ground": "#0D1117",
}
GATE_COLOURS = {
    "f": "forget", "i": "input", "g": "candidate", "o": "output", "r": "candidate", "z": "forget",
    "n": "input", "c": "state", "h": "hidden",
}  # fmt: skip
"""The name of the colour of each gate and state, by short name."""


def word_colours(words: Iterable[str], focus: Sequence[str] = ()) -> dict[str, str]:
    """A colour for each word, the same wherever the word stands.

    Args:
        words: the words of all texts that are shown together.
        focus: the words that stand out; each has a colour that no other word has.

    Returns:
        The name of a colour in ``COLOURS`` by word.

    >>> word_colours(["krish", "likes", "pizza"], focus=["pizza"])
    {'pizza': 'luggage-0', 'krish': 'luggage-1', 'likes': 'luggage-2'}
    """
    focused = list(dict.fromkeys(focus))[: LUGGAGE_COLOURS - 2]
    colours = {word: f"luggage-{number}" for number, word in enumerate(focused)}
    shared = range(len(focused), LUGGAGE_COLOURS)
    others = [word for word in dict.fromkeys(words) if word not in colours]
    for number, word in enumerate(others):
        colours[word] = f"luggage-{shared[number % len(shared)]}"
    return colours


def text_colour_on(name: str) -> str:
    """The colour of text on a filled shape: white on the darkest colour, else black.

    >>> text_colour_on("output"), text_colour_on("state")
    ('#FFFFFF', '#000000')
    """
    return "#FFFFFF" if COLOURS.get(name) == BLUE else "#000000"
