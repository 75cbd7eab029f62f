"""Writes the model folder of a run: the best model so far, and its metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from carousel.storage.atomic import write_file
from carousel.storage.model_folder import is_model, write_folder
from carousel.text.tokenizer import Tokenizer
from carousel.training.nn.network import Network
from carousel.training.run.callbacks import Callback
from carousel.training.run.progress import MetricsRow, Outcome, Progress
from carousel.training.settings import Settings


class ModelWriter(Callback):
    """Keeps the best model of a run in its folder, from before the first step to the end.

    Args:
        network: the network that is trained.
        tokenizer: the run's tokenizer.
        settings: written into the folder as ``recipe.toml``.
        folder: the model folder.
        replaces: whether a model was in the folder before the run. That one stays until a
            validation of this run.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        settings: Settings,
        folder: Path,
        *,
        replaces: bool,
    ) -> None:
        self.network, self.tokenizer, self.settings = network, tokenizer, settings
        self.folder = folder
        self.owns_folder = not replaces
        """Whether the folder holds, or may hold, a model of this run."""
        self.rows: list[MetricsRow] = []

    def on_train_begin(self, progress: Progress, rows: Sequence[MetricsRow]) -> None:
        """Write a model before the first step, unless one is there."""
        self.rows = list(rows)
        self.owns_folder = self.owns_folder or math.isfinite(progress.best_loss)
        if not is_model(self.folder):
            self.write_model()

    def on_validation(self, progress: Progress, *, is_best: bool) -> None:
        """Write the model if it is the best so far, and the metrics in any case."""
        self.rows.append(progress.to_row())
        if is_best:
            self.write_model()
        else:
            self.write_metrics()

    def on_train_end(self, outcome: Outcome) -> None:
        """Write the last weights of a run that was interrupted before its first validation."""
        if self.owns_folder and not math.isfinite(outcome.best_loss):
            self.write_model()
        else:
            self.write_metrics()

    def add_row(self, row: MetricsRow) -> None:
        """Add a line to ``metrics.jsonl``, such as the loss of the test."""
        self.rows.append(row)
        self.write_metrics()

    def write_model(self) -> None:
        """Write the network as it is now into the folder.

        Raises:
            FolderError: the folder can't be written; what was in it stays.
        """
        write_folder(
            self.folder,
            self.network.config,
            self.network.export(),
            self.tokenizer,
            extra={"recipe.toml": self.settings.to_toml(), "metrics.jsonl": self.metrics_text()},
            # Whether it may be replaced was checked before the run began.
            force=True,
            in_run=True,
        )
        self.owns_folder = True

    def write_metrics(self) -> None:
        """Write ``metrics.jsonl``, if the folder holds a model of this run.

        Raises:
            FolderError: it can't be written.
        """
        if self.owns_folder:
            write_file(self.folder / "metrics.jsonl", self.metrics_text())

    def metrics_text(self) -> str:
        """The text of ``metrics.jsonl``."""
        return "".join(json.dumps(row) + "\n" for row in self.rows)
