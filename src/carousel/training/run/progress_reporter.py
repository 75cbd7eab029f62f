"""Training on a terminal: bars, loss, perplexity, speed and the time that is left."""

from __future__ import annotations

import math
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
from carousel.training.run.progress import Progress as Run


class TerminalScreen:
    """Live bars on a terminal, plain lines elsewhere; used as a context."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.reading = Progress(
            TextColumn("{task.description:<11}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.training = training_bars(console)
        self.task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reading.stop()
        self.training.stop()

    def say(self, line: str) -> None:
        """Show one line for good."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def tick(self, what: str) -> ProgressCallback:
        """A progress bar over bytes, named ``what``."""
        self.reading.start()
        task = self.reading.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            self.reading.update(task, completed=done, total=total, visible=done < total)

        return show

    def on_progress(self, progress: Run) -> None:
        """Move the bar."""
        if self.task is None:
            self.reading.stop()
            self.training.start()
            self.task = self.training.add_task("training", total=1.0, **run_fields(Run()))
        self.training.update(self.task, completed=progress.fraction, **run_fields(progress))

    def on_validation(self, progress: Run, *, best: bool) -> None:
        """One line a validation, which stays."""
        assert progress.valid_loss is not None
        self.say(
            f"{progress.fraction:4.0%}  epoch {progress.epoch:6.2f}  "
            f"train {progress.train_loss:.4f}  valid {progress.valid_loss:.4f}  "
            f"perplexity {math.exp(min(progress.valid_loss, 700)):9.2f}  "
            f"{progress.tokens_per_second:9,.0f} tokens/s{'  best so far' if best else ''}"
        )


def training_bars(console: Console) -> Progress:
    """Bars that show loss, perplexity, tokens/s and the time left; one task a run."""
    return Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("ppl {task.fields[perplexity]}"),
        TextColumn("{task.fields[speed]} tokens/s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def run_fields(progress: Run) -> dict[str, Any]:
    """What a training bar shows of a run."""
    known = math.isfinite(progress.train_loss)
    perplexity = math.exp(min(progress.train_loss, 20)) if known else math.nan
    return {
        "loss": f"{progress.train_loss:.3f}" if known else "  -  ",
        "perplexity": f"{perplexity:.1f}" if known else "-",
        "speed": f"{progress.tokens_per_second:,.0f}",
    }
