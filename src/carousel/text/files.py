"""Files, folders, globs and standard input, read as a stream of text."""

from __future__ import annotations

import atexit
import codecs
import glob
import gzip
import io
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from carousel.errors import TextError

CHUNK = 2**20
"""Bytes read at a time."""
LONGEST_PIECE = 2**20
"""Characters after which a line is handed on in pieces, so that memory stays bounded."""
SNIFFED = 8192
_SPOOLED: set[Path] = set()
"""Copies of standard input."""

ProgressCallback = Callable[[int, int], None]
"""``on_progress(done, total)``, in bytes on disk."""


def find_files(sources: Sequence[str | Path]) -> list[Path]:
    """The files that ``sources`` name, in order.

    A source is a file, a folder (all text files in it, sorted), a glob pattern, or ``-`` for
    standard input, which is copied once to a temporary file.

    Raises:
        TextError: nothing is there, or a folder holds no text.
    """
    files: list[Path] = []
    if not sources:
        raise TextError("no text was named: give files, folders, or - for standard input")
    for source in sources:
        path = Path(source)
        if str(source) == "-":
            files.append(_spool(sys.stdin.buffer))
        elif path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if p.is_file() and _is_text(p, path)]
            if not inside:
                raise TextError(f"{path} is a folder without any text file in it")
            files += inside
        elif path.exists():
            files.append(path)
        elif any(mark in str(source) for mark in "*?["):
            found = [Path(p) for p in sorted(glob.glob(str(source), recursive=True))]
            found = [p for p in found if p.is_file()]
            if not found:
                raise TextError(f"no file matches {source}")
            files += found
        else:
            raise TextError(f"{source} is not there: no such file or folder")
    return files


def read_pieces(
    files: Sequence[Path],
    *,
    encoding_errors: str = "strict",
    on_progress: ProgressCallback | None = None,
) -> Iterator[str]:
    r"""The text of UTF-8 ``files`` in pieces of many whole lines, each with its "\n".

    Memory stays bounded: a very long line comes in pieces, too, cut at a space if it has one.

    ``\r\n`` and ``\r`` are line breaks too, a byte-order mark is dropped, ``.gz`` is unpacked,
    and the last line of a file ends there. ``encoding_errors="replace"`` puts U+FFFD where bytes
    are not UTF-8.

    Raises:
        TextError: an unreadable, empty, binary or not UTF-8 file; it names file and byte.
    """
    total = sum(path.stat().st_size for path in files)
    before = 0
    for path in files:
        size = path.stat().st_size
        some = False
        shown = -1
        for piece, at in _read_file(path, encoding_errors):
            some = some or not piece.isspace()
            if on_progress and at != shown:
                shown = at
                on_progress(before + min(at, size), total)
            yield piece
        if not some:
            raise TextError(f"{_shown(path)} is empty: there is no text in it")
        before += size
        if on_progress:
            on_progress(before, total)


def _read_file(path: Path, encoding_errors: str) -> Iterator[tuple[str, int]]:
    """Pieces of one file, each with how far into the file on disk the reading is."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")(encoding_errors)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    text = ""
    offset = 0
    try:
        with path.open("rb") as raw:
            stream: IO[bytes] = gzip.open(raw) if path.suffix == ".gz" else raw  # type: ignore[assignment] # noqa: SIM115
            while True:
                chunk = stream.read(CHUNK)
                waiting = len(decoder.getstate()[0])
                nul = chunk.find(b"\0")
                if nul >= 0:
                    raise TextError(f"{_shown(path)} is not a text file: byte {offset + nul} is 0")
                try:
                    decoded = decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    raise TextError(
                        f"{_shown(path)} is not UTF-8 text: byte {offset - waiting + error.start} "
                        f"can't be read; convert it, or use --encoding-errors replace"
                    ) from None
                text += newlines.decode(decoded, final=not chunk)
                offset += len(chunk)
                end = text.rfind("\n") + 1
                if end:
                    yield text[:end], raw.tell()
                    text = text[end:]
                while len(text) > LONGEST_PIECE:
                    space = text.rfind(" ", 1, LONGEST_PIECE)
                    cut = space if space > 0 else LONGEST_PIECE
                    yield text[:cut], raw.tell()
                    text = text[cut:]
                if not chunk:
                    break
            if text:
                yield text + "\n", raw.tell()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TextError(f"{_shown(path)} is not a whole .gz file: {error}") from None
    except OSError as error:
        raise TextError(f"{_shown(path)} can't be read: {error.strerror or error}") from None


def _is_text(path: Path, root: Path) -> bool:
    """Whether a file found in a folder counts: not hidden, not empty, no 0 byte at its start."""
    if any(part.startswith(".") for part in path.relative_to(root).parts):
        return False
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(SNIFFED)
    except (OSError, EOFError, zlib.error):
        return False
    return bool(start.strip()) and b"\0" not in start


def _spool(stream: IO[bytes]) -> Path:
    """Copy standard input, which can be read only once, to a file; training reads its text twice.

    Raises:
        TextError: there is no room for the copy.
    """
    with tempfile.NamedTemporaryFile(prefix="carousel-", suffix=".txt", delete=False) as copy:
        path = Path(copy.name)
        atexit.register(path.unlink, missing_ok=True)
        try:
            shutil.copyfileobj(stream, copy)
        except OSError as error:
            raise TextError(
                f"standard input can't be copied to {path.parent}: {error.strerror or error}; "
                "TMPDIR names another folder"
            ) from None
    _SPOOLED.add(path)
    return path


def _shown(path: Path) -> str:
    """The name of a file in an error: nobody knows the copy of standard input by its name."""
    return "standard input" if path in _SPOOLED else str(path)
