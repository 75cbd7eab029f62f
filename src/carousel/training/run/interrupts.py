"""Ctrl-C and SIGTERM in training: the run stops between two steps, where it is consistent."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM, where ``raise_terminated`` handles it."""


def raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Handle SIGTERM as Python's own handler does SIGINT.

    Raises:
        Terminated: always.
    """
    raise Terminated


class StopRequestedError(Exception):
    """A signal asked the run to stop, and the run is at a point where it can."""


class StopRequest:
    """Whether a signal has asked the run to stop."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        """The signal; None while there was none."""

    @property
    def requested(self) -> bool:
        """Whether there was a signal."""
        return self.signal_number is not None

    def raise_if_requested(self) -> None:
        """Call this where the run can stop.

        Raises:
            StopRequestedError: a stop was requested.
        """
        if self.requested:
            raise StopRequestedError


@contextmanager
def handle_interrupts() -> Iterator[StopRequest]:
    """Within this context the first signal requests a stop, and a second one interrupts at once.

    Only SIGINT and SIGTERM are handled, and only if they would raise KeyboardInterrupt: other
    handlers belong to the program around the run.

    Raises:
        KeyboardInterrupt: at the second signal.
    """
    stop = StopRequest()

    def request_stop(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.signal_number = number

    handled: dict[int, Any] = {}
    # Python runs signal handlers in its main thread only.
    if threading.current_thread() is threading.main_thread():
        handled = {
            number: signal.getsignal(number)
            for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) in (signal.default_int_handler, raise_terminated)
        }
    for number in handled:
        signal.signal(number, request_stop)
    try:
        yield stop
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
