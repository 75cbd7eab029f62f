"""One answer a line for many texts: ``carousel predict --input FILE``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import Any

from carousel.cli.arguments import read_text
from carousel.cli.output import print_json
from carousel.cli.predictions import predict_text
from carousel.errors import PredictionError
from carousel.model import LanguageModel
from carousel.text.files import find_files, read_pieces
from carousel.text.printable import printable_text, printable_word


def predict_lines(model: LanguageModel, source: str, *, as_json: bool, **options: Any) -> None:
    """Print the predictions for each line of ``source``, each in one line.

    A line whose words are all unknown has no predictions; standard error says why.

    Args:
        model: the model.
        source: a file of text, or ``-`` for standard input.
        as_json: print one JSON object a line.
        options: those of ``predict_text``.
    """
    for number, line in enumerate(read_lines(source), start=1):
        try:
            answer = predict_text(model, line, **options)
        except PredictionError as error:
            print(printable_text(f"carousel: line {number}: {error}"), file=sys.stderr)
            answer = {"text": line, "predictions": [], "error": str(error)}
        if as_json:
            print_json(answer)
        else:
            print(_one_line(answer["predictions"]))


def read_lines(source: str) -> Iterator[str]:
    """Yield the lines of a text file, or of standard input for ``-``."""
    if source == "-":
        yield from read_text().split("\n")
        return
    for piece in read_pieces(find_files([source])):
        yield from piece.removesuffix("\n").split("\n")


def _one_line(predictions: list[dict[str, Any]]) -> str:
    """Return words and shares on one line: on a terminal as many as fit."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    line = ""
    for row in predictions:
        longer = f"{line}  " if line else ""
        longer += f"{printable_word(row['word'])} {row['probability']:.1%}"
        if width is not None and line and len(longer) > width:
            break
        line = longer
    return line
