"""Going back: whether the memory of the first subject survives the switch, and in which units.

On *return* stories that training never told: what is left of the first food's luggage, what a
linear readout still finds of it, and the units that carry it (chosen on one half of the facts,
judged on the other). Then those units are set to their mean where the second food has just been
read, and both answers are asked for: the friend's and, after the return, the first subject's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

from carousel.inference.model import RecurrentLM
from carousel.lens.clamp import Clamp
from carousel.lens.trace import Trace
from carousel.lens.units import Ablation, ablate_units, halves
from carousel.model import LanguageModel
from carousel.study.going_back_report import draw, report
from carousel.study.intervals import summarize
from carousel.study.last_word import TEST_SEED, guess_last_words
from carousel.study.pairs import by_place, places, position, trace_questions
from carousel.study.readout import explained, read_out
from carousel.study.stories import Story, tell_stories
from carousel.study.story_models import StoryArguments, story_models

__all__ = ["Arguments", "draw", "report", "run"]

Arguments = StoryArguments
CELLS = ("rnn", "gru", "lstm")
GAPS = (4, 8)
"""Words of filler: distances that training had, so that no failure is one of distance."""
BEST = 10
"""Units that are found: about a tenth of all (of the RNN's a twentieth)."""
COUNTS = (1, 2, 5, 10, 20, 40)
"""Units that are ablated, for the curve."""
RANDOM_DRAWS, CURVE_DRAWS = 20, 3
"""How often as many other units are drawn at random: for ``BEST`` units, for a point of the curve.
"""
TEST_STORIES = 600
KNOWN_STORIES = 800
"""Stories that fit the readout: training told their facts, so that it is judged on others."""
AFTER = "food2"
"""Where units are ablated: the second food has just been read, and no filler yet."""
FRIEND_ASKED = 4
"""The friend's order is asked for this many words before the last question's end."""


def run(arguments: Arguments, console: Console) -> dict[str, Any]:
    """Measure the three cells of every seed."""
    models = story_models(console, arguments.out, arguments.seeds)
    return {
        "study": "going-back",
        "seeds": sorted(models),
        "cells": {cell: study_cell([models[s][cell] for s in sorted(models)]) for cell in CELLS},
    }


def study_cell(models: Sequence[LanguageModel]) -> dict[str, Any]:
    """All that is measured of one cell, over its seeds."""
    stories = list(
        tell_stories(TEST_STORIES, seed=TEST_SEED, kinds=["return"], gaps=GAPS, held_out=True)
    )
    known = list(tell_stories(KNOWN_STORIES, seed=TEST_SEED, kinds=["return"], gaps=GAPS))
    facts = np.array([" ".join(story.words[:8]) for story in stories])
    choosing = halves(facts, np.random.default_rng(0))
    judged = [story for story, chooses in zip(stories, choosing, strict=True) if not chooses]
    groups = facts[~choosing]
    looks = [look_inside(model, stories, known, choosing) for model in models]

    def over_seeds(name: str) -> dict[str, Any]:
        return summarize(np.stack([look[name] for look in looks]), groups)

    summary: dict[str, Any] = {
        "read": over_seeds("read"),
        "read_second": over_seeds("read_second"),
        "units": [look["units"].tolist() for look in looks],
        "explained": [look["explained"] for look in looks],
    }
    if models[0].model.cell.has_belt:
        summary |= {"left": over_seeds("left"), "left_found": over_seeds("left_found")}
    return summary | ablate_found(models, looks, judged, groups)


def ablate_found(
    models: Sequence[LanguageModel],
    looks: Sequence[dict[str, Any]],
    stories: Sequence[Story],
    groups: np.ndarray,
) -> dict[str, Any]:
    """The answers before and after the selected units, or as many random ones, are ablated.

    Args:
        models: the models of one cell, a seed each.
        looks: what ``look_inside`` gave for each.
        stories: stories ``N`` that had no part in selecting the units.
        groups: ``[N]``: the facts of each.
    """
    before = [answers(model, stories) for model in models]
    after, random, p_values, curve = [], [], [], []
    for model, look in zip(models, looks, strict=True):

        def ablate(
            count: int, draws: int, model: LanguageModel = model, look: dict[str, Any] = look
        ) -> Ablation:
            def measure(held: RecurrentLM) -> np.ndarray:
                mean: np.ndarray = answers(LanguageModel(held, model.tokenizer), stories).mean(0)
                return mean

            clamp = ablation(model, look, count)
            return ablate_units(model.model, model.tokenizer, clamp, measure, draws=draws)

        with model.clamp(ablation(model, look, BEST)) as held:
            after.append(answers(held, stories))
        against_random = ablate(BEST, RANDOM_DRAWS)
        random.append(against_random.random)
        p_values.append(against_random.p_random.tolist())
        by_count = [ablate(count, CURVE_DRAWS) for count in COUNTS]
        curve.append([[a.found[:2], a.random.mean(0)[:2]] for a in by_count])
    draws = np.stack(random)
    means = np.mean(curve, axis=0)
    return {
        "before": summarize(np.stack(before), groups),
        "found": summarize(np.stack(after), groups),
        "random": {
            "mean": draws.mean((0, 1)).tolist(),
            "low": draws.min((0, 1)).tolist(),
            "high": draws.max((0, 1)).tolist(),
            "p": p_values,
        },
        "curve": {
            "counts": list(COUNTS),
            "found": means[:, 0].T.tolist(),
            "random": means[:, 1].T.tolist(),
        },
    }


def look_inside(
    model: LanguageModel, stories: Sequence[Story], known: Sequence[Story], choosing: np.ndarray
) -> dict[str, Any]:
    """What the traces of one model show; arrays are of the judged half, ``[stories, places]``."""
    memory = model.model.cell.memory
    traces = trace_questions(model, stories)
    known_traces = trace_questions(model, known, only=[memory])
    first, second = (np.array([story.words[index] for story in stories]) for index in (2, 7))
    # Carried is what tells the first food and not the second: no place for "some food".
    states = _states(stories, traces, memory, AFTER)
    carried = explained(states[choosing], first[choosing])
    carried -= explained(states[choosing], second[choosing])
    order = np.argsort(-carried, kind="stable")
    best = order[:BEST]
    judged = explained(states[~choosing], first[~choosing])
    look: dict[str, Any] = {
        "order": order,
        "units": best,
        "explained": {
            "first_food": judged[best].tolist(),
            "second_food": explained(states[~choosing], second[~choosing])[best].tolist(),
            "first_food_all_units": float(judged.mean()),
        },
        "chosen_on": [
            _moment(trace, position(story, AFTER))
            for story, trace, chooses in zip(stories, traces, choosing, strict=True)
            if chooses
        ],
    }
    rest = [(s, t) for s, t, chooses in zip(stories, traces, choosing, strict=True) if not chooses]
    asked, asked_traces = [s for s, _ in rest], [t for _, t in rest]
    for name, word, foods in (("read", 2, first), ("read_second", 7, second)):
        labels = np.array([story.words[word] for story in known])
        look[name] = np.column_stack(
            [
                read_out(
                    _states(known, known_traces, memory, place),
                    labels,
                    _states(asked, asked_traces, memory, place),
                )
                == foods[~choosing]
                for place in places("return")
            ]
        ).astype(np.float64)
    if model.model.cell.has_belt:
        look["left"] = np.stack([_left(s, t, slice(None)) for s, t in rest])
        look["left_found"] = np.stack([_left(s, t, best) for s, t in rest])
    return look


def ablation(model: LanguageModel, look: dict[str, Any], count: int) -> Clamp:
    """The memory of the ``count`` units found set to its mean, where the second food was read."""
    memory = model.model.cell.memory
    # Every story has it at the same position, as all facts are of eight words.
    index = places("return").index(AFTER) + 1
    units = look["order"][:count].tolist()
    return Clamp.mean(memory, look["chosen_on"], at=index, units=units)


def answers(model: LanguageModel, stories: Sequence[Story]) -> np.ndarray:
    """``[N, 3]`` of 0 and 1: what the model says of both orders.

    Whether the first subject's is right; whether the friend's is, asked before it; and whether the
    first subject is said to order what the friend does.
    """
    number = model.tokenizer.id
    firsts = np.array([number(story.answer) for story in stories])
    seconds = np.array([number(story.rival) for story in stories])
    back = guess_last_words(model, stories)
    friend = guess_last_words(model, stories, before_end=FRIEND_ASKED)
    return np.column_stack([back == firsts, friend == seconds, back == seconds]).astype(np.float64)


def _states(
    stories: Sequence[Story], traces: Sequence[Trace], memory: str, place: str
) -> np.ndarray:
    """``[N, H]``: the memory at a place."""
    return np.stack(
        [t[memory, -1][position(s, place)] for s, t in zip(stories, traces, strict=True)]
    )


def _moment(trace: Trace, position: int) -> Trace:
    """The trace of one word alone, so that a mean over traces is of that word."""
    here = slice(position, position + 1)
    values = {name: array[here] for name, array in trace.values.items()}
    return Trace(trace.config, trace.words[here], trace.ids[here], values, None)


def _left(story: Story, trace: Trace, units: Any) -> np.ndarray:
    """``[places]``: the share of the first food's luggage left in some units; 0 before it."""
    food = position(story, "food1")
    belt = trace.belt()
    left = np.zeros(len(trace))
    for t in range(food, len(trace)):
        left[t] = np.abs(belt.luggage_at(t)[food, units]).sum()
    return by_place(story, left / left[food])
