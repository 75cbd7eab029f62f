"""What the cache of tokenized texts holds."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from carousel.errors import TextError

ENTRY_NAME = re.compile(r"[0-9a-f]{32}")
"""The first part of a name of a file that the cache keeps: a hash of text and tokenizer."""


@dataclass(frozen=True)
class CacheEntry:
    """All files that are kept of one text."""

    name: str
    """The hash of text and tokenizer by which the entry is found."""
    bytes: int
    written: str
    """The time of the last change, as ``2025-01-31 12:00``."""


def list_cache(folder: Path) -> list[CacheEntry]:
    """Return the entries of a cache folder, the oldest first; none where there is no folder."""
    entries = []
    for name, files in _files_by_entry(folder).items():
        stats = []
        for path in files:
            # Another process may have finished it or deleted it.
            with suppress(FileNotFoundError):
                stats.append(path.stat())
        if not stats:
            continue
        newest = max(stat.st_mtime for stat in stats)
        written = datetime.fromtimestamp(newest).strftime("%Y-%m-%d %H:%M")
        size = sum(stat.st_size for stat in stats)
        entries.append((newest, CacheEntry(name, size, written)))
    return [entry for _, entry in sorted(entries, key=lambda pair: (pair[0], pair[1].name))]


def clear_cache(folder: Path) -> list[CacheEntry]:
    """Delete the entries of a cache folder and return what they were. Other files stay.

    Raises:
        TextError: a file can't be deleted.
    """
    entries = list_cache(folder)
    for files in _files_by_entry(folder).values():
        for path in files:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise TextError(f"{path} can't be deleted: {error.strerror or error}") from None
    return entries


def _files_by_entry(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        match = ENTRY_NAME.match(path.name.removeprefix("."))
        if match and path.is_file() and not path.is_symlink():
            found.setdefault(match[0], []).append(path)
    return found
