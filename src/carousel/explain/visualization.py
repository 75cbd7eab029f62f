"""What can be shown everywhere: in a terminal, in a notebook, as SVG, PNG, HTML or plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from carousel.draw.svg.canvas import Canvas, stack
from carousel.errors import LensError
from carousel.storage.atomic import write_file

MAX_TOKENS = 2000
"""The longest text that is drawn, in tokens."""
MAX_NOTEBOOK_WORDS = 60
"""So many words a notebook shows of a longer text: a picture of thousands would freeze it."""


class Visualization(ABC):
    """The base of explanations and model comparisons: all ways to show what was measured."""

    title: str

    @abstractmethod
    def lines(self, width: int = 80, units: int = 3) -> Iterator[Text]:
        """The lines of the picture in a terminal of ``width`` columns.

        ``units`` is how many of the units that move most are shown of each layer.
        """

    @abstractmethod
    def pictures(self) -> list[Canvas]:
        """The drawings that are saved as SVG and PNG."""

    @abstractmethod
    def to_html(self) -> str:
        """One whole HTML page; nothing in it is fetched from elsewhere."""

    @abstractmethod
    def table(self) -> dict[str, Any]:
        """The numbers as plain data, for JSON."""

    @abstractmethod
    def _repr_html_(self) -> str:
        """What a notebook shows: the drawings of the first words, if there are very many."""

    def picture(self) -> Canvas:
        """All drawings on one canvas, below each other."""
        return stack(self.pictures(), title=self.title)

    def write_html(self, path: str | Path) -> None:
        """Write the page, whole or not at all.

        Raises:
            FolderError: it can't be written.
        """
        write_file(path, self.to_html())

    def write_svg(self, path: str | Path) -> None:
        """Write the drawings as SVG, in the reader's light or dark.

        Raises:
            FolderError: it can't be written.
        """
        self.picture().save(path)

    def write_png(self, path: str | Path) -> None:
        """Write the drawings as PNG.

        Raises:
            LensError: resvg is not installed.
            FolderError: it can't be written.
        """
        self.picture().save_png(path)


def check_length(ids: Sequence[int]) -> None:
    """Refuse a text that is too long to be drawn: what it takes grows with the length squared.

    Raises:
        LensError: it has more than ``MAX_TOKENS`` tokens.
    """
    if len(ids) > MAX_TOKENS:
        raise LensError(
            f"the text has {len(ids):,} tokens, but at most {MAX_TOKENS:,} can be drawn: "
            "give a part of it"
        )
