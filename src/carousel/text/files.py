"""Files, folders, globs, pipes and standard input, read as a stream of text."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from lzma import LZMAError
from pathlib import Path
from typing import IO
from zipfile import BadZipFile

from carousel.errors import SkippedWarning, TextError
from carousel.text.decoding import UTF_8, check_encoding, decode_file, open_unpacked

MAX_PIECE = 2**20
"""Characters after which a line is handed on in pieces, so that memory stays bounded."""
SNIFFED = 8192
"""Bytes at the start of a file by which text is told from other things."""
MAX_NAMED = 8
"""How many bad files an error names."""
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
RUN_FILE = "run.json"

ProgressCallback = Callable[[int, int], None]
"""``on_progress(done, total)``, in bytes on disk."""

_names_of_copies: dict[Path, str] = {}
"""What was copied to a temporary file, because it can be read only once, by that file."""


def find_files(
    sources: str | Path | Sequence[str | Path],
    *,
    encoding: str = UTF_8,
    encoding_errors: str = "strict",
    skip_bad_files: bool = False,
) -> list[Path]:
    """The files that ``sources`` name, in order.

    Args:
        sources: one or several, each a file, a folder (all text files in it, sorted), a glob
            pattern, a named pipe, or ``-`` for standard input. What can be read only once is copied
            to a temporary file. Model folders and runs that lie in a folder are left out, with a
            warning.
        encoding: as in ``read_pieces``; only bad files are told by it here.
        encoding_errors: as in ``read_pieces``.
        skip_bad_files: read all files once, and leave out those that can't be read as text, with a
            warning.

    Raises:
        TextError: nothing is there, a folder holds no text, or all files are bad.
    """
    files: list[Path] = []
    copies: dict[tuple[int, int], Path] = {}
    if not sources:
        raise TextError("no text was named: give files, folders, or - for standard input")
    for source in [sources] if isinstance(sources, str | Path) else sources:
        path = Path(source)
        if str(source) == "-":
            files.append(_copy_standard_input(copies))
        elif path.is_dir():
            inside = _text_files(path)
            if not inside:
                raise TextError(f"{path} is a folder without any text file in it")
            files += inside
        elif path.exists():
            files.append(path if path.is_file() else _copy_special_file(path, copies))
        elif any(sign in str(source) for sign in "*?["):
            matches = _without_models(_glob(str(source)))
            if not matches:
                raise TextError(f"no file matches {source}")
            files += matches
        else:
            raise TextError(f"{source} is not there: no such file or folder")
    return _without_bad_files(files, encoding, encoding_errors) if skip_bad_files else files


def read_pieces(
    files: Sequence[Path],
    *,
    encoding: str = UTF_8,
    encoding_errors: str = "strict",
    on_progress: ProgressCallback | None = None,
) -> Iterator[str]:
    r"""The text of files in pieces of many whole lines, each with its "\n".

    Memory stays bounded: a very long line comes in pieces, too, cut at a space if it has one.
    ``\r\n`` and ``\r`` are line breaks too, a byte-order mark is dropped, ``.gz``, ``.bz2``,
    ``.xz``, ``.zst`` and ``.zip`` are unpacked, and the last line of a file ends there.

    Args:
        files: the files, one after the other.
        encoding: their encoding. UTF-16 and UTF-32 are known by their byte-order marks, too.
        encoding_errors: ``strict``, or ``replace`` for U+FFFD where bytes can't be read.
        on_progress: is told how many bytes of how many have been read.

    Raises:
        TextError: files that are unreadable, empty, binary or of another encoding: all of them.
    """
    check_encoding(encoding)
    total = sum(map(_size, files))
    before = 0
    for number, path in enumerate(files):
        size = _size(path)
        last_shown = -1
        try:
            for piece, position in _read_file(path, encoding, encoding_errors):
                if on_progress and position != last_shown:
                    last_shown = position
                    on_progress(before + min(position, size), total)
                yield piece
        except TextError as error:
            others = find_bad_files(files[number + 1 :], encoding, encoding_errors)
            raise _together([error, *others.values()]) from None
        before += size
        if on_progress:
            on_progress(before, total)


def find_bad_files(
    files: Sequence[Path], encoding: str = UTF_8, encoding_errors: str = "strict"
) -> dict[Path, TextError]:
    """The files that can't be read as text, each with what is wrong with it. All are read."""
    bad: dict[Path, TextError] = {}
    for path in files:
        try:
            for _ in _read_file(path, encoding, encoding_errors):
                pass
        except TextError as error:
            bad[path] = error
    return bad


def _without_bad_files(files: Sequence[Path], encoding: str, encoding_errors: str) -> list[Path]:
    """The files that can be read as text. A warning names the others."""
    check_encoding(encoding)
    bad = find_bad_files(files, encoding, encoding_errors)
    if len(bad) == len(set(files)):
        raise _together(list(bad.values()))
    if bad:
        warnings.warn(f"skipped: {_together(list(bad.values()))}", SkippedWarning, stacklevel=3)
    return [path for path in files if path not in bad]


