"""What becomes of a prediction when a gate is held."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from carousel.inference.model import RecurrentLM
from carousel.lens.clamp import Clamp, hold
from carousel.lens.clamp_syntax import parse_clamp
from carousel.lens.display import NotebookDisplay
from carousel.lens.names import find_word
from carousel.lens.trace import Trace, show_token, trace_text
from carousel.softmax import softmax
from carousel.text.tokenizer import Tokenizer


class WordChange(NamedTuple):
    """A word's probability before and after."""

    word: str
    before: float
    after: float


@dataclass(frozen=True)
class Effect(NotebookDisplay):
    """A prediction before and after, at the end of a text."""

    before: Trace
    after: Trace
    compared: tuple[str, str] | None
    difference_before: float | None
    """``logit(first) - logit(second)`` of the compared words."""
    difference_after: float | None
    divergence: float
    """``KL(before ‖ after)`` of the next-word distributions, in nats."""
    changes: list[WordChange]
    """The words whose probability changed most, the largest change first."""

    def table(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "compared": self.compared,
            "logit_difference_before": self.difference_before,
            "logit_difference_after": self.difference_after,
            "kl_divergence": self.divergence,
            "changes": [change._asdict() for change in self.changes],
        }


def measure_effect(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str,
    clamp: Clamp | str | Sequence[Clamp | str],
    *,
    compare: tuple[str, str] | None = None,
    k: int = 5,
) -> Effect:
    """Read ``text`` as it is and under clamps, and compare what is predicted after it.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        text: the text.
        clamp: one clamp or several; as text, ``"forget=1@friend"`` (see ``parse_clamp``). A word is
            held at each place where it stands in the text.
        compare: two words whose difference in logits is measured.
        k: how many changes to list.

    Raises:
        LensError: a word that is not in the text, or what ``Clamp`` refuses.

    Warns:
        UntouchedWarning: for a clamp that changed nothing.
    """
    before = trace_text(model, tokenizer, text)
    clamps = clamps_in_text(tokenizer, before, clamp)
    with hold(model, tokenizer, *clamps) as held:
        after = trace_text(held, tokenizer, text)
    assert before.logits is not None  # a trace keeps them unless told otherwise
    assert after.logits is not None
    p, q = softmax(before.logits[-1]), softmax(after.logits[-1])
    tokens = tokenizer.tokens()
    order = np.argsort(-np.abs(q - p), kind="stable")[:k]
    difference_before: float | None = None
    difference_after: float | None = None
    if compare is not None:
        a, b = (find_word(tokens, word, "the vocabulary")[0] for word in compare)
        difference_before = float(before.logits[-1, a] - before.logits[-1, b])
        difference_after = float(after.logits[-1, a] - after.logits[-1, b])
    return Effect(
        before,
        after,
        compare,
        difference_before,
        difference_after,
        divergence=float((p * (np.log(p + 1e-300) - np.log(q + 1e-300))).sum()),
        changes=[WordChange(show_token(tokens[i]), float(p[i]), float(q[i])) for i in order],
    )


def clamps_in_text(
    tokenizer: Tokenizer, trace: Trace, clamps: Clamp | str | Sequence[Clamp | str]
) -> list[Clamp]:
    """The clamps, with their words as the positions at which these stand in a text.

    All tokens of a word are held, and a word that stands there twice is held twice.

    Raises:
        LensError: a word that is not in the text.
    """
    given = [clamps] if isinstance(clamps, Clamp | str) else list(clamps)
    parsed = [
        parse_clamp(clamp, trace.words) if isinstance(clamp, str) else clamp for clamp in given
    ]
    return [_in_text(tokenizer, trace, clamp) for clamp in parsed]


def _in_text(tokenizer: Tokenizer, trace: Trace, clamp: Clamp) -> Clamp:
    if clamp.at is None:
        return clamp
    places = [clamp.at] if isinstance(clamp.at, str | int) else list(clamp.at)
    positions: list[str | int] = []
    for place in places:
        if isinstance(place, str):
            positions += _positions(tokenizer, trace, place)
        else:
            positions.append(place)
    return dataclasses.replace(clamp, at=positions)


def _positions(tokenizer: Tokenizer, trace: Trace, word: str) -> list[int]:
    if tokenizer.whole_words:
        return find_word(trace.words, tokenizer.normalize(word))
    ids, wanted = trace.ids.tolist(), tokenizer.encode(word)
    starts = [t for t in range(len(ids)) if wanted and ids[t : t + len(wanted)] == wanted]
    if not starts:
        find_word([word for word in trace.words if word.strip()], word)
    return [start + offset for start in starts for offset in range(len(wanted))]
