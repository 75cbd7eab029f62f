"""Shows a person how training goes: on a terminal, in a notebook, or as plain lines."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from carousel.text.files import ProgressCallback
from carousel.training.run.callbacks import Callback
from carousel.training.run.progress import MetricsRow, Outcome, perplexity
from carousel.training.run.progress import Progress as RunProgress

ESTIMATE_AFTER = 1.0
"""Seconds of training from which the length of the run is estimated."""
SHORT_RUN = 20.0
"""Seconds: of a run that takes no longer, no estimate is shown."""
LINE_INTERVAL = 60.0
"""Seconds between two lines of progress where there are no live bars."""


class ProgressReporter(Callback):
    """Base of what shows a training job to a person. As a context, it cleans up at its end.

    Override ``print`` and ``progress_bar``, and the methods of ``Callback`` for more.
    """

    def print(self, line: str) -> None:
        """Show one line, which stays."""
        raise NotImplementedError

    def progress_bar(self, description: str) -> ProgressCallback:
        """A new progress bar over bytes. The callback takes the bytes done and the bytes in all."""
        raise NotImplementedError

    def on_train_begin(self, progress: RunProgress, rows: Sequence[MetricsRow]) -> None:
        """Show where a resumed run goes on."""
        if progress.step:
            self.print(f"Goes on at step {progress.step:,}, {progress.fraction:.0%} of the run")

    def on_message(self, message: str) -> None:
        """Show the message."""
        self.print(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to clean up."""


class NoProgress(ProgressReporter):
    """Shows nothing."""

    def print(self, line: str) -> None:
        """Nothing."""

    def progress_bar(self, description: str) -> ProgressCallback:
        """A bar that is not shown."""
        return lambda done, total: None


class ConsoleReporter(ProgressReporter):
    """Live bars on a terminal and in a notebook; elsewhere a plain line now and then.

    Args:
        console: where to print; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.is_live = has_live_display(self.console)
        self.reading_bars = Progress(
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=16),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.is_live,
        )
        self.training_bar = training_bars(self.console)
        self.task: TaskID | None = None
        self.printed_time = time.monotonic()
        self.first: tuple[float, float] | None = None
        """Fraction and seconds of the run at its first progress."""
        self.has_estimated = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bars away."""
        self.reading_bars.stop()
        self.training_bar.stop()

    def print(self, line: str) -> None:
        """Show one line, which stays; in a file it is not broken at any width."""
        fits = self.console.is_terminal or "COLUMNS" in os.environ
        self.console.print(line, highlight=False, markup=False, soft_wrap=not fits)
        self.printed_time = time.monotonic()

    def progress_bar(self, description: str) -> ProgressCallback:
        """A new progress bar over bytes."""
        self.reading_bars.start()
        task = self.reading_bars.add_task(description, total=None)

        def update(done: int, total: int) -> None:
            self.reading_bars.update(task, completed=done, total=total, visible=done < total)

        return update

    def on_progress(self, progress: RunProgress) -> None:
        """Move the bar, or print a line if there was none for long."""
        if self.task is None:
            self.reading_bars.stop()
            self.training_bar.start()
            fields = bar_fields(RunProgress())
            self.task = self.training_bar.add_task("train", total=1.0, **fields)
        self.training_bar.update(self.task, completed=progress.fraction, **bar_fields(progress))
        if not self.has_estimated:
            self.estimate(progress)
        if not self.is_live and time.monotonic() - self.printed_time >= LINE_INTERVAL:
            self.print(
                f"{progress.fraction:4.0%}  epoch {progress.epoch:6.2f}  "
                f"train {progress.train_loss:.4f}  {progress.tokens_per_second:9,.0f} tokens/s"
            )

    def estimate(self, progress: RunProgress) -> None:
        """Say once how long the run will take, from its first seconds."""
        self.first = self.first or (progress.fraction, progress.seconds)
        done, seconds = progress.fraction - self.first[0], progress.seconds - self.first[1]
        if seconds < ESTIMATE_AFTER or done <= 0:
            return
        self.has_estimated = True
        left = seconds * (1 - progress.fraction) / done
        if left > SHORT_RUN:
            self.print(
                f"This will take about {describe_duration(left)}; Ctrl-C keeps the best model"
            )

    def on_validation(self, progress: RunProgress, *, is_best: bool) -> None:
        """Print a line."""
        assert progress.valid_loss is not None
        line = (
            f"{progress.fraction:4.0%}  epoch {progress.epoch:.2f}  "
            f"train {progress.train_loss:.3f}  valid {progress.valid_loss:.3f}  "
            f"ppl {perplexity(progress.valid_loss):.1f}{'  best' if is_best else ''}"
        )
        speed = f"  {progress.tokens_per_second:,.0f} tokens/s"
        # The line itself fits in 60 columns; the speed is shown if there is room for it.
        self.print(line + speed if len(line + speed) <= self.console.width else line)

    def on_train_end(self, outcome: Outcome) -> None:
        """Take the bar away."""
        self.training_bar.stop()


def describe_duration(seconds: float) -> str:
    """A length of time in the unit that a person would take.

    >>> describe_duration(42), describe_duration(400), describe_duration(9000)
    ('40 seconds', '7 minutes', '2.5 hours')
    """
    if seconds < 90:
        return f"{round(seconds, -1):.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def has_live_display(console: Console) -> bool:
    """Whether bars can move there: on a terminal, or in a notebook that has widgets."""
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return console.is_terminal


def training_bars(console: Console) -> Progress:
    """Bars of 60 columns: loss, perplexity, tokens/s and the time left; each task is a run.

    A task takes the fields of ``bar_fields``. Without a live display nothing is shown.
    """
    return Progress(
        TextColumn("{task.description:<5}"),
        BarColumn(bar_width=8),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("ppl {task.fields[perplexity]}"),
        TextColumn("{task.fields[speed]}/s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not has_live_display(console),
    )


def bar_fields(progress: RunProgress) -> dict[str, Any]:
    """What a training bar shows of a run, as text."""
    known = math.isfinite(progress.train_loss)
    shown_perplexity = math.exp(min(progress.train_loss, 20)) if known else math.nan
    return {
        "loss": f"{progress.train_loss:.3f}" if known else "  -  ",
        "perplexity": f"{shown_perplexity:.1f}" if known else "-",
        "speed": f"{progress.tokens_per_second:,.0f}",
    }
