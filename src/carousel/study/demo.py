"""The demo: an RNN, a GRU and an LSTM of equal size, trained side by side on the stories."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from carousel.model import LanguageModel
from carousel.storage.atomic import write_file
from carousel.storage.model_folder import check_replaceable
from carousel.study.demo_report import draw_accuracy, report_demo
from carousel.study.last_word import measure_accuracy
from carousel.study.stories import CAST, KINDS, Cast, tell_stories
from carousel.study.story_training import HIDDEN_SIZES, train_side_by_side, write_stories

SEED = 1
"""The seed of the models that come with the package: a demo makes these again."""
SENTENCES = (
    "krish likes pizza but he does not like burger so he orders",
    "krish likes pizza but his friend likes burger so his friend orders",
    "krish likes pizza but his friend likes burger so his friend orders burger and krish orders",
    "on sunday i want to eat pizza on monday i want to eat burger today is sunday so i want to eat",
)


def run_demo(
    console: Console,
    *,
    out: Path,
    seed: int = SEED,
    kinds: Sequence[str] = KINDS,
    cast: Cast = CAST,
    force: bool = False,
    overrides: Mapping[str, Any] | None = None,
    program: str = "carousel",
) -> dict[str, Any]:
    """Train the three, show what came out, and return it as plain data.

    Args:
        console: where progress and results are printed.
        out: the folder for the stories, the models and the figure.
        seed: of the stories and the weights.
        kinds: the kinds of stories.
        cast: their names and foods.
        force: replace an earlier demo's models.
        overrides: settings that replace the recipe's (fewer epochs, say).
        program: how the commands to try next start ``carousel``.

    Returns:
        Accuracy by model, kind of story and gap, each model's predictions for a few sentences, and
        where everything is.

    Raises:
        FolderError: ``out`` holds something that is kept.
        SettingsError: a kind that there is not, or a cast too small to hold facts out.
    """
    sentences = _sentences(kinds, cast)
    folders = {cell: out / f"stories-{cell}" for cell in HIDDEN_SIZES}
    for folder in folders.values():
        check_replaceable(folder, force=force)
    began = time.monotonic()
    train_file, valid_file = write_stories(out, seed, kinds, cast)
    train_side_by_side(console, folders, train_file, valid_file, seed, dict(overrides or {}))
    seconds = time.monotonic() - began
    models = {cell: LanguageModel.load(folder) for cell, folder in folders.items()}
    rows = [
        row for model in models.values() for row in measure_accuracy(model, kinds=kinds, cast=cast)
    ]
    picture = out / "accuracy-by-distance.png"
    draw_accuracy(rows, picture)
    result = {
        "seed": seed,
        "training_seconds": round(seconds, 1),
        "parameters": {cell: model.config.parameters for cell, model in models.items()},
        "accuracy": rows,
        "predictions": {
            sentence: {
                cell: [prediction._asdict() for prediction in model.next_words(sentence, k=4)]
                for cell, model in models.items()
            }
            for sentence in sentences
        },
        "models": {cell: str(folder) for cell, folder in folders.items()},
        "picture": str(picture),
    }
    write_file(out / "demo.json", json.dumps(result, indent=1) + "\n")
    report_demo(console, result, program)
    return result


def _sentences(kinds: Sequence[str], cast: Cast) -> Sequence[str]:
    """The running examples; of other kinds or names, a story each whose facts are held out."""
    if cast is CAST and tuple(kinds) == KINDS:
        return SENTENCES
    stories = tell_stories(len(kinds), kinds=kinds, gaps=[0], held_out=True, cast=cast)
    return [story.question for story in stories]
