"""What every study offers, so that one command can run them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from rich.console import Console


class Study(Protocol):
    """A module that measures one claim of the lecture.

    Measuring, printing and drawing are three functions: what is printed and drawn comes from the
    result alone, so that a saved ``results.json`` can be printed and drawn again.
    """

    @property
    def Arguments(self) -> Any:
        """The frozen dataclass of what the study needs to know: seeds, or a model and a text."""

    def run(self, arguments: Any, console: Console) -> dict[str, Any]:
        """Measure.

        Args:
            arguments: an ``Arguments`` of this module.
            console: shows the progress of training, where the study trains models.

        Returns:
            Plain data, as JSON can hold it.

        Raises:
            CarouselError: the arguments do not fit the study, or training failed.
        """

    def report(self, result: dict[str, Any], console: Console) -> None:
        """Print what ``run`` returned as tables."""

    def draw(self, result: dict[str, Any], folder: Path) -> None:
        """Draw what ``run`` returned as PNG files into ``folder``."""
