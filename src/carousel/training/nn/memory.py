"""The memory of steps that each need the same large blocks."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def keep_freed_memory() -> None:
    """Have glibc keep large blocks that are freed: each step asks for the same ones again.

    By default glibc gives them back to the system, which must then clear every page anew. With
    another C library nothing is done.
    """
    mmap_threshold, trim_threshold = -3, -1  # from malloc.h
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)
