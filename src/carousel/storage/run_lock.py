"""The lock that a training run holds on its model folder."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from carousel.errors import FolderError


def run_path(model: Path) -> Path:
    """The folder ``DIR.run`` of the run that trains the model folder ``DIR``.

    Raises:
        FolderError: ``model`` is a folder without a name, such as the root.
    """
    # "." and ".." have no name to which something can be added.
    named = model if model.name not in ("", "..") else model.absolute().resolve()
    if not named.name:
        raise FolderError(f"{model} can't be a model folder: choose another name")
    return named.with_name(named.name + ".run")


def lock(path: Path) -> IO[bytes]:
    """Open and lock a file, until it is closed or the process ends.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it can't be written.
    """
    file = path.open("ab")
    try:
        import fcntl
    except ImportError:  # on Windows nobody can rename or remove a file that is open
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def check_not_training(model: Path) -> None:
    """Check that no training run has the model folder.

    Raises:
        FolderError: another process trains it.
    """
    path = run_path(model) / "lock"
    if not path.is_file():
        return
    try:
        lock(path).close()
    except BlockingIOError:
        raise FolderError(f"{model} is being trained by another process") from None
    except OSError:
        return  # a lock that can't be opened is nobody's
