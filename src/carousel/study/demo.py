"""The demo: an RNN, a GRU and an LSTM of equal size, trained side by side on the stories."""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from carousel.draw.plots.figure import accuracy_by_distance
from carousel.draw.terminal.tables import accuracy_table, side_by_side
from carousel.errors import CarouselError, FolderError
from carousel.model import LanguageModel
from carousel.storage.atomic import write_file
from carousel.storage.model_folder import check_replaceable
from carousel.study.last_word import Accuracy, measure_accuracy
from carousel.study.stories import KINDS, TESTED_GAPS, TRAINED_GAPS, tell_stories
from carousel.training.job import train_model
from carousel.training.run.progress import Progress
from carousel.training.run.progress_reporter import NoProgress, bar_fields, training_bars

HIDDEN_SIZES = {"rnn": 200, "gru": 113, "lstm": 96}
"""Units that give the three cells the same number of parameters."""
LEARNING_RATES = {"rnn": 0.003, "gru": 0.008, "lstm": 0.012}
"""The best found for each cell between 0.003 and 0.014: the RNN breaks down at the rates at which
the gated cells learn best."""
SLOWEST = "gru"
"""PyTorch's GRU takes the longest on a CPU: with a core to itself, all three end together."""
STORIES = 100_000
VALIDATION_STORIES = 2_000
TOLD = (*KINDS, "habits")
"""Habits are told twice as often: which day goes with which food is the hardest to learn."""
SENTENCES = (
    "krish likes pizza but he does not like burger so he orders",
    "krish likes pizza but his friend likes burger so his friend orders",
    "krish likes pizza but his friend likes burger so his friend orders burger and krish orders",
    "on sunday i want to eat pizza on monday i want to eat",
)


def run_demo(
    console: Console,
    *,
    out: Path,
    seed: int = 0,
    force: bool = False,
    overrides: Any = None,
    program: str = "carousel",
) -> dict[str, Any]:
    """Train the three, show what came out, and return it as plain data.

    ``overrides`` are settings that replace the recipe's (fewer epochs, say). ``program`` is how
    the commands to try next start ``carousel``.

    Raises:
        FolderError: ``out`` holds something that is kept.
    """
    folders = {cell: out / f"stories-{cell}" for cell in HIDDEN_SIZES}
    for folder in folders.values():
        check_replaceable(folder, force=force)
    began = time.monotonic()
    train_file, valid_file = write_stories(out, seed)
    train_side_by_side(console, folders, train_file, valid_file, seed, overrides or {})
    seconds = time.monotonic() - began
    models = {cell: LanguageModel.load(folder) for cell, folder in folders.items()}
    rows = [row for model in models.values() for row in measure_accuracy(model)]
    picture = out / "accuracy-by-distance.png"
    accuracy_by_distance(rows, picture, trained_to=max(TRAINED_GAPS))
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
            for sentence in SENTENCES
        },
        "models": {cell: str(folder) for cell, folder in folders.items()},
        "picture": str(picture),
    }
    write_file(out / "demo.json", json.dumps(result, indent=1) + "\n")
    show_demo(console, result, rows, program)
    return result


def write_stories(out: Path, seed: int) -> tuple[Path, Path]:
    """Tell the stories that train and those that validate, one a line."""
    train, valid = out / "stories-train.txt", out / "stories-valid.txt"
    for path, count, story_seed in (
        (train, STORIES, 2 * seed),
        (valid, VALIDATION_STORIES, 2 * seed + 1),
    ):
        lines = (story.text + "\n" for story in tell_stories(count, seed=story_seed, kinds=TOLD))
        write_file(path, "".join(lines))
    return train, valid


def train_side_by_side(
    console: Console,
    folders: dict[str, Path],
    train_file: Path,
    valid_file: Path,
    seed: int,
    overrides: dict[str, Any],
) -> None:
    """One process a model, one thread each, with a bar for each."""
    context = multiprocessing.get_context("spawn")
    messages: Any = context.Queue()
    workers = [
        context.Process(
            target=_train_one,
            args=(messages, cell, folder, train_file, valid_file, seed, overrides),
            daemon=True,
        )
        for cell, folder in folders.items()
    ]
    # A system that ends its processes ends the workers, too: as after Ctrl-C, below.
    before = signal.getsignal(signal.SIGTERM)
    alone = threading.current_thread() is not threading.main_thread()
    try:
        if not alone:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        for worker in workers:
            worker.start()
        with training_bars(console) as bars:
            tasks = {
                cell: bars.add_task(cell.upper(), total=1.0, **bar_fields(Progress()))
                for cell in folders
            }
            for cell, progress in _listen(messages, workers):
                bars.update(tasks[cell], completed=progress.fraction, **bar_fields(progress))
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()
        if not alone:
            signal.signal(signal.SIGTERM, before)