def _together(errors: Sequence[TextError]) -> TextError:
    """One error of several, in a line."""
    if len(errors) == 1:
        return errors[0]
    named = "; ".join(map(str, errors[:MAX_NAMED]))
    more = f"; and {len(errors) - MAX_NAMED} more" if len(errors) > MAX_NAMED else ""
    return TextError(f"{len(errors)} files can't be read as text: {named}{more}")


def _read_file(path: Path, encoding: str, errors: str) -> Iterator[tuple[str, int]]:
    """Pieces of one file, each with how far into the file on disk the reading is."""
    name = _names_of_copies.get(path, str(path))
    text = ""
    position = 0
    blank = True
    for decoded, position in decode_file(path, name, encoding, errors):
        blank = blank and (not decoded or decoded.isspace())
        text += decoded
        end = text.rfind("\n") + 1
        if end:
            yield text[:end], position
            text = text[end:]
        while len(text) > MAX_PIECE:
            space = text.rfind(" ", 1, MAX_PIECE)
            cut = space if space > 0 else MAX_PIECE
            yield text[:cut], position
            text = text[cut:]
    if blank:
        raise TextError(f"{name} is empty: there is no text in it")
    if text:
        yield text + "\n", position


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # the reading says what is wrong


def _text_files(folder: Path) -> list[Path]:
    """The text files in a folder and in those within it."""
    inside = (path for path in sorted(folder.rglob("*")) if path.is_file())
    seen = [path for path in inside if not _is_hidden(path.relative_to(folder))]
    return [path for path in _without_models(seen, folder) if _is_text(path)]


def _glob(pattern: str) -> list[Path]:
    """The files that match. ``**`` follows no links, so that it ends."""
    anchor = Path(pattern).anchor
    matches = Path(anchor or ".").glob(pattern[len(anchor) :])
    files = sorted(path for path in matches if path.is_file())
    hidden_asked = any(part.startswith(".") for part in Path(pattern).parts)
    return [path for path in files if hidden_asked or not _is_hidden(path)]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in path.parts)


def _without_models(files: Sequence[Path], root: Path | None = None) -> list[Path]:
    """Those of the files that lie in no model folder and in no run's folder."""
    known: dict[Path, bool] = {}

    def is_left_out(folder: Path) -> bool:
        if folder not in known:
            above = folder.parent != folder and folder != root and is_left_out(folder.parent)
            model = all((folder / name).is_file() for name in MODEL_FILES)
            known[folder] = above or model or (folder / RUN_FILE).is_file()
        return known[folder]

    kept = [path for path in files if not is_left_out(path.parent)]
    folders = [path for path, out in known.items() if out and not known.get(path.parent)]
    if folders:
        named = ", ".join(map(str, sorted(folders)[:MAX_NAMED]))
        warnings.warn(
            f"left out, as a model or its run is in it: {named}", SkippedWarning, stacklevel=3
        )
    return kept


def _is_text(path: Path) -> bool:
    """Whether a file found in a folder counts: not empty, no 0 byte at its start."""
    try:
        with open_unpacked(path) as file:
            start = file.read(SNIFFED)
    except TextError:
        return True  # packed in a way that reading it will tell of
    except (OSError, EOFError, zlib.error, LZMAError, BadZipFile):
        return False
    marked = start.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))
    return bool(start.strip()) and (marked or b"\0" not in start)


def _copy_standard_input(copies: dict[tuple[int, int], Path]) -> Path:
    if sys.stdin is None:
        raise TextError("there is no standard input")
    if (0, 0) not in copies:
        copies[0, 0] = _copy(sys.stdin.buffer, "standard input")
    return copies[0, 0]


def _copy_special_file(path: Path, copies: dict[tuple[int, int], Path]) -> Path:
    """A copy of what a named pipe or a terminal gives: it can be read only once."""
    try:
        status = path.stat()
        if (status.st_dev, status.st_ino) in copies:
            return copies[status.st_dev, status.st_ino]
        with path.open("rb") as stream:
            if not stat.S_ISFIFO(status.st_mode) and not os.isatty(stream.fileno()):
                raise TextError(f"{path} is a device: there is no text in it")
            copy = _copy(stream, str(path))
    except OSError as error:
        raise TextError(f"{path} can't be read: {error.strerror or error}") from None
    copies[status.st_dev, status.st_ino] = copy
    return copy


def _copy(stream: IO[bytes], name: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix="carousel-", suffix=".txt", delete=False) as file:
        path = Path(file.name)
        atexit.register(path.unlink, missing_ok=True)
        try:
            shutil.copyfileobj(stream, file)
        except OSError as error:
            path.unlink(missing_ok=True)
            reason = error.strerror or error
            raise TextError(f"{name} can't be copied to {path.parent}: {reason}") from None
    _names_of_copies[path] = name
    return path
