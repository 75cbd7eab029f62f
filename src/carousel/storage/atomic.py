"""Files and folders that are written whole or not at all.

They are written under a temporary name beside their place, synced, and renamed. The process's
umask decides who may read them, as for any other file; it is never changed, not for a moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

from carousel.errors import FolderError


def temporary_path(path: Path) -> Path:
    """A hidden name beside ``path`` that nobody else has."""
    return path.with_name(f".{path.name}.{token_hex(8)}.part")


def write_file(path: str | Path, data: str | bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        FolderError: it can't be written; what was there before stays.
    """
    write_atomically(Path(path), lambda temporary: write_synced(temporary, data))


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` write and sync a file under a temporary name, and rename it to ``path``.

    A link stays where it is: the file that it leads to is replaced.

    Raises:
        FolderError: it can't be written, or what is there is no file but a folder, a device or a
            pipe; what was there before stays.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FolderError(
            f"{path} can't be written: what is there is not a file; choose another name"
        )
    temporary = temporary_path(target)
    try:
        make_folder(target.parent)
        write(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise FolderError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        # Where not even its folder could be made, there is nothing to take away.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_synced(path: Path, data: str | bytes) -> None:
    """Write a file and have the disk keep it before this returns."""
    with path.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are missing, and have the disk keep their names.

    Raises:
        OSError: it can't be made.
    """
    missing = []
    while not path.exists() and path.parent != path:
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Have the disk keep the names that a folder holds."""
    if os.name == "nt":  # Windows can't open folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(temporary: Path, path: Path) -> None:
    """Rename a folder of ``temporary_path(path)`` to ``path``, in the place of one that is there.

    On Linux the two change names in one step, so that there is one at every moment. Elsewhere the
    old folder is renamed first; ``remove_leftovers`` puts it back after a crash between the two.

    Raises:
        OSError: it can't be done; the old folder stays.
    """
    if not path.exists():
        os.rename(temporary, path)
    elif exchange_folders(temporary, path):
        # Before the old one's files go: the disk may keep that and forget the new name.
        sync_folder(path.parent)
        shutil.rmtree(temporary, ignore_errors=True)  # the old one by now
    else:
        old = temporary.with_suffix(".old")
        os.rename(path, old)
        try:
            os.rename(temporary, path)
        except OSError:
            os.rename(old, path)
            raise
        sync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(path.parent)


def exchange_folders(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False where the system can't."""
    if sys.platform != "linux":
        return False
    current_folder, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    status: int = rename(
        current_folder, os.fsencode(one), current_folder, os.fsencode(other), exchange
    )
    return status == 0


def remove_leftovers(path: Path) -> None:
    """Remove the folders that a killed process left beside ``path`` under temporary names.

    A folder that was at ``path``, and was renamed to make room for the next one, is put back.
    """
    for folder in _leftovers(path):
        if folder.suffix == ".old" and not path.exists():
            os.rename(folder, path)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def is_being_replaced(path: Path) -> bool:
    """Whether ``path`` is missing only because the folder there makes room for the next one."""
    return any(folder.suffix == ".old" for folder in _leftovers(path))


def _leftovers(path: Path) -> list[Path]:
    pattern = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{16}\.(part|old)")
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return [folder for folder in beside if pattern.fullmatch(folder.name)]