def _listen(messages: Any, workers: list[Any]) -> Iterator[tuple[str, Progress]]:
    """What the workers say, until all are done; raises what one of them ran into."""
    left = len(workers)
    while left:
        try:
            cell, said = messages.get(timeout=1.0)
        except queue.Empty:
            if any(worker.exitcode not in (None, 0) for worker in workers):
                raise FolderError("a training process died: is the memory full?") from None
            continue
        if said is None:
            left -= 1
        elif isinstance(said, Progress):
            yield cell, said
        else:
            raise CarouselError(f"{cell}: {said}")


class _Messenger(NoProgress):
    """Sends a worker's progress to the parent process."""

    def __init__(self, messages: Any, cell: str) -> None:
        self.messages, self.cell = messages, cell

    def on_progress(self, progress: Progress) -> None:
        self.messages.put((self.cell, progress))

    def on_validation(self, progress: Progress, *, is_best: bool) -> None:
        self.messages.put((self.cell, progress))


def _train_one(
    messages: Any,
    cell: str,
    folder: Path,
    train_file: Path,
    valid_file: Path,
    seed: int,
    overrides: dict[str, Any],
) -> None:
    # Ctrl-C reaches the whole group: the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cell != SLOWEST and hasattr(os, "nice"):
        os.nice(10)
    try:
        train_model(
            [train_file],
            valid=[valid_file],
            out=folder,
            recipe="stories",
            settings=story_settings(cell, seed) | overrides,
            force=True,
            reporter=_Messenger(messages, cell),
        )
        messages.put((cell, None))
    except CarouselError as error:
        messages.put((cell, str(error)))


def story_settings(cell: str, seed: int) -> dict[str, Any]:
    """What a story model's settings are beside those of the recipe."""
    return {
        "cell": cell,
        "hidden_size": HIDDEN_SIZES[cell],
        "learning_rate": LEARNING_RATES[cell],
        "seed": seed,
        "threads": 1,
    }


def show_demo(
    console: Console, result: dict[str, Any], rows: list[Accuracy], program: str = "carousel"
) -> None:
    """Print what came out: tables, predictions, paths, and what to try next."""
    cells = list(result["models"])
    sizes = ", ".join(f"{cell.upper()} {result['parameters'][cell]:,}" for cell in cells)
    seconds = result["training_seconds"]
    console.print(f"\nTrained in {seconds:.0f} s; parameters: {sizes}.", highlight=False)
    console.print("Accuracy of a story's last word, on stories whose facts training never told.\n")
    longest = max(TRAINED_GAPS)

    def share(cell: str, kind: str | None = None, gaps: Any = TESTED_GAPS) -> float:
        accuracies = [
            row["accuracy"]
            for row in rows
            if row["model"] == cell and kind in (None, row["kind"]) and row["gap"] in gaps
        ]
        return sum(accuracies) / len(accuracies)

    trained = [gap for gap in TESTED_GAPS if gap <= longest]
    beyond = [gap for gap in TESTED_GAPS if gap > longest]
    for title, gaps in (
        (f"By kind of story, at trained distances (up to {longest} words of filler)", trained),
        (f"By kind of story, beyond them (up to {max(beyond)} words)", beyond),
    ):
        table = {cell.upper(): [share(cell, kind, gaps) for kind in KINDS] for cell in cells}
        console.print(f"[bold]{title}[/bold]", highlight=False)
        console.print(accuracy_table(KINDS, table))
    table = {cell.upper(): [share(cell, None, [gap]) for gap in TESTED_GAPS] for cell in cells}
    columns = [f"{gap}" if gap <= longest else f"{gap}*" for gap in TESTED_GAPS]
    console.print("[bold]By words of filler[/bold] (* beyond training)", highlight=False)
    console.print(accuracy_table(columns, table))
    for sentence, guesses in result["predictions"].items():
        console.print(f"[bold]{sentence}[/bold] ...", highlight=False)
        columns_of = {
            cell.upper(): [(g["word"], g["probability"]) for g in guesses[cell]] for cell in cells
        }
        console.print(side_by_side(columns_of))
        console.print()
    for cell, path in result["models"].items():
        console.print(f"{cell.upper():<5} {path}", highlight=False, soft_wrap=True)
    console.print(f"Plot  {result['picture']}", highlight=False, soft_wrap=True)
    folder = result["models"]["lstm"]
    console.print(
        f"\nNext, try your own:\n  {program} predict {folder} \\\n"
        '    "maya likes soup but her friend likes rice so her friend orders"',
        highlight=False,
        soft_wrap=True,
    )
