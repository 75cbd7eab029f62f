"""Batches on their way to the device: on a GPU they are prepared ahead by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import torch
from torch import Tensor

PREFETCH = 4
"""Number of batches that wait to be used."""

Batch = tuple[Tensor, Tensor]
"""Inputs and targets, ``[T, B]`` each."""


def to_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on ``device``. For a GPU, a thread prepares them in pinned memory.

    On a CPU a batch takes well under a hundredth of a step, and a thread would only compete.
    """
    if device.type == "cuda":
        batches = prefetch((x.pin_memory(), y.pin_memory()) for x, y in batches)
    for x, y in batches:
        yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)


def prefetch(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, made by a thread that is up to ``PREFETCH`` of them ahead.

    The thread ends with the iterator. An error in it is raised where the batch would have come.
    """
    waiting: queue.Queue[Batch | BaseException | None] = queue.Queue(PREFETCH)
    closed = threading.Event()

    def put(item: Batch | BaseException | None) -> None:
        while not closed.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for batch in batches:
                put(batch)
                if closed.is_set():
                    return
            put(None)
        except BaseException as error:  # the reader shall meet it, whatever it is
            put(error)

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
