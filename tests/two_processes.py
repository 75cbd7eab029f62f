"""What ``test_distributed.py`` has two processes do: ``torchrun two_processes.py FOLDER``."""

import sys
from pathlib import Path

import numpy as np
import torch

from carousel.storage.config import Config
from carousel.training.nn.network import Network
from carousel.training.run import loop
from carousel.training.run.checkpoint import Files
from carousel.training.run.distributed import join
from carousel.training.run.loop import fit
from carousel.training.settings import Settings

IDS = np.random.default_rng(0).integers(2, 7, 400).astype(np.uint16)


class Watcher:
    """Asks for a stop at a validation, as a signal would."""

    def __init__(self, stop_at=None):
        self.stop_at, self.seen = stop_at, 0

    def on_start(self, progress, rows):
        self.seen = len(rows)

    def say(self, line):
        raise AssertionError(line)

    def on_progress(self, progress):
        pass

    def on_validation(self, progress, *, best):
        self.seen += 1
        if self.seen == self.stop_at:
            self.run.stop.asked = True


def train(group, *, store=None, stop_at=None, **table):
    """A run of five streams, which two processes share unevenly; its weights and how it ended."""
    torch.manual_seed(3 + group.rank)  # the first one's weights become those of all
    table = {
        "batch_size": 5,
        "bptt": 8,
        "epochs": 6.0,
        "learning_rate": 0.02,
        "patience": 0,
    } | table
    settings = Settings(**table)
    sizes = {"cell": "lstm", "embedding_size": 4, "hidden_size": 8, "layers": 2}
    network = Network(Config(vocab_size=7, tied=False, **sizes), settings.dropout)
    # It is not the first process that is asked, where there are two.
    watcher = Watcher(stop_at if group.rank == group.size - 1 else None)
    watched = loop._Run.validate

    def validate(run):
        watcher.run = run
        watched(run)

    loop._Run.validate = validate
    try:
        outcome = fit(network, IDS, IDS[:90], settings, watcher, torch.device("cpu"), store, group)
    finally:
        loop._Run.validate = watched
    return network.export(), outcome


def main(folder):
    from safetensors.numpy import save_file

    torch.set_num_threads(1)
    with join() as group:
        runs = {
            "plain": train(group),
            "dropout": train(group, dropout=0.3),
            "dropout_again": train(group, dropout=0.3),
        }
        store = Files(folder / "two", print) if group.rank == 0 else None
        _, stopped = train(group, store=store, stop_at=2, dropout=0.3)
        assert stopped.stopped == "interrupted"
        runs["resumed"] = train(group, store=store, dropout=0.3)
        store = Files(folder / "one", print) if group.rank == 0 else None
        train(group, store=store, stop_at=2)  # one process alone will go on with it
        store = Files(folder / "alone", print) if group.rank == 0 else None
        runs["grown"] = train(group, store=store)  # which one process alone has begun
        for name, (weights, outcome) in runs.items():
            assert outcome.stopped == "finished"
            save_file(weights, folder / f"{name}-{group.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
