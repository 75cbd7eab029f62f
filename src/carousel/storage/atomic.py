"""Files and folders that are written whole or not at all: aside, synced, then renamed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from carousel.errors import FolderError


def clear_aside(path: Path) -> None:
    """Take away what a killed process left beside ``path``: folders it was still writing."""
    # As ``mkdtemp`` names them in ``write_folder``.
    left = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}(\.old)?")
    for beside in path.parent.iterdir() if path.parent.is_dir() else ():
        if left.fullmatch(beside.name):
            shutil.rmtree(beside, ignore_errors=True)


def write_file(path: str | Path, data: str | bytes) -> None:
    """Write a file aside, sync it and rename it into place.

    Raises:
        FolderError: it can't be written; what was there before stays.
    """
    write_aside(Path(path), lambda aside: write_synced(aside, data))


def write_aside(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` write and sync a file beside ``path``, and rename it into place.

    Raises:
        FolderError: it can't be written; what was there before stays.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        os.replace(aside, path)
        sync_folder(path.parent)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        # Where not even its folder could be made, there is nothing to take away.
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def write_synced(path: Path, data: str | bytes) -> None:
    """Write a file and have the disk keep it before this returns."""
    with path.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have the disk keep the names that a folder holds."""
    if os.name == "nt":  # Windows can't open folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False where the system can't."""
    if sys.platform != "linux":
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    done: int = rename(here, os.fsencode(one), here, os.fsencode(other), exchange)
    return done == 0


def umask() -> int:
    """The permissions that new files of this process are denied."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
