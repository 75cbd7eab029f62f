"""What ``test_distributed.py`` has two processes do: ``torchrun two_processes.py FOLDER``."""

import signal
import sys
from pathlib import Path

import numpy as np
import torch

from carousel.storage.config import Config
from carousel.training.nn.network import Network
from carousel.training.nn.regularization import Regularization
from carousel.training.run.callbacks import Callback
from carousel.training.run.checkpoint import FileStore
from carousel.training.run.distributed import init_process_group
from carousel.training.run.loop import fit
from carousel.training.settings import Settings

IDS = np.random.default_rng(0).integers(2, 7, 400).astype(np.uint16)


class Interrupter(Callback):
    """Interrupts the run at a validation, by a signal; counts those of an earlier run, too."""

    def __init__(self, stop_at=None):
        self.stop_at, self.validations = stop_at, 0

    def on_train_begin(self, progress, rows):
        self.validations = len(rows)

    def on_message(self, message):
        raise AssertionError(message)

    def on_validation(self, progress, *, is_best):
        self.validations += 1
        if self.validations == self.stop_at:
            signal.raise_signal(signal.SIGINT)


def train(group, *, store=None, stop_at=None, **table):
    """A run of five streams, which two processes share unevenly; its weights and how it ended."""
    torch.manual_seed(3 + group.rank)  # the first one's weights become those of all
    defaults = {"batch_size": 5, "bptt": 8, "epochs": 6.0, "learning_rate": 0.02, "patience": 0}
    settings = Settings(**(defaults | table))
    sizes = {"cell": "lstm", "embedding_size": 4, "hidden_size": 8, "layers": 2}
    network = Network(
        Config(vocab_size=7, tied=False, **sizes), Regularization(dropout=settings.dropout)
    )
    # It is not the first process that is asked, where there are two.
    interrupter = Interrupter(stop_at if group.rank == group.world_size - 1 else None)
    cpu = torch.device("cpu")
    outcome = fit(network, IDS, IDS[:90], settings, [interrupter], cpu, store, group)
    return network.export(), outcome


def main(folder):
    from safetensors.numpy import save_file

    torch.set_num_threads(1)
    with init_process_group() as group:
        runs = {
            "plain": train(group),
            "dropout": train(group, dropout=0.3),
            "dropout_again": train(group, dropout=0.3),
        }
        store = FileStore(folder / "two", print) if group.rank == 0 else None
        _, stopped = train(group, store=store, stop_at=2, dropout=0.3)
        assert stopped.stop_reason == "interrupted"
        runs["resumed"] = train(group, store=store, dropout=0.3)
        store = FileStore(folder / "one", print) if group.rank == 0 else None
        train(group, store=store, stop_at=2)  # one process alone will go on with it
        store = FileStore(folder / "alone", print) if group.rank == 0 else None
        runs["grown"] = train(group, store=store)  # which one process alone has begun
        for name, (weights, outcome) in runs.items():
            assert outcome.stop_reason == "finished"
            save_file(weights, folder / f"{name}-{group.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
