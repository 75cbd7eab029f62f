"""Callbacks: who is told of a run's progress, to show it, write it down, or draw it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carousel.errors import SettingsError
from carousel.training.run.progress import MetricsRow, Outcome, Progress


class Callback:
    """Base of all callbacks. Each method does nothing; override what you need.

    A callback must not change what it is given.

    ::

        class Printer(Callback):
            def on_validation(self, progress, *, is_best):
                print(progress.step, progress.valid_loss)
    """

    def on_train_begin(self, progress: Progress, rows: Sequence[MetricsRow]) -> None:
        """Called once, before the first step of a new or resumed run.

        Args:
            progress: where the run stands; ``step`` is 0 in a new run.
            rows: one for each earlier validation. The network holds the best weights so far.
        """

    def on_progress(self, progress: Progress) -> None:
        """Called about twice a second."""

    def on_validation(self, progress: Progress, *, is_best: bool) -> None:
        """Called after each validation. ``is_best``: its loss is the lowest so far."""

    def on_message(self, message: str) -> None:
        """Called with a line that the user should read, such as after a divergence."""

    def on_train_end(self, outcome: Outcome) -> None:
        """Called once, when the run has ended or was interrupted, with the best weights."""


class LastOutcome(Callback):
    """Keeps how the run ended."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        """None until the run has ended."""

    def on_train_end(self, outcome: Outcome) -> None:
        """Keep it."""
        self.outcome = outcome


class LearningCurve(Callback):
    """Draws the losses of all validations as ``learning-curve.png`` in the model folder.

    Args:
        folder: the model folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, outcome: Outcome) -> None:
        """Draw the picture, if there was a validation."""
        if outcome.rows:
            from carousel.draw.plots.figure import learning_curve

            learning_curve(outcome.rows, self.folder / "learning-curve.png")


class TensorBoardWriter(Callback):
    """Writes TensorBoard logs into ``NAME.tensorboard`` beside the model folder.

    They are not in the model folder, because that is replaced as a whole with each better model.

    Args:
        folder: the model folder.

    Raises:
        SettingsError: TensorBoard is not installed.
    """

    SCALARS = ("train_loss", "valid_loss", "learning_rate", "tokens_per_second")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer_class = _find_summary_writer()
        self.writer: Any = None

    def on_train_begin(self, progress: Progress, rows: Sequence[MetricsRow]) -> None:
        """Open the logs. In a resumed run, what was logged after its checkpoint is dropped."""
        beside = self.folder.with_name(self.folder.name + ".tensorboard")
        self.writer = self.writer_class(beside, purge_step=progress.step or None)

    def on_validation(self, progress: Progress, *, is_best: bool) -> None:
        """Write the numbers of a validation."""
        row = progress.to_row()
        for name in self.SCALARS:
            self.writer.add_scalar(name, row[name], progress.step)

    def on_train_end(self, outcome: Outcome) -> None:
        """Close the logs."""
        self.writer.close()


def _find_summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SettingsError(
            "TensorBoard is not installed: pip install 'carousel-lstm[tensorboard]'"
        ) from None
    return SummaryWriter
