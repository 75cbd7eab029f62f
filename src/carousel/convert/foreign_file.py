"""Files of other programs: only regular ones are opened, and their size is known first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

from carousel.errors import ConvertError, FolderError
from carousel.storage.regular_file import open_regular, read_all


def open_file(path: Path) -> IO[bytes]:
    """Open a file for reading.

    Raises:
        ConvertError: it is not there, is a folder, a pipe or a device, or can't be read.
    """
    try:
        return open_regular(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def check_file(path: Path) -> None:
    """Check that a library may open a file by its name.

    Raises:
        ConvertError: it is not there, is a folder, a pipe or a device, or can't be read.
    """
    open_file(path).close()


def read_file(path: Path, max_bytes: int = sys.maxsize) -> bytes:
    """The content of a file.

    Args:
        path: the file.
        max_bytes: the largest size that is read.

    Raises:
        ConvertError: as for ``open_file``; or it is larger, or changes while it is read.
    """
    with open_file(path) as file:
        try:
            return read_all(file, str(path), max_bytes)
        except FolderError as error:
            raise ConvertError(str(error)) from None
        except OSError as error:
            raise _unreadable(path, error) from None


def read_text(path: Path, max_bytes: int) -> str:
    """The text of a file in UTF-8, without the byte order mark that it may begin with.

    Raises:
        ConvertError: as for ``read_file``; or it is not UTF-8.
    """
    try:
        return read_file(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConvertError(f"{path} is not UTF-8 text: byte {error.start} can't be read") from None


def check_replaceable_file(path: Path, *, force: bool) -> None:
    """Check that a file may be written to ``path``.

    Raises:
        FolderError: a file is there and ``force`` is off; or a folder, a pipe or a device is there.
    """
    if path.exists() and not path.is_file():
        raise FolderError(f"{path} is not a regular file, and is kept: choose another name")
    if path.exists() and not force:
        raise FolderError(f"{path} exists and is kept: choose another name, or use --force")


def _unreadable(path: Path, error: OSError) -> ConvertError:
    if isinstance(error, FileNotFoundError):
        return ConvertError(f"{path} is not there: no such file")
    return ConvertError(f"{path} can't be read: {error.strerror or error}")
