"""The context switch: whether the forget gate closes at "friend" and stays open at "he".

On pairs of stories of which training told neither and that differ in the subject alone: the gate at
each word, the units that tell the two apart, what the belt keeps of the first food, and what of the
decision goes through each word's luggage. Then the causal test: hold those units' gates open where
the context switches, and count how often the answer falls back to the first food.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from carousel.inference.model import RecurrentLM
from carousel.lens.clamp import Clamp
from carousel.lens.trace import Trace
from carousel.lens.units import Ablation, ablate_units, find_units
from carousel.model import LanguageModel
from carousel.study.context_switch_report import draw, report
from carousel.study.intervals import summarize
from carousel.study.last_word import TEST_SEED, guess_last_words
from carousel.study.pairs import Pair, by_place, places, position, tell_pairs, trace_questions
from carousel.study.readout import read_out
from carousel.study.stories import Story, tell_stories
from carousel.study.story_models import StoryArguments, story_models

__all__ = ["Arguments", "draw", "report", "run"]

Arguments = StoryArguments
KINDS = ("same", "switch")
GATES = {"lstm": "f", "gru": "z"}
GAPS = (4, 8)
"""Words of filler: distances that training had, so that no failure is one of distance."""
CONTRASTS = {
    "friend / he": ("friend", "he"),
    "likes / like": ("likes2", "like"),
    "food 2": ("food2", "food2"),
    "so": ("so", "so"),
}
"""Where the gates of the two stories are set against each other: a place in ``switch``, one in
``same``. In the first two the word itself differs, in the others only what came before it."""
BEST = 10
"""Units that are found: about a tenth of all."""
COUNTS = (1, 2, 5, 10, 20, 40)
"""Units that are held, for the curve."""
RANDOM_DRAWS, CURVE_DRAWS = 20, 3
"""How often as many other units are drawn at random: for ``BEST`` units, for a point of the curve.
"""
STRETCH = {"switch": (5, 6, 7, 8), "same": (5, 6, 7, 8, 9)}
"""Positions from the word after "but" to the second food."""
TEST_STORIES = 400
KNOWN_STORIES = 800
"""Stories that fit the readout: training told their facts, so that none of the pairs is among them.
"""


def run(arguments: Arguments, console: Console) -> dict[str, Any]:
    """Measure the LSTM and the GRU of every seed."""
    models = story_models(console, arguments.out, arguments.seeds)
    return {
        "study": "context-switch",
        "seeds": sorted(models),
        "cells": {cell: study_cell([models[s][cell] for s in sorted(models)]) for cell in GATES},
    }


def study_cell(models: Sequence[LanguageModel]) -> dict[str, Any]:
    """All that is measured of one cell, over its seeds."""
    pairs = tell_pairs(GAPS)
    looks = [look_inside(model, pairs) for model in models]
    facts = np.array([pair.facts for pair in pairs])
    summary: dict[str, Any] = {}
    for name in ("gate", "best", "left", "read", "decision"):
        # The best units are shown on the pairs that did not choose them.
        rows = looks[0]["judged"] if name == "best" else np.ones(len(pairs), dtype=bool)
        summary[name] = {
            kind: summarize(np.stack([look[kind][name][rows] for look in looks]), facts[rows])
            for kind in KINDS
        }
    summary["difference"] = {
        name: summarize(
            np.stack(
                [
                    look["switch"]["gate"][:, places("switch").index(there)]
                    - look["same"]["gate"][:, places("same").index(here)]
                    for look in looks
                ]
            ),
            facts,
        )
        for name, (there, here) in CONTRASTS.items()
    }
    summary["units"] = {name: [look["units"][name].table() for look in looks] for name in CONTRASTS}
    judged = looks[0]["judged"]
    chosen = {_facts(pair.switch) for pair, mine in zip(pairs, judged, strict=True) if not mine}
    summary["held"] = hold_gates(models, pairs, chosen)
    return summary


def look_inside(model: LanguageModel, pairs: Sequence[Pair]) -> dict[str, Any]:
    """What the traces of all pairs show; by kind of story, arrays ``[pairs, places]``."""
    gate = GATES[model.config.cell]
    traces = read_pairs(model, pairs)
    units, judged = {}, np.ones(len(pairs), dtype=bool)
    for name, (there, here) in CONTRASTS.items():
        rows = _told_apart(pairs)
        selected = find_units(
            *_contrast(pairs, traces, gate, rows, there, here),
            np.tile(rows, 2),
            count=BEST,
            falling=True,
        )
        units[name] = selected
        chose = {_prefix(pairs[row]) for row in np.tile(rows, 2)[~selected.judged]}
        judged &= np.array([_prefix(pair) not in chose for pair in pairs])
    look: dict[str, Any] = {"units": units, "judged": judged}
    best = units["friend / he"].units
    for kind in KINDS:
        stories = _stories(pairs, kind)
        gates = [by_place(s, t[gate, -1]) for s, t in zip(stories, traces[kind], strict=True)]
        look[kind] = {
            "gate": np.stack([values.mean(1) for values in gates]),
            "best": np.stack([values[:, best].mean(1) for values in gates]),
            "left": np.stack([_left(s, t) for s, t in zip(stories, traces[kind], strict=True)]),
            "decision": np.stack(
                [_decision(s, t) for s, t in zip(stories, traces[kind], strict=True)]
            ),
            "read": _readable(model, kind, stories, traces[kind]),
        }
    return look


def hold_gates(
    models: Sequence[LanguageModel], pairs: Sequence[Pair], chosen: set[str]
) -> dict[str, Any]:
    """How often the answer falls back to the first food while gates are held, and is still right.

    Args:
        models: the models of one cell, a seed each.
        pairs: one half of these chooses the units of each contrast.
        chosen: the facts of that half: the stories that are asked about tell others.
    """
    stories = [
        story
        for story in tell_stories(
            TEST_STORIES, seed=TEST_SEED, kinds=["switch"], gaps=GAPS, held_out=True
        )
        if _facts(story) not in chosen
    ]
    groups = np.array([_facts(story) for story in stories])
    unheld = np.stack([outcome(model, stories) for model in models])
    rates: dict[str, Any] = {"nothing": {"all": summarize(unheld, groups)}}
    traces = [read_pairs(model, pairs) for model in models]
    for name, clamps in _holds(models[0].config.cell).items():
        outcomes = []
        for model in models:
            with model.clamp(clamps) as held:
                outcomes.append(outcome(held, stories))
        rates[name] = {"all": summarize(np.stack(outcomes), groups)}
        if len(clamps) == 1:
            rates[name] |= _hold_units(models, pairs, traces, clamps[0], stories)
    return rates


def _hold_units(
    models: Sequence[LanguageModel],
    pairs: Sequence[Pair],
    traces: Sequence[dict[str, list[Trace]]],
    clamp: Clamp,
    stories: Sequence[Story],
) -> dict[str, Any]:
    """The same outcomes while the selected units alone are held, and while random units are."""
    selected_outcomes, random, p_values, curve = [], [], [], []
    for model, model_traces in zip(models, traces, strict=True):
        order = _order(pairs, model_traces, clamp)

        def clamp_units(count: int, order: np.ndarray = order) -> Clamp:
            return dataclasses.replace(clamp, units=order[:count].tolist())

        def ablate(
            count: int,
            draws: int,
            model: LanguageModel = model,
            clamp_units: Callable[[int], Clamp] = clamp_units,
        ) -> Ablation:
            def measure(held: RecurrentLM) -> np.ndarray:
                mean: np.ndarray = outcome(LanguageModel(held, model.tokenizer), stories).mean(0)
                return mean

            selected = clamp_units(count)
            return ablate_units(model.model, model.tokenizer, selected, measure, draws=draws)

        with model.clamp(clamp_units(BEST)) as held:
            selected_outcomes.append(outcome(held, stories))
        ablation = ablate(BEST, RANDOM_DRAWS)
        random.append(ablation.random)
        p_values.append(float(ablation.p_random[0]))
        by_count = [ablate(count, CURVE_DRAWS) for count in COUNTS]
        curve.append([[a.found[0], a.random[:, 0].mean()] for a in by_count])
    groups = np.array([_facts(story) for story in stories])
    return {
        "found": summarize(np.stack(selected_outcomes), groups),
        "random": np.mean(random, axis=(0, 1)).tolist(),
        "random_highest": np.max(random, axis=(0, 1)).tolist(),
        "p_random": p_values,
        "curve": {
            "counts": list(COUNTS),
            "found": np.mean(curve, axis=0)[:, 0].tolist(),
            "random": np.mean(curve, axis=0)[:, 1].tolist(),
        },
    }


def outcome(model: LanguageModel, stories: Sequence[Story]) -> np.ndarray:
    """``[N, 2]`` of 0 and 1: the answer is the first food (fell back); it is the right one."""
    guesses = guess_last_words(model, stories)
    rivals = np.array([model.tokenizer.id(story.rival) for story in stories])
    answers = np.array([model.tokenizer.id(story.answer) for story in stories])
    return np.column_stack([guesses == rivals, guesses == answers]).astype(np.float64)


def read_pairs(model: LanguageModel, pairs: Sequence[Pair]) -> dict[str, list[Trace]]:
    """The traces of all pairs' questions, by kind of story."""
    return {kind: trace_questions(model, _stories(pairs, kind)) for kind in KINDS}


