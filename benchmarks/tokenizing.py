"""Tokenizing: text into ids, in MB/s, on all cores.

    python benchmarks/tokenizing.py TEXT [--megabytes 100] [--turns 3]

``TEXT`` is repeated up to that size. For each kind of tokens: making the vocabulary, and encoding
the text as ``carousel train`` does it. The kinds take turns; the median is shown with the slowest
and the fastest turn, as Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from carousel.errors import TextError
from carousel.text.corpus import encode_pieces
from carousel.text.files import find_files, read_pieces
from carousel.text.tokenizer import KINDS, Tokenizer
from carousel.text.vocabulary import train_tokenizer

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("text", help="the text")
    parser.add_argument("--megabytes", type=int, default=100, help="its size, by repeating it")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    if given.megabytes < 1 or given.turns < 1:
        parser.error("--megabytes and --turns must be 1 or more")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "text.txt"
        try:
            repeat(find_files([given.text]), path, given.megabytes * 10**6)
        except TextError as error:
            parser.error(str(error))
        print(f"MB/s over {path.stat().st_size / 1e6:.0f} MB, on {CORES} cores\n")
        print("| tokens | vocabulary | encoding |\n| --- | --: | --: |")
        for kind in KINDS:
            cells = [show(speeds) for speeds in measure(kind, path, given.turns)]
            print(f"| {kind} | " + " | ".join(cells) + " |", flush=True)


def repeat(sources: list[Path], path: Path, size: int) -> None:
    """Write the sources one after the other, again and again, up to ``size`` bytes or more."""
    with path.open("wb") as file:
        while file.tell() < size:
            for piece in read_pieces(sources):
                file.write(piece.encode())


def measure(kind: str, path: Path, turns: int) -> list[list[float]]:
    """MB/s of making a vocabulary and of encoding, in each turn."""
    size = path.stat().st_size / 1e6
    tokenizer = train_tokenizer(kind, read_pieces([path]))
    training: list[float] = []
    encoding: list[float] = []
    for turn in range(turns):
        print(f"{kind}, turn {turn + 1}", file=sys.stderr)
        training.append(size / timed(lambda: train_tokenizer(kind, read_pieces([path]))))
        encoding.append(size / timed(lambda: encode(tokenizer, path)))
    return [training, encoding]


def encode(tokenizer: Tokenizer, path: Path) -> None:
    """All ids of the text, as the corpus writes them down."""
    for ids, _ in encode_pieces(read_pieces([path]), tokenizer):
        ids.astype(np.uint16).tobytes()


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(speeds: list[float]) -> str:
    """The median, and the lowest and the highest."""
    low, high = min(speeds), max(speeds)
    digits = ".1f" if high < 10 else ".0f"
    return f"{statistics.median(speeds):{digits}} ({low:{digits}} to {high:{digits}})"


if __name__ == "__main__":
    main()
