"""The names of what a trace holds: gates, states, and what is made of them."""

from __future__ import annotations

import difflib

from carousel.cells import CELLS, Cell
from carousel.errors import LensError
from carousel.storage.config import Config

DERIVED = ("keep", "write")
"""``keep`` is what stays of the memory (``f ⊙ c_{t-1}``; GRU ``z ⊙ h_{t-1}``), ``write`` what is
added to it (``i ⊙ g``; GRU ``(1 - z) ⊙ n``)."""


def cell_of(config: Config) -> Cell:
    """The cell of a model: what its gates are called, which one keeps, whether it has a belt."""
    return CELLS[config.cell]


def full_names(config: Config) -> list[str]:
    """The names of every gate and state of every layer: ``layers.0.f``, ``layers.0.i``, ..."""
    names = cell_of(config).names
    return [f"layers.{layer}.{name}" for layer in range(config.layers) for name in names]


def find_full_name(config: Config, name: str | tuple[str, int]) -> str:
    """The full name (``layers.0.f``) that ``"layers.0.forget"`` or ``("forget", 0)`` means.

    A bare ``"forget"`` is enough for a model of one layer.

    Raises:
        LensError: no such gate or layer; it lists those that there are.
    """
    if isinstance(name, tuple):
        short, layer = name
    elif not isinstance(name, str):
        raise LensError(f"a gate or state is named like trace['forget'], not trace[{name!r}]")
    elif name.startswith("layers."):
        number, _, short = name.removeprefix("layers.").partition(".")
        if not number.isdecimal():
            raise LensError(f"{name!r} names no layer; gates are named like layers.0.f")
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
    names = cell_of(config).names
    derived = DERIVED if cell_of(config).has_belt else ()
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
    positions = [position for position, other in enumerate(words) if other == word]
    if not positions:
        there = list(dict.fromkeys(words))
        if len(there) > 30:
            there = difflib.get_close_matches(word, there, n=5, cutoff=0.4) or there[:10]
        raise LensError(f"{word!r} is not a word of {text}; there are {', '.join(there)}")
    return positions
