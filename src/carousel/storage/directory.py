"""A folder that is held open, so that all its files are of one moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from carousel.errors import FolderError
from carousel.storage.atomic import is_being_replaced
from carousel.storage.regular_file import open_regular

MAX_ATTEMPTS = 200
"""How often a folder is opened anew because another one took its name meanwhile."""
PAUSE = 0.01
"""Seconds to wait where a folder's name is free for the moment between two renames."""

Content = TypeVar("Content")


class Directory:
    """An open folder. Its files are opened in it, whatever folder has its name by then.

    Args:
        path: the folder.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Windows can't open folders; there, nobody can replace one whose files are open.
        flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
        self.handle = None if os.name == "nt" else os.open(path, flags)

    def close(self) -> None:
        """Let the folder go."""
        if self.handle is not None:
            os.close(self.handle)

    def open_file(self, name: str) -> IO[bytes]:
        """Open a regular file of the folder for reading.

        Raises:
            OSError: it is not there, can't be opened, or is no regular file.
        """
        if self.handle is None:
            return open_regular(self.path / name)
        return open_regular(name, dir_fd=self.handle)

    def was_replaced(self) -> bool:
        """Whether another folder has the name now, or none."""
        if self.handle is None:
            return False
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self.handle))
        except OSError:
            return True


def read_directory(path: Path, read: Callable[[Directory], Content]) -> Content:
    """What ``read`` makes of a folder, all of whose files are of one moment.

    A folder that is replaced meanwhile may lose its files. Then the new one is read.

    Args:
        path: the folder.
        read: reads it; called again with the new folder where the old one was replaced.

    Raises:
        FolderError: ``read``'s own, or the folder is not there, or is replaced without end.
    """
    for _ in range(MAX_ATTEMPTS):
        try:
            directory = Directory(path)
        except FileNotFoundError:
            if is_being_replaced(path):
                time.sleep(PAUSE)
                continue
            raise FolderError(f"{path} is not there: no such model folder") from None
        except NotADirectoryError:
            raise FolderError(
                f"{path} is a file: a model is a folder with config.json in it"
            ) from None
        except OSError as error:
            raise FolderError(f"{path} can't be read: {error.strerror or error}") from None
        try:
            return read(directory)
        except FolderError:
            if not directory.was_replaced():
                raise
        finally:
            directory.close()
    raise FolderError(f"{path} is replaced again and again while it is opened: try later")