def _holds(cell: str) -> dict[str, tuple[Clamp, ...]]:
    gate = GATES[cell]
    _, friend, likes, food = STRETCH["switch"]
    holds: dict[str, tuple[Clamp, ...]] = {
        f"{gate}=1 at friend": (Clamp(gate, 1.0, at=friend),),
        f"{gate}=1 at likes": (Clamp(gate, 1.0, at=likes),),
        f"{gate}=1 at food 2": (Clamp(gate, 1.0, at=food),),
        f"{gate}=1 his to food 2": (Clamp(gate, 1.0, at=STRETCH["switch"]),),
    }
    if cell == "lstm":
        # The GRU's z does both at once: what is kept wholly is not written over.
        shut = Clamp("i", 0.0, at=food)
        holds["i=0 at food 2"] = (shut,)
        holds["the last two"] = (
            Clamp("f", 1.0, at=STRETCH["switch"]),
            shut,
        )
    return holds


def _order(pairs: Sequence[Pair], traces: dict[str, list[Trace]], clamp: Clamp) -> np.ndarray:
    """Units in the order in which the choosing half has them: those that a clamp reverses most.

    That is those whose gate is lower in ``switch`` than in ``same`` where the clamp opens it, or
    higher where it shuts it.
    """
    rows = _told_apart(pairs)
    if clamp.at == STRETCH["switch"]:
        values = np.concatenate(
            [
                [traces[kind][row][clamp.name, -1][list(STRETCH[kind])].mean(0) for row in rows]
                for kind in ("switch", "same")
            ]
        )
        labels = np.arange(2 * len(rows)) < len(rows)
    else:
        there = places("switch")[int(clamp.at) - 1]  # type: ignore[arg-type]
        here = dict(CONTRASTS.values())[there]
        values, labels = _contrast(pairs, traces, clamp.name, rows, there, here)
    selected = find_units(
        values,
        labels,
        np.tile(rows, 2),
        count=max(COUNTS),
        falling=clamp.value == 1.0,
        shuffles=1,
        draws=1,
    )
    return selected.units


