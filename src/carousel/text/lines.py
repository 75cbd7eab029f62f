"""A text line by line, in batches, as it comes: from files, or standard input as a stream."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from carousel.errors import TextError
from carousel.text.decoding import UTF_8, check_encoding, decode_stream
from carousel.text.files import find_files, read_pieces

BATCH_CHARACTERS = 2**15
"""Characters after which a batch of lines is full."""
LONGEST_LINE = 10**6
"""Characters that a line has at most, so that memory stays bounded."""


def read_line_batches(
    sources: Sequence[str | Path], *, encoding: str = UTF_8, encoding_errors: str = "strict"
) -> Iterator[list[str]]:
    """The lines of ``sources`` in order, without their line breaks, in batches of many lines.

    Of standard input a batch ends where no more has come, so that lines are handed on at once.

    Args:
        sources: each a file, a folder, a glob pattern, a named pipe, or ``-`` for standard input.
        encoding: their encoding. UTF-16 and UTF-32 are known by their byte-order marks, too.
        encoding_errors: ``strict``, or ``replace`` for U+FFFD where bytes can't be read.

    Raises:
        TextError: nothing is there, it can't be read, or a line has more than a million characters.
    """
    check_encoding(encoding)
    for source in sources:
        if str(source) == "-":
            pieces = decode_stream(_unbuffered_input(), "standard input", encoding, encoding_errors)
        else:
            files = find_files([source])
            pieces = read_pieces(files, encoding=encoding, encoding_errors=encoding_errors)
        yield from _batches(pieces, str(source))


def _batches(pieces: Iterable[str], name: str) -> Iterator[list[str]]:
    number, begun = 0, ""
    for piece in pieces:
        lines = (begun + piece).split("\n")
        begun = lines.pop()
        if len(begun) > LONGEST_LINE or any(len(line) > LONGEST_LINE for line in lines):
            raise TextError(
                f"{name} has a line of more than {LONGEST_LINE:,} characters after line {number}: "
                "break it into lines"
            )
        number += len(lines)
        yield from _cut(lines)
    if begun:
        yield [begun]


def _cut(lines: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line) + 1
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _unbuffered_input() -> IO[bytes]:
    """Standard input without a buffer: a read gives what has come, and waits only for the first."""
    if sys.stdin is None:
        raise TextError("there is no standard input")
    buffer = sys.stdin.buffer
    raw = getattr(buffer, "raw", None)
    return cast("IO[bytes]", raw if isinstance(raw, io.RawIOBase) else buffer)
