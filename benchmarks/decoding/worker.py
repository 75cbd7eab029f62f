"""One process a peer, so that no library's threads or settings touch another's.

A worker loads its model, then waits at a pipe; it works only while it is asked to, one at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

SETTLE = 0.02
"""Seconds between two turns, in which threads that spin after their work go to sleep."""
UNTIMED = 3
"""Steps at the start of a turn that bring the weights back into the caches."""
FEWEST = 5
TEXT = 12
"""Words of a text that a next word is asked for from scratch."""


class Worker:
    """A peer in a process of its own; leaving the ``with`` ends it."""

    def __init__(self, name: str, folder: Path, threads: int = 1) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the process loads a library
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, name, folder, threads))
        self.process.start()
        theirs.close()
        self.ask()

    def ask(self, *question: Any) -> Any:
        """Send a method's name and arguments, if any, and wait for what it returns."""
        if question:
            self.pipe.send(question)
        answer = self.pipe.recv()
        time.sleep(SETTLE)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pipe.close()
        self.process.join()


class _Desk:
    """What a worker can be asked."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        from decoding.peers import PEERS

        self.peer, self.folder = PEERS[name][0](folder, threads), folder
        self.ids = np.random.default_rng(1).integers(0, 1000, 4096)

    def check(self, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """What is predicted after each of the first words, from a fresh state."""
        return [self.peer.plain(self.peer.step(int(token))) for token in self.ids[:steps]]

    def time(self, seconds: float) -> float:
        """Microseconds of a step, the median over a turn of ``seconds``."""
        return _microseconds(self.peer.step, [int(token) for token in self.ids], seconds)

    def time_session(self, seconds: float) -> float:
        """The same of Carousel's public session: a word is fed, three next words are asked for."""
        import carousel

        session = carousel.load(self.folder).session()
        words = [session.tokenizer.tokens()[token] for token in self.ids]

        def step(word: str) -> None:
            session.feed(word)
            session.next_words(k=3)

        return _microseconds(step, words, seconds)

    def time_text(self, seconds: float) -> float:
        """Microseconds of ``next_words(k=3)`` of a model on texts of ``TEXT`` words."""
        import carousel

        model = carousel.load(self.folder)
        words = [model.tokenizer.tokens()[token] for token in self.ids]
        texts = [" ".join(words[at : at + TEXT]) for at in range(0, len(words) - TEXT, TEXT)]
        return _microseconds(lambda text: model.next_words(text, k=3), texts, seconds)

    def memory(self) -> tuple[int, int]:
        """Bytes of this process in memory: all, and those that no file backs."""
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        all_, own = (
            int(re.findall(rf"{name}:\s+(\d+) kB", text)[0]) for name in ("VmRSS", "RssAnon")
        )
        return 1024 * all_, 1024 * own

    def about(self) -> dict[str, Any]:
        """Of Carousel: the instruction set, bytes read a step, bytes of a session's state."""
        decoder = self.peer.decoder
        return {
            "isa": decoder.isa,
            "bytes_read": decoder.bytes_read,
            "state_bytes": decoder.state_bytes,
        }

    def time_together(self, sessions: int, seconds: float) -> float:
        """Words a second of so many sessions that step together, each with its predictions."""
        state = self.peer.decoder.initial_state(sessions)
        tokens = np.resize(self.ids, (7, sessions))
        self.peer.step_together(tokens[0], state)
        taken, end = [], time.perf_counter() + seconds
        while len(taken) < FEWEST or time.perf_counter() < end:
            start = time.perf_counter()
            self.peer.step_together(tokens[len(taken) % 7], state)
            taken.append(time.perf_counter() - start)
        return sessions / float(np.median(taken))

    def score(self, words: int) -> tuple[float, np.ndarray]:
        """Words a second of scoring a text, and the log-probabilities that came out."""
        ids = np.resize(self.ids, words)
        start = time.perf_counter()
        log_probs = self.peer.score(ids)
        return words / (time.perf_counter() - start), log_probs


def _microseconds(step: Callable[[Any], object], given: Sequence[Any], seconds: float) -> float:
    """The median time of ``step`` over a turn of ``seconds``, on what is given in turn."""
    for each in given[:UNTIMED]:
        step(each)
    taken, end = [], time.perf_counter() + seconds
    while len(taken) < FEWEST or time.perf_counter() < end:
        each = given[len(taken) % len(given)]
        start = time.perf_counter_ns()
        step(each)
        taken.append(time.perf_counter_ns() - start)
    return float(np.median(taken)) / 1e3


def _work(pipe: Connection, name: str, folder: Path, threads: int) -> None:
    try:
        desk = _Desk(name, folder, threads)
        pipe.send(None)
        while True:
            question, *arguments = pipe.recv()
            pipe.send(getattr(desk, question)(*arguments))
    except EOFError:
        pass  # the parent has let go
    except Exception as error:
        pipe.send(error)
