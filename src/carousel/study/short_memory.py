"""Short memory: how far back an RNN, a GRU and an LSTM of equal size remember.

The lecture's claim is that the plain RNN forgets what lies more than a few words back, since its
gradient vanishes, and that gates cure it. Measured on held-out stories, for models of several
seeds: how often the last word is right, how strongly the answer still depends on the word that
decides it (the gradient that training would have, before training and after), and what happens when
any one word is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from rich.console import Console

from carousel.inference.model import RecurrentLM
from carousel.lens.saliency import embedding_gradients, replacement_changes
from carousel.model import LanguageModel
from carousel.study.intervals import wilson
from carousel.study.last_word import TEST_SEED, measure_accuracy
from carousel.study.short_memory_report import draw, report
from carousel.study.stories import KINDS, TESTED_GAPS, Story, tell_stories
from carousel.study.story_models import StoryArguments, story_models
from carousel.training.nn.network import Network

__all__ = ["Arguments", "draw", "report", "run"]

Arguments = StoryArguments
STORIES = 200
"""Of each kind and gap, for each model."""
GRADIENT_STORIES = 100
"""Of each kind and gap, whose gradients are taken."""
REPLACED_STORIES = 40
"""In which every word is replaced in turn."""
REPLACEMENTS = 5


def run(arguments: Arguments, console: Console) -> dict[str, Any]:
    """Measure the three cells of every seed."""
    models = story_models(console, arguments.out, arguments.seeds)
    rows: list[dict[str, Any]] = []
    profiles: dict[str, dict[str, list[Any]]] = {}
    for seed, cells in models.items():
        for cell, model in cells.items():
            rows += measure_distances(model, cell, seed)
            profile = measure_profile(model, seed) | {"before": measure_before(model, seed)}
            for name, values in profile.items():
                profiles.setdefault(cell, {}).setdefault(name, []).append(values)
    summary = [summarise(rows, cell, gap) for cell in profiles for gap in TESTED_GAPS]
    return {
        "study": "short-memory",
        "seeds": list(models),
        "parameters": {cell: model.config.parameters for cell, model in models[1].items()},
        "stories_per_kind_and_gap": STORIES,
        "by_gap": summary,
        "by_seed": rows,
        "profile": profiles,
    }


def measure_distances(model: LanguageModel, cell: str, seed: int) -> list[dict[str, Any]]:
    """Accuracy and gradients for each gap, over all kinds of stories alike.

    Each seed's models are asked about stories of their own, so that those of all seeds together
    count as so many stories.
    """
    story_seed = TEST_SEED + seed
    accuracy = measure_accuracy(model, per_cell=STORIES, gaps=TESTED_GAPS, seed=story_seed)
    rows = []
    for gap in TESTED_GAPS:
        stories = [
            story
            for kind in KINDS
            for story in tell_stories(
                GRADIENT_STORIES, seed=story_seed, kinds=[kind], gaps=[gap], held_out=True
            )
        ]
        reach, share = decider_gradients(model, stories)
        right = [row["accuracy"] for row in accuracy if row["gap"] == gap]
        rows.append(
            {
                "cell": cell,
                "seed": seed,
                "gap": gap,
                "right": round(sum(right) * STORIES),
                "stories": len(right) * STORIES,
                "distance": float(np.mean([story.distance for story in stories])),
                "reach": float(np.mean(reach)),
                "share": float(np.mean(share)),
            }
        )
    return rows


def decider_gradients(
    model: LanguageModel, stories: Sequence[Story]
) -> tuple[np.ndarray, np.ndarray]:
    """How strongly each story's answer hangs on the word that decides it: ``[N]`` and ``[N]``.

    The score is ``logit(answer) - logit(rival)``. First its gradient with respect to the decider's
    embedding, times the length of that embedding: logits for a step as long as the word's own
    vector, so that models of other sizes compare. Then the share that this is of all the words'.
    """
    reach, share = np.zeros(len(stories)), np.zeros(len(stories))
    for numbers, ids in _by_length(model, stories):
        lengths = _reach(model, ids, [stories[number] for number in numbers])
        # Position 0 is the line start, so a story's words count from 1.
        deciders = np.array([1 + stories[number].decider for number in numbers])
        reach[numbers] = lengths[deciders, np.arange(len(numbers))]
        share[numbers] = reach[numbers] / lengths.sum(0)
    return reach, share


def measure_profile(model: LanguageModel, seed: int) -> dict[str, list[float]]:
    """Gradient and change by replacement at each word of switch stories with the longest gap.

    Lists over distance, the last word read first (at 1), up to the story's first word.
    """
    stories = _switch_stories(seed)
    ((_, ids),) = _by_length(model, stories)
    reach = _reach(model, ids, stories).mean(1)
    rng = np.random.default_rng(seed)
    changes = [
        replacement_changes(model.model, model.tokenizer, ids[:, column], REPLACEMENTS, rng)
        for column in range(REPLACED_STORIES)
    ]
    change = np.mean(changes, axis=0)
    return {"reach": reach[:0:-1].tolist(), "change": change[:0:-1].tolist()}


def measure_before(model: LanguageModel, seed: int) -> list[float]:
    """The same gradients for a model of this shape before its first step of training.

    Relative to the word read last.
    """
    torch.manual_seed(seed)
    network = Network(model.config)
    fresh = LanguageModel(RecurrentLM(model.config, network.export()), model.tokenizer)
    stories = _switch_stories(seed)
    ((_, ids),) = _by_length(fresh, stories)
    reach = _reach(fresh, ids, stories).mean(1)
    relative: list[float] = (reach[:0:-1] / reach[-1]).tolist()
    return relative


def summarise(rows: Sequence[Mapping[str, Any]], cell: str, gap: int) -> dict[str, Any]:
    """All seeds of one cell and gap: means, the spread over seeds, Wilson's interval."""
    mine = [row for row in rows if row["cell"] == cell and row["gap"] == gap]
    right, stories = (sum(row[name] for row in mine) for name in ("right", "stories"))
    by_seed = [row["right"] / row["stories"] for row in mine]
    return {
        "cell": cell,
        "gap": gap,
        "distance": float(np.mean([row["distance"] for row in mine])),
        "accuracy": right / stories,
        "wilson": wilson(right, stories),
        "seeds_from_to": (min(by_seed), max(by_seed)),
        **{
            name: (float(np.mean(values)), min(values), max(values))
            for name in ("reach", "share")
            for values in [[row[name] for row in mine]]
        },
    }


