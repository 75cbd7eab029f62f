"""Training on the stories: an RNN, a GRU and an LSTM of equal size, side by side."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from carousel.errors import CarouselError, FolderError
from carousel.storage.atomic import write_file
from carousel.study.stories import CAST, KINDS, Cast, tell_stories
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
TOLD_TWICE = "habits"
"""The kind that training tells twice as often: which day goes with which food is the hardest."""


def write_stories(
    out: Path, seed: int, kinds: Sequence[str] = KINDS, cast: Cast = CAST
) -> tuple[Path, Path]:
    """Write the stories that train and those that validate, one a line.

    Args:
        out: the folder for both files.
        seed: the same seed gives the same stories.
        kinds: the kinds of stories.
        cast: their names and foods.

    Returns:
        The two files.
    """
    told = [*kinds, *(kind for kind in kinds if kind == TOLD_TWICE)]
    train, valid = out / "stories-train.txt", out / "stories-valid.txt"
    for path, count, story_seed in (
        (train, STORIES, 2 * seed),
        (valid, VALIDATION_STORIES, 2 * seed + 1),
    ):
        lines = (
            story.text + "\n"
            for story in tell_stories(count, seed=story_seed, kinds=told, cast=cast)
        )
        write_file(path, "".join(lines))
    return train, valid


def story_settings(cell: str, seed: int) -> dict[str, Any]:
    """The settings of a story model that are not in the recipe."""
    return {
        "cell": cell,
        "hidden_size": HIDDEN_SIZES[cell],
        "learning_rate": LEARNING_RATES[cell],
        "seed": seed,
        "threads": 1,
    }


def train_side_by_side(
    console: Console,
    folders: dict[str, Path],
    train_file: Path,
    valid_file: Path,
    seed: int,
    overrides: dict[str, Any],
) -> None:
    """Train each cell in a process of its own, one thread each, with a progress bar for each.

    Args:
        console: where the bars are.
        folders: where each cell's model goes.
        train_file: the stories that train.
        valid_file: the stories that validate.
        seed: of the weights.
        overrides: settings that replace the recipe's.

    Raises:
        CarouselError: what a training ran into, with the cell that it was.
    """
    context = multiprocessing.get_context("spawn")
    with _safe_path():  # the queue starts a process, too
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
    handler = signal.getsignal(signal.SIGTERM)
    is_main_thread = threading.current_thread() is threading.main_thread()
    try:
        if is_main_thread:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        with _safe_path():
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
        if is_main_thread:
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Processes that are started inside import nothing from the current directory."""
    name = "PYTHONSAFEPATH"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _listen(messages: Any, workers: list[Any]) -> Iterator[tuple[str, Progress]]:
    """The workers' progress until all are done; raises what one of them ran into."""
    running = len(workers)
    while running:
        try:
            cell, message = messages.get(timeout=1.0)
        except queue.Empty:
            if any(worker.exitcode not in (None, 0) for worker in workers):
                raise FolderError("a training process died: is the memory full?") from None
            continue
        if message is None:
            running -= 1
        elif isinstance(message, Progress):
            yield cell, message
        else:
            raise CarouselError(f"{cell}: {message}")


class _QueueReporter(NoProgress):
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
            reporter=_QueueReporter(messages, cell),
        )
        messages.put((cell, None))
    except CarouselError as error:
        messages.put((cell, str(error)))
