"""One contestant in a process of its own: reads what to do as JSON, prints what came out.

    python benchmarks/training/worker.py '{"who": "plain", ...}'

``speed`` trains for some seconds and says words/s and the peak of resident memory; ``race`` trains
to the end of its schedule, or to a perplexity, and prints a line a validation.
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

WARM = 2
"""Steps that are not counted."""


def main() -> None:
    """Do what the argument says."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    ids = {name: np.load(path, mmap_mode="r") for name, path in job["ids"].items()}
    contestant = plain if job["who"] == "plain" else carousel
    contestant(job, ids["train"], ids.get("valid"))


def plain(job: dict[str, Any], train: np.ndarray, valid: np.ndarray | None) -> None:
    """PyTorch's plain recipe."""
    from plain import PlainTraining, timed

    setting = job["setting"]
    training = PlainTraining(train, job["vocab_size"], setting)
    if job["what"] == "speed":
        say({"words_per_second": timed(training, job["seconds"], WARM), "peak": peak()})
        return
    assert valid is not None
    began = time.perf_counter()
    words = checked = 0
    for read in training.steps(setting["epochs"]):
        words += read
        if words - checked >= job["validate_every"]:
            checked = words
            if passed(training.measure(valid), words, began, job["target"]):
                return
    passed(training.measure(valid), words, began, job["target"])


def carousel(job: dict[str, Any], train: np.ndarray, valid: np.ndarray | None) -> None:
    """Carousel's own loop, with its checkpoints on the disk."""
    from carousel.training.job import (
        Silence,
        choose_precision,
        choose_softmax,
        keep_memory,
        make_config,
    )
    from carousel.training.nn.network import Network
    from carousel.training.nn.output_layer import count_words
    from carousel.training.run import loop
    from carousel.training.run.checkpoint import Files
    from carousel.training.settings import Settings

    keep_memory()
    speed = job["what"] == "speed"
    settings = Settings.merged(job["setting"])
    device = torch.device("cpu")
    torch.manual_seed(0)
    softmax = choose_softmax(settings.softmax, job["vocab_size"], device)
    counts = count_words(train, job["vocab_size"]) if softmax == "adaptive" else None
    config = make_config(settings, job["vocab_size"], counts, Silence())
    network = Network(
        config,
        settings.dropout,
        embedding_std=settings.embedding_std,
        sampled=softmax == "sampled",
    )
    network.precision = choose_precision(settings.precision, device)
    steps: list[tuple[float, int]] = []
    began = time.perf_counter()

    class Stopwatch(Silence):
        def on_start(self, progress: Any, rows: Any) -> None:
            pass

        def on_progress(self, progress: Any) -> None:
            steps.append((time.perf_counter(), progress.tokens))
            # The first steps find the memory that the others use again, and are not counted.
            if speed and len(steps) > WARM and steps[-1][0] - steps[WARM - 1][0] > job["seconds"]:
                raise KeyboardInterrupt

        def on_validation(self, progress: Any, *, best: bool) -> None:
            if not speed and passed(progress.valid_loss, progress.tokens, began, job["target"]):
                sys.exit()

    if speed:
        loop.LOG_EVERY = 0.0  # type: ignore[misc]
        valid = train[:100]
    assert valid is not None
    with tempfile.TemporaryDirectory() as place:
        loop.fit(network, train, valid, settings, Stopwatch(), device, Files(Path(place), print))
    if speed:
        (first, before), (last, words) = steps[WARM - 1], steps[-1]
        say({"words_per_second": (words - before) / (last - first), "peak": peak()})


def passed(loss: float, words: int, began: float, target: float) -> bool:
    """Say where the race stands; whether the target is reached."""
    seconds = time.perf_counter() - began
    say({"seconds": seconds, "words": words, "perplexity": math.exp(loss)})
    return math.exp(loss) <= target


def peak() -> int:
    """The most memory that this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say(row: dict[str, float]) -> None:
    """One line of JSON."""
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
