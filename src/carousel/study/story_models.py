"""The demo's three models for several seeds, trained once and kept for every study."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from carousel.errors import CarouselError
from carousel.model import LanguageModel
from carousel.pretrained import PRETRAINED
from carousel.storage.atomic import write_file
from carousel.study.story_training import (
    HIDDEN_SIZES,
    STORIES,
    VALIDATION_STORIES,
    story_settings,
    train_side_by_side,
    write_stories,
)
from carousel.training.settings import Settings, read_recipe

RECORD = "trained.json"
"""Written last: a folder without it was left half trained."""


@dataclass(frozen=True)
class StoryArguments:
    """What the studies of story models need to know."""

    out: Path
    """The folder in which trained models are kept, in ``models``."""
    seeds: int = 3
    """How many models of each cell, with seeds 1, 2, ..."""


def story_models(
    console: Console, out: Path, seeds: int, overrides: dict[str, Any] | None = None
) -> dict[int, dict[str, LanguageModel]]:
    """Models by seed (from 1) and cell (``rnn``, ``gru``, ``lstm``), kept in ``out/models``.

    Those that are there and were trained by this recipe on as many stories are used again; others
    are trained, the three of a seed side by side. Seed 1 are the models that come with the package,
    which the demo trained, as long as the recipe is still theirs. ``overrides`` are settings that
    replace the recipe's (fewer epochs, say).
    """
    by_seed: dict[int, dict[str, LanguageModel]] = {}
    for seed in range(1, seeds + 1):
        folder = out / "models" / f"seed-{seed}"
        recipe = _recipe(seed, overrides or {})
        folders = {cell: folder / f"stories-{cell}" for cell in HIDDEN_SIZES}
        models = _shipped(recipe) or _find(folder, folders, recipe)
        if models is None:
            console.print(f"Training the three models of seed {seed} of {seeds}", highlight=False)
            (folder / RECORD).unlink(missing_ok=True)
            train_file, valid_file = write_stories(folder, seed)
            train_side_by_side(console, folders, train_file, valid_file, seed, overrides or {})
            write_file(folder / RECORD, json.dumps(recipe, indent=1) + "\n")
            models = {cell: LanguageModel.load(path) for cell, path in folders.items()}
        by_seed[seed] = models
    return by_seed


def _recipe(seed: int, overrides: dict[str, Any]) -> dict[str, Any]:
    """All that decides what the models become: settings and number of stories."""
    table = read_recipe("stories")
    settings = {
        cell: Settings.merged(table, story_settings(cell, seed), overrides).to_toml()
        for cell in HIDDEN_SIZES
    }
    return {"stories": STORIES, "validation_stories": VALIDATION_STORIES, "settings": settings}


def _shipped(recipe: dict[str, Any]) -> dict[str, LanguageModel] | None:
    """The package's own models, if they are what this recipe gives: its settings have the seed."""
    for cell, settings in recipe["settings"].items():
        shipped = (PRETRAINED / f"stories-{cell}" / "recipe.toml").read_text(encoding="utf-8")
        # Compared as settings, not as text: a saved recipe may use the old name of a setting.
        if Settings.merged(tomllib.loads(shipped)) != Settings.merged(tomllib.loads(settings)):
            return None
    return {cell: LanguageModel.load(f"stories-{cell}") for cell in recipe["settings"]}


def _find(
    folder: Path, folders: dict[str, Path], recipe: dict[str, Any]
) -> dict[str, LanguageModel] | None:
    try:
        if json.loads((folder / RECORD).read_text(encoding="utf-8")) != recipe:
            return None
        return {cell: LanguageModel.load(path) for cell, path in folders.items()}
    except (OSError, ValueError, CarouselError):
        # Not there, or damaged: nothing that training anew would not mend.
        return None
