"""A gate's response curve: one text under many values of one clamp, read side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carousel.errors import LensError
from carousel.inference.model import RecurrentLM
from carousel.lens.clamp import Clamp, bind_clamp
from carousel.lens.effect import clamps_in_text
from carousel.lens.names import find_word
from carousel.lens.trace import trace_text
from carousel.softmax import softmax
from carousel.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Sweep:
    """What is predicted after a text, for each of ``S`` values of a clamp."""

    clamp: Clamp
    values: np.ndarray
    """``[S]``: the values, or the strengths of a clamp that moves a gate toward a target."""
    logits: np.ndarray
    """``[S, V]``: of the next word."""
    compared: tuple[str, str] | None
    difference: np.ndarray | None
    """``[S]``: ``logit(first) - logit(second)`` of the compared words."""

    @property
    def probabilities(self) -> np.ndarray:
        """``[S, V]``: of the next word."""
        return softmax(self.logits)


def sweep_clamp(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str,
    clamp: Clamp | str,
    values: Sequence[float] | np.ndarray,
    *,
    compare: tuple[str, str] | None = None,
) -> Sweep:
    """Read ``text`` once for each of ``values``, all side by side.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        text: the text.
        clamp: a clamp that sets, scales, or moves a gate toward a target; as text,
            ``"forget=1@friend"``.
        values: what takes the place of the clamp's value, or of its strength where it moves a gate
            toward a target.
        compare: two words whose difference in logits is measured.

    Raises:
        LensError: another kind of clamp, or what ``Clamp`` refuses.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> clamp = Clamp.toward("forget", 1.0, 1.0, at=range(5, 9))
    >>> text = "krish likes pizza but his friend likes burger so his friend orders"
    >>> words = ("burger", "pizza")
    >>> sweep = sweep_clamp(lm.model, lm.tokenizer, text, clamp, [0, 0.5, 1], compare=words)
    >>> (sweep.difference > 0).tolist()
    [True, True, False]
    """
    (placed,) = clamps_in_text(tokenizer, trace_text(model, tokenizer, text, logits=False), clamp)
    column = np.asarray(values, dtype=np.float32).reshape(-1, 1)
    if placed.kind == "toward":
        placed = dataclasses.replace(placed, strength=column)
    elif placed.kind in ("set", "scale"):
        placed = dataclasses.replace(placed, value=column)
    else:
        raise LensError(f"a sweep is of a clamp that sets, scales or moves, not of {placed.kind!r}")
    held = model.clamped([bind_clamp(model.config, tokenizer, placed)])
    ids = np.array([tokenizer.eol_id, *tokenizer.encode(text)], dtype=np.int64)
    columns = np.repeat(ids[:, None], len(column), axis=1)
    logits = held.logits(held.read(columns, held.initial_state(len(column))).hidden[-1])
    difference = None
    if compare is not None:
        a, b = (find_word(tokenizer.tokens(), word, "the vocabulary")[0] for word in compare)
        difference = logits[:, a] - logits[:, b]
    return Sweep(placed, column[:, 0], logits, compare, difference)
