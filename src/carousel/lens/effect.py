"""What becomes of a prediction when a gate is held."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from carousel.lens.clamp import Clamp, hold, parse_clamp
from carousel.lens.names import find_word
from carousel.lens.trace import Trace, show_token, trace_text
from carousel.model import LanguageModel
from carousel.softmax import softmax


class Change(NamedTuple):
    """A word's probability before and after."""

    word: str
    before: float
    after: float


@dataclass(frozen=True)
class Effect:
    """A prediction before and after, at the end of a text."""

    before: Trace
    after: Trace
    compared: tuple[str, str] | None
    difference_before: float | None
    """``logit(first) - logit(second)`` of the compared words."""
    difference_after: float | None
    divergence: float
    """``KL(before ‖ after)`` of the next-word distributions, in nats."""
    changes: list[Change]
    """The words whose probability changed most, the largest change first."""

    def _repr_html_(self) -> str:
        from carousel.explain.notebook import effect_html

        return effect_html(self)

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
    model: LanguageModel,
    text: str,
    clamp: Clamp | str | Sequence[Clamp | str],
    *,
    compare: tuple[str, str] | None = None,
    k: int = 5,
) -> Effect:
    """Read ``text`` as it is and under clamps, and compare what is predicted after it.

    Args:
        model: the model.
        text: the text.
        clamp: one clamp or several; as text, ``"forget=1@friend"``.
        compare: two words whose difference in logits is measured.
        k: how many changes to list.

    Raises:
        LensError: a word that is not in the text, or what ``Clamp`` refuses.

    Warns:
        UntouchedWarning: for a clamp that changed nothing.
    """
    given = [clamp] if isinstance(clamp, Clamp | str) else list(clamp)
    clamps = [parse_clamp(one) if isinstance(one, str) else one for one in given]
    before = trace_text(model, text)
    clamps = [_in_text(one, before) for one in clamps]
    with hold(model, *clamps) as held:
        after = trace_text(held, text)
    assert before.logits is not None  # a trace keeps them unless told otherwise
    assert after.logits is not None
    p, q = softmax(before.logits[-1]), softmax(after.logits[-1])
    tokens = model.tokenizer.tokens()
    order = np.argsort(-np.abs(q - p), kind="stable")[:k]
    was: float | None = None
    now: float | None = None
    if compare is not None:
        a, b = (find_word(tokens, word, "the vocabulary")[0] for word in compare)
        was = float(before.logits[-1, a] - before.logits[-1, b])
        now = float(after.logits[-1, a] - after.logits[-1, b])
    return Effect(
        before,
        after,
        compare,
        was,
        now,
        divergence=float((p * (np.log(p + 1e-300) - np.log(q + 1e-300))).sum()),
        changes=[Change(show_token(tokens[i]), float(p[i]), float(q[i])) for i in order],
    )


def _in_text(clamp: Clamp, trace: Trace) -> Clamp:
    """The clamp, if its words stand in the text; a word typed twice is held twice."""
    at = clamp.at
    places = [] if at is None else [at] if isinstance(at, str | int) else list(at)
    single = trace.model is not None and trace.model.tokenizer.kind in ("words", "whitespace")
    made: list[str | int] = []
    for place in places:
        if isinstance(place, str) and single and trace.model is not None:
            word = trace.model.tokenizer.normalize(place)
            made += find_word(trace.words, word)
        else:
            made.append(place)
    return clamp if at is None else dataclasses.replace(clamp, at=made)
