"""How far a run has come, and how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MetricsRow = dict[str, float | int | None]
"""One line of ``metrics.jsonl``."""


@dataclass
class Progress:
    """How far a run has come. Checkpoints hold these fields by their names."""

    step: int = 0
    tokens: int = 0
    epoch: float = 0.0
    """Number of passes over the text."""
    fraction: float = 0.0
    """How much of the run is done, 0 to 1."""
    seconds: float = 0.0
    learning_rate: float = 0.0
    train_loss: float = math.nan
    """Mean loss in nats per token since the last validation."""
    valid_loss: float | None = None
    """Loss of the last validation in nats per token."""
    best_loss: float = math.inf
    """The lowest validation loss so far."""
    tokens_per_second: float = 0.0

    def to_row(self) -> MetricsRow:
        """A line of ``metrics.jsonl``."""
        return {
            "step": self.step,
            "tokens": self.tokens,
            "epoch": round(self.epoch, 4),
            "seconds": round(self.seconds, 2),
            "learning_rate": self.learning_rate,
            "train_loss": self.train_loss,
            "train_perplexity": perplexity(self.train_loss),
            "valid_loss": self.valid_loss,
            "valid_perplexity": None if self.valid_loss is None else perplexity(self.valid_loss),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }


@dataclass
class Outcome:
    """How a run ended. The network then holds the best weights."""

    stop_reason: str
    """``finished``, ``early`` (early stopping) or ``interrupted``."""
    best_loss: float
    """Validation loss of the best weights in nats per token; infinite if there was none."""
    rows: list[MetricsRow] = field(default_factory=list)
    """One row for each validation."""
    signal_number: int | None = None
    """The signal that interrupted the run; None where none did."""


def perplexity(loss: float) -> float:
    """``exp(loss)``, for any loss in nats, however large.

    >>> round(perplexity(2.0), 2)
    7.39
    """
    return math.exp(min(loss, 700))
