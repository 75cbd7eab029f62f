"""Watches a run for its model folder: metrics, the best model so far, the learning curve."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from carousel.errors import SettingsError
from carousel.storage.atomic import write_file
from carousel.storage.model_folder import write_folder
from carousel.text.files import ProgressCallback
from carousel.text.tokenizer import Tokenizer
from carousel.training.nn.network import Network
from carousel.training.run.progress import Outcome, Progress, Row
from carousel.training.settings import Settings


class Screen(Protocol):
    """What shows a job to a person."""

    def say(self, line: str) -> None:
        """Show one line for good."""

    def tick(self, what: str) -> ProgressCallback:
        """A progress bar over bytes, named ``what``."""

    def on_progress(self, progress: Progress) -> None:
        """Show where training stands."""

    def on_validation(self, progress: Progress, *, best: bool) -> None:
        """Show a validation."""


class Keeper:
    """Writes the model folder of a run, and tells the screen.

    Where a model stood in the folder (``replaces``), it stays until one has been validated.
    Without a folder nothing is written: so it is for all processes of a run but one.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        settings: Settings,
        screen: Screen,
        folder: Path | None,
        replaces: bool,
        tensorboard: bool,
    ) -> None:
        self.network, self.tokenizer, self.settings = network, tokenizer, settings
        self.screen, self.folder, self.ours = screen, folder, not replaces
        self.writer = _find_writer() if tensorboard and folder is not None else None
        self.rows: list[dict[str, Any]] = []
        self.board: Any = None

    def on_start(self, progress: Progress, rows: Sequence[Row]) -> None:
        """The folder holds a model before the first step."""
        self.rows = list(rows)
        if self.folder is None:
            return
        if self.writer is not None:
            # Beside the model folder, which is replaced as a whole with each better model.
            beside = self.folder.with_name(self.folder.name + ".tensorboard")
            self.board = self.writer(beside, purge_step=progress.step or None)
        self.ours = self.ours or math.isfinite(progress.best_loss)
        if progress.step:
            self.say(f"Goes on at step {progress.step:,}, {progress.fraction:.0%} of the run")
        if not self.folder.exists():
            self.keep()

    def on_progress(self, progress: Progress) -> None:
        """Shown alone."""
        self.screen.on_progress(progress)

    def on_validation(self, progress: Progress, *, best: bool) -> None:
        """The best model yet becomes the folder's."""
        row = progress.row()
        self.rows.append(row)
        if self.board is not None:
            for name in ("train_loss", "valid_loss", "learning_rate", "tokens_per_second"):
                self.board.add_scalar(name, row[name], progress.step)
        if best:
            self.keep()
        else:
            self.write_metrics()
        self.screen.on_validation(progress, best=best)

    def say(self, line: str) -> None:
        """Shown for good."""
        self.screen.say(line)

    def keep(self) -> None:
        """The network as it is now becomes the folder's model."""
        if self.folder is None:
            return
        write_folder(
            self.folder,
            self.network.config,
            self.network.export(),
            self.tokenizer,
            extra={"recipe.toml": self.settings.to_toml(), "metrics.jsonl": self.lines()},
            # Whether it may be replaced was settled before the run began.
            force=True,
        )
        self.ours = True

    def finish(self, outcome: Outcome) -> None:
        """Say how it ended."""
        best = outcome.best_loss
        why = {
            "finished": "Done",
            "early": "Stopped early, as validation got no better",
            "interrupted": "Interrupted; the best model so far is kept",
        }[outcome.stopped]
        if math.isfinite(best):
            measured = f"validation {best:.4f} nats per token, perplexity {math.exp(best):.2f}"
        elif self.ours:
            # Interrupted before the first validation: the weights as they are beat the first.
            self.keep()
            measured = "not validated yet"
        else:
            why, measured = "Interrupted", f"not validated yet; what was in {self.folder} is kept"
        self.say(f"{why}: {measured}")

    def close(self) -> None:
        """Write what is left to write: the metrics and the learning curve."""
        if self.folder is None:
            return
        if self.board is not None:
            self.board.close()
        self.write_metrics()
        rows = [row for row in self.rows if "valid_loss" in row]
        if rows:
            from carousel.draw.plots.figure import learning_curve

            learning_curve(rows, self.folder / "learning-curve.png")

    def write_metrics(self) -> None:
        """The folder's metrics, where it holds a model of this run."""
        if self.folder is not None and self.ours:
            write_file(self.folder / "metrics.jsonl", self.lines())

    def lines(self) -> str:
        """The text of a ``metrics.jsonl``."""
        return "".join(json.dumps(row) + "\n" for row in self.rows)


def _find_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SettingsError(
            "TensorBoard is not installed: pip install 'carousel-lstm[tensorboard]'"
        ) from None
    return SummaryWriter
