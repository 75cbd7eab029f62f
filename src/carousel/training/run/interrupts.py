"""Ctrl-C between two steps: a run is stopped where it is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopAskedError(Exception):
    """Somebody asked the run to stop, and it is at a place where it can."""


class Stop:
    """Whether somebody asked for a stop."""

    def __init__(self) -> None:
        self.asked = False

    def look(self) -> None:
        """Called where the run is whole; raises StopAskedError if a stop was asked for."""
        if self.asked:
            raise StopAskedError


@contextmanager
def listen() -> Iterator[Stop]:
    """Within this context the first signal asks for a stop, and a second one interrupts at once.

    Heard are those signals that would raise KeyboardInterrupt: others have owners of their own.
    """
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    heard: list[int] = []
    # Python hands signals to its main thread alone.
    if threading.current_thread() is threading.main_thread():
        heard = [
            number
            for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) is signal.default_int_handler
        ]
    for number in heard:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number in heard:
            signal.signal(number, signal.default_int_handler)
