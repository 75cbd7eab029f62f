"""Where a run stands, who follows it, and what it came to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

Row = dict[str, float | int | None]
"""A line of ``metrics.jsonl``."""


@dataclass
class Progress:
    """Where a run stands: what the bars show and ``metrics.jsonl`` keeps."""

    step: int = 0
    tokens: int = 0
    epoch: float = 0.0
    """How often the text has been read."""
    fraction: float = 0.0
    """How much of the run is done, 0 to 1."""
    seconds: float = 0.0
    learning_rate: float = 0.0
    train_loss: float = math.nan
    """Mean loss in nats per token since the last validation."""
    valid_loss: float | None = None
    """The latest validation's loss in nats per token."""
    best_loss: float = math.inf
    tokens_per_second: float = 0.0

    def row(self) -> Row:
        """A line of ``metrics.jsonl``."""
        return {
            "step": self.step,
            "tokens": self.tokens,
            "epoch": round(self.epoch, 4),
            "seconds": round(self.seconds, 2),
            "learning_rate": self.learning_rate,
            "train_loss": self.train_loss,
            "train_perplexity": math.exp(min(self.train_loss, 700)),
            "valid_loss": self.valid_loss,
            "valid_perplexity": None if self.valid_loss is None else _perplexity(self.valid_loss),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }


class Watcher(Protocol):
    """Who follows a run: draws bars, writes metrics, saves the best model."""

    def on_start(self, progress: Progress, rows: Sequence[Row]) -> None:
        """Called once, before the first step of a run or of what is left of it.

        ``rows`` are those of the validations before. The network holds the best weights so far.
        """

    def on_progress(self, progress: Progress) -> None:
        """Called a few times a second."""

    def on_validation(self, progress: Progress, *, best: bool) -> None:
        """Called after each validation; ``best`` where it was the best so far."""

    def say(self, line: str) -> None:
        """Called with what a person should know."""


@dataclass
class Outcome:
    """What a run came to. The network holds the best weights when it is over."""

    stopped: str
    """Why it ended: ``finished``, ``early`` (no better for long) or ``interrupted``."""
    best_loss: float
    """Validation loss in nats per token of the kept weights; infinite where none was measured."""
    rows: list[Row] = field(default_factory=list)


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700))
