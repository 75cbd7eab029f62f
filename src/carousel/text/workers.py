"""A large text's pieces, worked on by a process on each core.

The processes are this module run as a program, with frames of bytes through pipes: nothing of the
caller's own program is started a second time, and nothing is pickled.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from carousel.errors import TextError
from carousel.text.counting import make_counter
from carousel.text.encoder import Encoded
from carousel.text.tokenizer import Tokenizer, make_backend

PARALLEL_FROM = 2**25
"""Bytes of text from which further processes are worth their start."""
LENGTH = 8
"""Bytes of a frame's length, which come before it."""


def count_workers(files: Sequence[Path], kind: str) -> int:
    """How many processes shall read ``files``: 1, or one a core where the text is large.

    Characters take less time than their way through a pipe.
    """
    large = sum(path.stat().st_size for path in files) >= PARALLEL_FROM
    if not large or kind == "chars" or not sys.executable:
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def encode_side_by_side(
    pieces: Iterable[str], tokenizer: Tokenizer, workers: int
) -> Iterator[tuple[str, Encoded]]:
    """Each piece with its ids, in order."""
    setup = {"kind": tokenizer.kind, "tokenizer": tokenizer.to_json()}
    with Workers(setup, workers) as processes:
        for piece, reply in processes.map(pieces):
            words = int.from_bytes(reply[:LENGTH], "little")
            yield piece, Encoded(np.frombuffer(reply, "<u4", offset=LENGTH), words)


def count_side_by_side(
    pieces: Iterable[str], kind: str, lowercase: bool, workers: int
) -> Counter[str]:
    """The tokens of all pieces with their counts."""
    totals: Counter[str] = Counter()
    with Workers({"kind": kind, "lowercase": lowercase}, workers) as processes:
        for _ in processes.map(pieces):
            pass
        for reply in processes.finish():
            totals.update(json.loads(reply))
    return totals


class Workers:
    """Processes that each take a piece of text, reply with bytes, and take the next."""

    def __init__(self, setup: dict[str, Any], count: int) -> None:
        path = os.pathsep.join(sys.path)
        # The processes are what makes it parallel: the library's threads would only be in the way.
        environment = os.environ | {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "carousel.text.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
            for _ in range(count)
        ]
        for process in self.processes:
            self._send(process, json.dumps(setup))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):  # what was still to be sent to it
                    pipe.close()

    def map(self, pieces: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Each piece with the reply to it, in order; as many are at work as there are processes."""
        at_work: deque[tuple[subprocess.Popen[bytes], str]] = deque()
        for piece in pieces:
            done: tuple[str, bytes] | None = None
            if len(at_work) < len(self.processes):
                process = self.processes[len(at_work)]
            else:
                process, before = at_work.popleft()
                done = before, self._receive(process)
            self._send(process, piece)
            at_work.append((process, piece))
            if done is not None:
                yield done
        for process, piece in at_work:
            yield piece, self._receive(process)

    def finish(self) -> Iterator[bytes]:
        """What each process replies when there is no more to do."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
            yield self._receive(process)

    def _send(self, process: subprocess.Popen[bytes], text: str) -> None:
        assert process.stdin is not None
        try:
            _write_frame(process.stdin, text.encode())
        except OSError:
            raise _died() from None

    def _receive(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        reply = _read_frame(process.stdout)
        if reply is None:
            raise _died()
        return reply


def work(source: IO[bytes], sink: IO[bytes]) -> None:
    """The other end of the pipes: read the setup, reply to each piece, and at the end."""
    setup = json.loads(_read_frame(source) or b"{}")
    if not setup:
        return
    if "tokenizer" in setup:
        encoder = Tokenizer.from_json(setup["tokenizer"]).encoder
        while (piece := _read_frame(source)) is not None:
            ids, words = encoder.encode(piece.decode())
            _write_frame(sink, words.to_bytes(LENGTH, "little") + ids.astype("<u4").tobytes())
        return
    kind, lowercase = setup["kind"], setup["lowercase"]
    counter = make_counter(make_backend(kind, lowercase), kind, lowercase)
    while (piece := _read_frame(source)) is not None:
        counter.feed(piece.decode())
        _write_frame(sink, b"")
    _write_frame(sink, json.dumps(counter.totals()).encode())


def main() -> None:
    """Work until the caller closes the pipe."""
    # Ctrl-C reaches the whole group: the caller ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        os._exit(1)  # the caller is gone


def _write_frame(pipe: IO[bytes], content: bytes) -> None:
    pipe.write(len(content).to_bytes(LENGTH, "little"))
    pipe.write(content)
    pipe.flush()


def _read_frame(pipe: IO[bytes]) -> bytes | None:
    """The next frame, or None where the pipe is at its end."""
    head = pipe.read(LENGTH)
    if len(head) < LENGTH:
        return None
    length = int.from_bytes(head, "little")
    content = pipe.read(length)
    return content if len(content) == length else None


def _died() -> TextError:
    return TextError("a process that tokenizes died: is the memory full?")


if __name__ == "__main__":
    main()
