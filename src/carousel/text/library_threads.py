"""Threads of the tokenizers' library, which panics where the system has none left."""

from __future__ import annotations

import os
import threading
from functools import cache

PARALLELISM = "TOKENIZERS_PARALLELISM"
"""The environment variable by which the library is told to work in one thread."""
OTHERS = 4
"""Threads that the rest of the program may start between the question and the library's own."""


@cache
def prepare_library_threads() -> None:
    """Have the library work in one thread where it can't start as many as there are cores.

    The system is asked once, before the library starts its threads.
    """
    release = threading.Event()
    started = []
    try:
        for _ in range((os.cpu_count() or 1) + OTHERS):
            thread = threading.Thread(target=release.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        os.environ[PARALLELISM] = "false"
    finally:
        release.set()
        for thread in started:
            thread.join()
