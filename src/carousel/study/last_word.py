"""How often a model gets a story's last word right, by kind of story and by distance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np

from carousel.model import LanguageModel
from carousel.study.stories import CAST, KINDS, TESTED_GAPS, Cast, Story, tell_stories

TEST_SEED = 1_000_003
"""Far from any seed that a training corpus is told with."""


class Accuracy(TypedDict):
    """One cell of the table."""

    model: str
    kind: str
    gap: int
    stories: int
    accuracy: float


def measure_accuracy(
    model: LanguageModel,
    *,
    per_cell: int = 200,
    kinds: Sequence[str] = KINDS,
    gaps: Sequence[int] = TESTED_GAPS,
    seed: int = TEST_SEED,
    cast: Cast = CAST,
) -> list[Accuracy]:
    """Accuracy on held-out stories, ``per_cell`` for each kind and gap."""
    rows: list[Accuracy] = []
    for kind in kinds:
        for gap in gaps:
            stories = list(
                tell_stories(
                    per_cell, seed=seed, kinds=[kind], gaps=[gap], held_out=True, cast=cast
                )
            )
            right = count_right(model, stories)
            rows.append(
                Accuracy(
                    model=model.config.cell,
                    kind=kind,
                    gap=gap,
                    stories=per_cell,
                    accuracy=right / per_cell,
                )
            )
    return rows


def count_right(model: LanguageModel, stories: Iterable[Story]) -> int:
    """How many stories' last words are the model's likeliest next token, among all tokens."""
    asked = list(stories)
    answers = [model.tokenizer.id(story.answer) for story in asked]
    guesses = guess_last_words(model, asked)
    return sum(bool(guess == answer) for guess, answer in zip(guesses, answers, strict=True))


def guess_last_words(
    model: LanguageModel, stories: Sequence[Story], *, before_end: int = 0
) -> np.ndarray:
    """``[N]``: the likeliest token after each question, or after all but its last words."""
    by_length: dict[int, list[int]] = {}
    questions = [[model.tokenizer.eol_id, *model.tokenizer.encode(s.question)] for s in stories]
    for number, question in enumerate(questions):
        by_length.setdefault(len(question), []).append(number)
    guesses = np.empty(len(questions), dtype=np.int64)
    for numbers in by_length.values():
        ids = np.array([questions[number] for number in numbers]).T
        hidden = model.model.read(ids, model.model.initial_state(len(numbers))).hidden
        guesses[numbers] = model.model.logits(hidden[-1 - before_end]).argmax(axis=1)
    return guesses


def mean_accuracy(rows: Iterable[Accuracy], **where: str) -> float:
    """The mean over the cells that fit ``where`` (``kind="same"``)."""
    accuracies = [
        row["accuracy"]
        for row in rows
        if all(row[k] == v for k, v in where.items())  # type: ignore[literal-required]
    ]
    return float(np.mean(accuracies))