def _switch_stories(seed: int) -> list[Story]:
    return list(
        tell_stories(
            GRADIENT_STORIES,
            seed=TEST_SEED + seed,
            kinds=["switch"],
            gaps=[max(TESTED_GAPS)],
            held_out=True,
        )
    )


def _reach(model: LanguageModel, ids: np.ndarray, stories: Sequence[Story]) -> np.ndarray:
    """``[T, B]``: gradient times embedding, in length, of ``logit(answer) - logit(rival)``."""
    answers, rivals = (
        np.array([model.tokenizer.id(word) for word in words])
        for words in ([story.answer for story in stories], [story.rival for story in stories])
    )
    _, gradient = embedding_gradients(model.model, ids, answers, rivals)
    step = np.linalg.norm(model.model.weights["embedding.weight"], axis=1)
    lengths: np.ndarray = np.linalg.norm(gradient, axis=2) * step[ids]
    return lengths


def _by_length(
    model: LanguageModel, stories: Sequence[Story]
) -> list[tuple[list[int], np.ndarray]]:
    """Questions of one length side by side: the stories' numbers, and ids ``[T, B]``."""
    by_length: dict[int, list[int]] = {}
    rows = [[model.tokenizer.eol_id, *model.tokenizer.encode(story.question)] for story in stories]
    for number, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(number)
    return [(numbers, np.array([rows[n] for n in numbers]).T) for numbers in by_length.values()]
