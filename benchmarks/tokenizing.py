"""Tokenizing: text into ids, in MB/s, with one process and with one on each core.

    python benchmarks/tokenizing.py TEXT [--megabytes 100] [--turns 3]

``TEXT`` is repeated up to that size. For each kind of tokens: making the vocabulary, then encoding
the text as ``carousel train`` does it, and the same tokens by the ``tokenizers`` library's own
``encode_batch`` over the lines, which uses all cores. Everybody takes turns; the median is shown
with the slowest and the fastest turn, as Markdown.
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
from tokenizers import Tokenizer as Library

from carousel.errors import TextError
from carousel.text.corpus import encode_text
from carousel.text.files import find_files, read_pieces
from carousel.text.tokenizer import Tokenizer, train_tokenizer

KINDS = ("words", "whitespace", "chars", "bpe")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SLOW = 10
"""The library's own way gets the text's first so many MB: it is the same speed all along."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("text", help="the text")
    parser.add_argument("--megabytes", type=int, default=100, help="its size, by repeating it")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    ways = [
        *(f"{what}, {n}" for what in ("vocabulary", "encoding") for n in sorted({1, CORES})),
        f"tokenizers' encode_batch, {CORES}",
    ]
    if given.megabytes < 1 or given.turns < 1:
        parser.error("--megabytes and --turns must be 1 or more")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "text.txt"
        try:
            repeat(find_files([given.text]), path, given.megabytes * 10**6)
        except TextError as error:
            parser.error(str(error))
        print(f"MB/s over {path.stat().st_size / 1e6:.0f} MB, with so many processes or threads\n")
        print("| tokens | " + " | ".join(ways) + " |\n| --- |" + " --: |" * len(ways))
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
    """MB/s of each way in each turn."""
    size = path.stat().st_size / 1e6
    tokenizer = train_tokenizer(kind, read_pieces([path]), workers=CORES)
    library = Library.from_str(tokenizer.to_json())
    counts = sorted({1, CORES})
    speeds: list[list[float]] = [[] for _ in range(2 * len(counts) + 1)]
    for turn in range(turns):
        print(f"{kind}, turn {turn + 1}", file=sys.stderr)
        row = iter(speeds)
        for workers in counts:
            next(row).append(size / timed(lambda n=workers: count(kind, path, n)))
        for workers in counts:
            next(row).append(size / timed(lambda n=workers: encode(tokenizer, path, n)))
        next(row).append(by_library(library, path))
    return speeds


def by_library(library: Library, path: Path) -> float:
    """MB/s of the library's own way over the text's beginning."""
    with path.open(encoding="utf-8") as file:
        lines = file.read(SLOW * 10**6).splitlines()
    size = sum(len(line.encode()) + 1 for line in lines) / 1e6
    return size / timed(lambda: library.encode_batch(lines))


def count(kind: str, path: Path, workers: int) -> None:
    """Make a vocabulary."""
    train_tokenizer(kind, read_pieces([path]), workers=workers)


def encode(tokenizer: Tokenizer, path: Path, workers: int) -> None:
    """All ids of the text, as the corpus writes them down."""
    for ids, _ in encode_text(read_pieces([path]), tokenizer, workers):
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
