"""Reading files whose content nobody has checked yet: regular files only, sizes first."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

from carousel.errors import FolderError

NOT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags with which a named pipe opens at once; a regular file is read as ever."""


def open_regular(path: str | Path, *, dir_fd: int | None = None) -> IO[bytes]:
    """Open a file for reading if it is a regular file, or a link to one.

    A named pipe is not waited for, and a device such as ``/dev/zero`` is not read.

    Args:
        path: the file.
        dir_fd: the open folder that ``path`` is in, as ``os.open`` takes it.

    Raises:
        OSError: it can't be opened, or is a folder, a pipe or a device.
    """
    handle = os.open(path, os.O_RDONLY | NOT_WAITING, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(handle, "rb")


def check_regular(path: str | Path) -> None:
    """Check that a library may open ``path`` by its name: that it is a regular file.

    Raises:
        OSError: it is not there, or is a folder, a pipe or a device.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_all(file: IO[bytes], where: str, max_bytes: int) -> bytes:
    """The content of an open regular file. Its size is checked before a byte is read.

    Args:
        file: the file.
        where: what an error calls it.
        max_bytes: the largest size that is read.

    Raises:
        FolderError: it is larger, or changes while it is read.
        OSError: it can't be read.
    """
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        raise FolderError(f"{where} is too large to be true: {size} bytes, {max_bytes} at most")
    data = file.read(size + 1)
    if len(data) != size:
        raise FolderError(f"{where} changes while it is read: try again")
    return data


def read_text(path: Path, max_bytes: int) -> str:
    """The text of a regular file in UTF-8.

    Raises:
        FolderError: it can't be read, is no regular file, larger than ``max_bytes``, or not UTF-8.
    """
    try:
        with open_regular(path) as file:
            return read_all(file, str(path), max_bytes).decode()
    except UnicodeDecodeError:
        raise FolderError(f"{path} can't be read: it is not UTF-8 text") from None
    except OSError as error:
        if isinstance(error, FolderError):
            raise
        raise FolderError(f"{path} can't be read: {error.strerror or error}") from None