def _contrast(
    pairs: Sequence[Pair],
    traces: dict[str, list[Trace]],
    name: str,
    rows: np.ndarray,
    there: str,
    here: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Values ``[2R, H]`` at a place in ``switch`` and one in ``same``; True for the former."""
    values = [
        traces[kind][row][name, -1][position(getattr(pairs[row], kind), place)]
        for kind, place in (("switch", there), ("same", here))
        for row in rows
    ]
    return np.stack(values), np.arange(len(values)) < len(rows)


def _told_apart(pairs: Sequence[Pair]) -> np.ndarray:
    """Pairs of one gap of which no two begin alike: up to "friend" those would be the same."""
    first: dict[tuple[str, ...], int] = {}
    for row, pair in enumerate(pairs):
        if pair.switch.gap == GAPS[0]:
            first.setdefault(_prefix(pair), row)
    return np.array(list(first.values()))


def _prefix(pair: Pair) -> tuple[str, ...]:
    return tuple(pair.switch.words[:3])


def _facts(story: Story) -> str:
    return " ".join(story.words[:8])


def _stories(pairs: Sequence[Pair], kind: str) -> list[Story]:
    return [getattr(pair, kind) for pair in pairs]


def _left(story: Story, trace: Trace) -> np.ndarray:
    """``[places]``: the share of the first food's luggage that is left; 0 before it is there."""
    food = position(story, "food1")
    amounts = trace.belt().amounts()[:, food]
    return by_place(story, amounts / amounts[food])


def _decision(story: Story, trace: Trace) -> np.ndarray:
    """``[places]``: logit of the right food over the other one through each word's luggage."""
    return by_place(story, trace.belt().decision(story.answer, story.rival), total=True)


def _readable(
    model: LanguageModel, kind: str, stories: Sequence[Story], traces: Sequence[Trace]
) -> np.ndarray:
    """``[pairs, places]``: whether the first food can be read linearly from the memory there."""
    memory = model.model.cell.memory
    known = list(tell_stories(KNOWN_STORIES, seed=TEST_SEED, kinds=[kind], gaps=GAPS))
    known_traces = trace_questions(model, known, only=[memory])
    food = np.array([story.words[2] for story in known])
    asked = np.array([story.words[2] for story in stories])
    columns = []
    for place in places(kind):
        x, y = (
            np.stack([t[memory, -1][position(s, place)] for s, t in zip(ss, ts, strict=True)])
            for ss, ts in ((known, known_traces), (stories, traces))
        )
        columns.append(read_out(x, food, y) == asked)
    return np.column_stack(columns).astype(np.float64)
