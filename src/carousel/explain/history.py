"""The history of a training run: a table in a console, learning curves in a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carousel.errors import FolderError

MOST_LINES = 12
"""Validations that ``repr`` shows: the last ones of a longer run."""


@dataclass(frozen=True, repr=False)
class History:
    """How a training run went, a row a validation.

    ``repr`` is a table. A notebook draws the learning curves, where matplotlib is installed.

    >>> row = {"epoch": 1.0, "train_perplexity": 9.0, "valid_perplexity": 8.0, "valid_loss": 2.08}
    >>> History([row])
      epoch    training  validation
       1.00         9.0         8.0  best
    """

    rows: Sequence[Mapping[str, Any]]
    """One a validation: ``step``, ``tokens``, ``epoch``, ``seconds``, ``learning_rate``,
    ``train_loss``, ``valid_loss`` (nats per token), their perplexities, ``tokens_per_second``."""
    unigram_perplexity: float | None = None
    """Of a unigram on the validation text, for comparison; None where it was not measured."""
    five_gram_perplexity: float | None = None
    """Of a 5-gram on the validation text."""

    @classmethod
    def of_folder(cls, folder: Path) -> History:
        """The history that a run left in its model folder; without rows where there is none.

        Raises:
            FolderError: ``metrics.jsonl`` can't be read.
        """
        path = folder / "metrics.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            return cls.of_metrics([dict(json.loads(line)) for line in lines])
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise FolderError(f"{path} can't be read: {error}") from None

    @classmethod
    def of_metrics(cls, rows: Sequence[Mapping[str, Any]]) -> History:
        """The history that the lines of a ``metrics.jsonl`` hold."""
        extra = {name: value for row in rows for name, value in row.items()}
        return cls(
            [row for row in rows if isinstance(row.get("valid_loss"), float)],
            extra.get("unigram_perplexity"),
            extra.get("five_gram_perplexity"),
        )

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The row of the lowest validation loss: the weights that were kept."""
        return min(self.rows, key=lambda row: row["valid_loss"], default=None)

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no validations)"
        lines = [f"{'epoch':>7}{'training':>12}{'validation':>12}"]
        if len(self.rows) > MOST_LINES:
            lines.append(f"    ... {len(self.rows) - MOST_LINES} earlier validations")
        for row in self.rows[-MOST_LINES:]:
            numbers = f"{row['train_perplexity']:12,.1f}{row['valid_perplexity']:12,.1f}"
            lines.append(f"{row['epoch']:7.2f}{numbers}{'  best' if row is self.best else ''}")
        if self.five_gram_perplexity is not None and self.unigram_perplexity is not None:
            lines.append(f"{'a 5-gram':>19}{self.five_gram_perplexity:12,.1f}")
            lines.append(f"{'a unigram':>19}{self.unigram_perplexity:12,.1f}")
        return "\n".join(lines)

    def _repr_png_(self) -> bytes | None:
        if not self.rows:
            return None
        try:
            from carousel.draw.plots.figure import draw_learning_curve, png_of
        except ImportError:
            return None
        return png_of(draw_learning_curve(self.rows, self.five_gram_perplexity))
