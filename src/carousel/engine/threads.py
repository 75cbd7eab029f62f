"""How many threads a decoder uses: as many as are fastest, by the clock."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carousel.engine.decoder import Decoder

MAX_THREADS = 64
MIN_SPEEDUP = 1.1
"""More threads than one are used only if they are so many times as fast."""
TRIALS = 9


def cpu_count() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_threads(decoder: Decoder, most: int) -> None:
    """Set a decoder's threads to the number, at most ``most``, that predicts a word fastest.

    1, 2, 4, ... and ``most`` threads take turns, and their medians are compared.
    """
    state = decoder.initial_state()
    choices = sorted({min(2**n, most) for n in range(most.bit_length() + 1)})
    seconds: dict[int, list[float]] = {threads: [] for threads in choices}
    for _ in range(TRIALS):
        for threads in choices:
            decoder.threads = threads
            decoder.step_top_k([0], state, 1)  # wakes its threads up
            start = time.perf_counter()
            decoder.step_top_k([0], state, 1)
            seconds[threads].append(time.perf_counter() - start)
    medians = {threads: sorted(times)[TRIALS // 2] for threads, times in seconds.items()}
    fastest = min(choices, key=medians.__getitem__)
    decoder.threads = fastest if medians[fastest] * MIN_SPEEDUP < medians[1] else 1
