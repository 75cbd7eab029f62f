"""The next pieces of the streams are ready before they are needed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import torch
from torch import Tensor

AHEAD = 4
"""Pieces that wait."""

Piece = tuple[Tensor, Tensor]


def on_device(pieces: Iterator[Piece], device: torch.device) -> Iterator[Piece]:
    """The pieces on ``device``: on CUDA a thread makes and sends them while it computes.

    On a CPU a piece takes well under a hundredth of a step, and a thread would only compete.
    """
    if device.type == "cuda":
        pinned = (tuple(part.pin_memory() for part in piece) for piece in pieces)
        pieces = made_ahead((x, y) for x, y in pinned)
    for x, y in pieces:
        yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)


def made_ahead(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The same pieces, made by a thread that is a few of them ahead; it ends with the iterator."""
    waiting: queue.Queue[Piece | BaseException | None] = queue.Queue(AHEAD)
    over = threading.Event()

    def put(item: Piece | BaseException | None) -> None:
        while not over.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            for piece in pieces:
                put(piece)
                if over.is_set():
                    return
            put(None)
        except BaseException as error:  # whatever it is, it is the reader's to meet
            put(error)

    thread = threading.Thread(target=make, name="pieces", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
        thread.join()
