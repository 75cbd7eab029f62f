"""Stories told twice: once the subject stays, once it changes, and all else is the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carousel.lens.trace import Trace, trace_texts
from carousel.model import LanguageModel
from carousel.study.stories import FOODS, NAMES, POSSESSIVE, Story, fill, is_held_out

FILLER = "filler"
PLACES = {
    "same": "name likes food1 but he does not like food2 filler so he? orders?",
    "switch": "name likes food1 but his friend likes2 food2 filler so his? friend? orders?",
    "return": "name likes food1 but his friend likes2 food2 filler so his? friend? orders? food2? "
    "and name? orders!",
}
"""What each word of a question is, by kind of story, the filler as one: ``he?`` is the word where
it is asked ("he" and "his" stand for "she" and "her", too)."""


@dataclass(frozen=True)
class Pair:
    """Two stories of the same name, foods and filler."""

    same: Story
    switch: Story
    facts: int
    """Which of the facts they tell: pairs of the same facts differ in filler alone."""


def tell_pairs(gaps: Sequence[int], *, seed: int = 0) -> list[Pair]:
    """All pairs of which training tells neither story, once a gap, with filler from ``seed``."""
    rng = random.Random(f"pairs {seed}")
    pairs: list[Pair] = []
    number = 0
    for name, he in NAMES.items():
        for first in FOODS:
            for second in FOODS:
                his = POSSESSIVE[he]
                same = [name, "likes", first, "but", he, "does", "not", "like", second]
                switch = [name, "likes", first, "but", his, "friend", "likes", second]
                if first == second or not (is_held_out(same) and is_held_out(switch)):
                    continue
                for gap in gaps:
                    filler = fill(gap, rng)
                    a = [*same, *filler, "so", he, "orders", first]
                    b = [*switch, *filler, "so", his, "friend", "orders", second]
                    pairs.append(
                        Pair(
                            Story(" ".join(a), "same", gap, a.index(first), second, None),
                            Story(" ".join(b), "switch", gap, b.index(second), first, 5),
                            number,
                        )
                    )
                number += 1
    return pairs


def places(kind: str) -> list[str]:
    """The places of a kind of story, in order."""
    return PLACES[kind].split()


def position(story: Story, place: str) -> int:
    """Where in a trace of the story's question a place is; 0 is the line start.

    Of the filler it is the last word.
    """
    names = places(story.kind)
    index = names.index(place)
    return index + 1 if index < names.index(FILLER) else index + story.gap


def trace_questions(
    model: LanguageModel, stories: Sequence[Story], *, only: Sequence[str] | None = None
) -> list[Trace]:
    """The traces of the stories' questions, without next-word distributions.

    Args:
        model: the model that reads them.
        stories: the stories.
        only: the gates and states to record; all by default.
    """
    questions = [story.question for story in stories]
    return trace_texts(model.model, model.tokenizer, questions, only=only, logits=False)


def by_place(story: Story, values: np.ndarray, *, total: bool = False) -> np.ndarray:
    """``values [T, ...]`` of a trace's words by place, ``[places, ...]``, the line start left out.

    The filler's words become their mean, or their sum if ``total``.
    """
    start = places(story.kind).index(FILLER) + 1
    filler = values[start : start + story.gap]
    joined = filler.sum(0) if total else filler.mean(0)
    return np.concatenate([values[1:start], joined[None], values[start + story.gap :]])
