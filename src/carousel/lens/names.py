"""The names of what a trace holds: gates, states, and what is made of them."""

from __future__ import annotations

import difflib

from carousel.cells import CELLS, GRU, LSTM
from carousel.errors import LensError
from carousel.storage.config import Config

LSTM_NAMES = {
    "f": "forget",
    "i": "input",
    "g": "candidate",
    "o": "output",
    "c": "cell",
    "h": "hidden",
}
GRU_NAMES = {"r": "reset", "z": "update", "n": "candidate", "h": "hidden"}
RNN_NAMES = {"h": "hidden"}
DERIVED = ("keep", "write")
"""``keep`` is what stays of the memory (``f ⊙ c_{t-1}``; GRU ``z ⊙ h_{t-1}``), ``write`` what is
added to it (``i ⊙ g``; GRU ``(1 - z) ⊙ n``)."""


def names_of(config: Config) -> dict[str, str]:
    """Short name to long name of what a cell of this model makes, gates first."""
    cell = CELLS[config.cell]
    if isinstance(cell, LSTM):
        return LSTM_NAMES
    return GRU_NAMES if isinstance(cell, GRU) else RNN_NAMES


def gates_of(config: Config) -> tuple[str, ...]:
    """Short names of the values between 0 and 1."""
    return tuple(name for name in names_of(config) if name not in "gnch")


def memory_of(config: Config) -> str:
    """The short name of the state that is the memory: ``c``, or ``h`` where there is no belt."""
    return "c" if "c" in names_of(config) else "h"


def has_belt(config: Config) -> bool:
    """Whether the memory is a sum of what each word put on it (LSTM and GRU)."""
    return config.cell != "rnn"


def points_of(config: Config) -> list[str]:
    """Every point of a trace: ``layers.0.f``, ``layers.0.i``, ..."""
    return [f"layers.{layer}.{name}" for layer in range(config.layers) for name in names_of(config)]


def find_point(config: Config, name: str | tuple[str, int]) -> str:
    """The point that ``"layers.0.forget"``, ``"layers.0.f"`` or ``("forget", 0)`` means.

    A bare ``"forget"`` is enough for a model of one layer.

    Raises:
        LensError: no such gate or layer; it lists those that there are.
    """
    if isinstance(name, tuple):
        short, layer = name
    elif name.startswith("layers."):
        number, _, short = name.removeprefix("layers.").partition(".")
        if not number.isdecimal():
            raise LensError(f"{name!r} is no point; points are named like layers.0.f")
        layer = int(number)
    else:
        short, layer = name, 0
        if config.layers > 1:
            find_name(config, short)
            raise LensError(
                f"which layer's {name}? Say layers.0.{name} to layers.{config.layers - 1}.{name}"
            )
    return f"layers.{check_layer(config, layer)}.{find_name(config, short)}"


def find_name(config: Config, name: str) -> str:
    """The short name of a gate or state, or of what is derived from them.

    Raises:
        LensError: no such name in this cell.
    """
    names = names_of(config)
    derived = DERIVED if has_belt(config) else ()
    for short, long in names.items():
        if name in (short, long):
            return short
    if name in derived:
        return name
    known = [*(f"{long} ({short})" for short, long in names.items()), *derived]
    raise LensError(f"the {config.cell} cell has no {name!r}; there are {', '.join(known)}")


def check_layer(config: Config, layer: int) -> int:
    """``layer``, counted from the end where negative.

    Raises:
        LensError: there is no such layer.
    """
    if not -config.layers <= layer < config.layers:
        raise LensError(f"there is no layer {layer}; there are 0 to {config.layers - 1}")
    return layer % config.layers


def find_word(words: list[str], word: str, text: str = "the text") -> list[int]:
    """The positions of a word.

    Raises:
        LensError: it is not there; it lists the words that are, or the nearest of many.
    """
    found = [at for at, other in enumerate(words) if other == word]
    if not found:
        there = list(dict.fromkeys(words))
        if len(there) > 30:
            there = difflib.get_close_matches(word, there, n=5, cutoff=0.4) or there[:10]
        raise LensError(f"{word!r} is not a word of {text}; there are {', '.join(there)}")
    return found
