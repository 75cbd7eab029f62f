"""One contestant in a process of its own: takes the task as JSON, prints the results as JSON.

    python benchmarks/training/worker.py '{"contestant": "plain", ...}'

The task ``speed`` trains for some seconds and prints words/s and the peak of resident memory;
``race`` trains to the end of its schedule, or to a perplexity, and prints a line a validation.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

WARMUP_STEPS = 2
"""Steps that are not counted: they find the memory that the others use again."""


def main() -> None:
    """Do the task of the first argument."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    ids = {name: np.load(path, mmap_mode="r") for name, path in task["ids"].items()}
    train = train_plain if task["contestant"] == "plain" else train_carousel
    train(task, ids["train"], ids["valid"])


def train_plain(task: dict[str, Any], train: np.ndarray, valid: np.ndarray) -> None:
    """PyTorch's plain recipe."""
    from plain import PlainTraining, measure_speed

    training = PlainTraining(train, task["vocab_size"], task["setting"])
    if task["what"] == "speed":
        speed = measure_speed(training, task["seconds"], WARMUP_STEPS)
        print_row({"words_per_second": speed, "peak": peak_memory()})
        return
    begin = time.perf_counter()
    words = validated_words = 0
    for batch_words in training.steps(task["setting"]["epochs"]):
        words += batch_words
        if words - validated_words >= task["validate_every"]:
            validated_words = words
            if reaches_target(training.measure(valid), words, begin, task["target"]):
                return
    reaches_target(training.measure(valid), words, begin, task["target"])


def train_carousel(task: dict[str, Any], train: np.ndarray, valid: np.ndarray) -> None:
    """Carousel's own loop, with its checkpoints on the disk."""
    from carousel.training.nn.architecture import (
        choose_softmax,
        make_config,
        make_regularization,
    )
    from carousel.training.nn.cutoffs import count_tokens
    from carousel.training.nn.memory import keep_freed_memory
    from carousel.training.nn.network import Network
    from carousel.training.run import loop
    from carousel.training.run.callbacks import Callback
    from carousel.training.run.checkpoint import FileStore
    from carousel.training.run.device import choose_precision
    from carousel.training.settings import Settings

    keep_freed_memory()
    settings = Settings.merged(task["setting"])
    device = torch.device("cpu")
    torch.manual_seed(0)
    softmax = choose_softmax(settings.softmax, task["vocab_size"], device)
    counts = count_tokens(train, task["vocab_size"]) if softmax == "adaptive" else None
    network = Network(
        make_config(settings, task["vocab_size"], counts),
        make_regularization(settings),
        embedding_std=settings.embedding_std,
        sampled=softmax == "sampled",
    )
    network.precision = choose_precision(settings.precision, device)
    steps: list[tuple[float, int]] = []
    begin = time.perf_counter()

    class Stopwatch(Callback):
        """Notes the time of each step, and ends the run after enough of them."""

        def on_progress(self, progress: Any) -> None:
            steps.append((time.perf_counter(), progress.tokens))
            counted = steps[WARMUP_STEPS - 1 :]
            if len(counted) > 1 and counted[-1][0] - counted[0][0] > task["seconds"]:
                raise KeyboardInterrupt

    class Race(Callback):
        """Prints each validation, and ends the race at the target."""

        def on_validation(self, progress: Any, *, is_best: bool) -> None:
            if reaches_target(progress.valid_loss, progress.tokens, begin, task["target"]):
                sys.exit()

    is_speed = task["what"] == "speed"
    if is_speed:
        loop.PROGRESS_INTERVAL = 0.0  # type: ignore[misc]
        valid = train[:100]
    callback = Stopwatch() if is_speed else Race()
    with tempfile.TemporaryDirectory() as folder:
        store = FileStore(Path(folder), print)
        loop.fit(network, train, valid, settings, [callback], device, store)
    if is_speed:
        (first, words_before), (last, words) = steps[WARMUP_STEPS - 1], steps[-1]
        speed = (words - words_before) / (last - first)
        print_row({"words_per_second": speed, "peak": peak_memory()})


def reaches_target(loss: float, words: int, begin: float, target: float) -> bool:
    """Print where the race stands; whether the target is reached."""
    seconds = time.perf_counter() - begin
    print_row({"seconds": seconds, "words": words, "perplexity": math.exp(loss)})
    return math.exp(loss) <= target


def peak_memory() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def print_row(row: dict[str, float]) -> None:
    """Print one line of JSON."""
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
