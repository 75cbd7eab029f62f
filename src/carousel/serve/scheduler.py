"""The scheduler: all work on one model, done step by step, and together where that is faster.

A piece of work is a generator. It yields operations on the model and is sent their results. So the
scheduler can take one operation of each piece in turn: a long text does not keep a next word
waiting, and single steps of several texts become one product of matrices.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from carousel.inference.backend import Reading
from carousel.inference.model import RecurrentLM
from carousel.inference.state import State, join_sequences, take_sequences
from carousel.predict.next_words import Prediction, best_words
from carousel.serve.errors import ApiError
from carousel.serve.limits import MAX_WAITING
from carousel.text.tokenizer import Tokenizer

INLINE_SECONDS = 0.0004
"""Work that takes less is done at once: to hand it to the thread and back takes as long."""
BATCHES = (8, 32)
"""Batches that are tried when a model is opened; the largest that fits is used."""
TRIALS = 5

T = TypeVar("T")


class Read(NamedTuple):
    """Read token ids from a state; the result is a ``Reading`` with ``hidden [T, 1, P]``."""

    ids: Sequence[int]
    state: State


class BestWords(NamedTuple):
    """Find the ``k`` likeliest words after ``hidden [P]``; the result is a list of predictions."""

    hidden: np.ndarray
    k: int


class Call(NamedTuple):
    """Call a function that needs a while; the result is what it returns."""

    function: Callable[[], Any]


Operation = Read | BestWords | Call
Work = Generator[Operation, Any, T]


class Job(Generic[T]):
    """Work that waits or is under way.

    Args:
        work: the generator.
        loop: the event loop that waits for it.
    """

    def __init__(self, work: Work[T], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.future: asyncio.Future[T] = loop.create_future()
        self.operation: Operation | None = None
        self.cancelled = False

    def cancel(self) -> None:
        """Stop the work after the operation that is under way."""
        self.cancelled = True


class Scheduler:
    """Does the work on one model, in a thread of its own.

    Args:
        model: the model.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: RecurrentLM, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.max_batch = find_batch(model)
        """So many texts step together; 1 where a batch would round in another way."""
        self.step_seconds = _measure_step(model)
        """How long it takes to read one token and find the likeliest next words."""
        self._waiting: list[Job[Any]] = []
        self._active: list[Job[Any]] = []
        self._wake = threading.Condition()
        self._closing = False
        self._outbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._thread: threading.Thread | None = None

    @property
    def depth(self) -> int:
        """How many pieces of work wait or are under way."""
        return len(self._waiting) + len(self._active)

    async def run(self, work: Work[T], tokens: int | None = None) -> T:
        """Do a piece of work and return its result.

        Args:
            work: the work.
            tokens: about so many tokens are read; None for work that is always left to the thread.

        Raises:
            ApiError: too much work waits already.
        """
        if tokens is not None and tokens * self.step_seconds <= INLINE_SECONDS:
            return self._run_here(work)
        job = self.submit(work)
        try:
            return await job.future
        finally:
            job.cancel()

    def submit(self, work: Work[T]) -> Job[T]:
        """Give work to the thread; its result comes to ``job.future``.

        Raises:
            ApiError: too much work waits already.
        """
        if self.depth >= MAX_WAITING:
            raise ApiError(429, "too many requests wait for this model: try again in a moment")
        job = Job(work, asyncio.get_running_loop())
        with self._wake:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run_thread, args=(job.future.get_loop(),), daemon=True
                )
                self._thread.start()
            self._waiting.append(job)
            self._wake.notify()
        return job

    def post(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Have the event loop call something; only for work that is under way in the thread."""
        self._outbox.append((callback, arguments))

    def close(self) -> None:
        """Give up all work and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _run_here(self, work: Work[T]) -> T:
        try:
            operation = next(work)
            while True:
                operation = work.send(self._do(operation))
        except StopIteration as end:
            result: T = end.value
            return result

    # -- in the thread ------------------------------------------------------------------------

    def _run_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._active or self._closing):
                    self._wake.wait()
                if self._closing:
                    return
                arrived, self._waiting = self._waiting, []
                self._active += arrived
            for job in arrived:
                self._advance(job, next, job.work)
            self._round()
            self._active = [job for job in self._active if job.operation is not None]
            if self._outbox:
                posted, self._outbox = self._outbox, []
                loop.call_soon_threadsafe(_call_all, posted)

    def _round(self) -> None:
        """One operation of each piece of work, those of a kind together."""
        reads: list[Job[Any]] = []
        rankings: list[Job[Any]] = []
        for job in self._active:
            if job.cancelled:
                job.work.close()
                job.operation = None
            elif self.max_batch > 1 and _is_step(job.operation):
                reads.append(job)
            elif self.max_batch > 1 and isinstance(job.operation, BestWords):
                rankings.append(job)
            elif job.operation is not None:
                self._do_alone(job)
        for jobs, together in ((rankings, self._rank_together), (reads, self._step_together)):
            for first in range(0, len(jobs), self.max_batch):
                batch = jobs[first : first + self.max_batch]
                if len(batch) == 1:
                    self._do_alone(batch[0])
                else:
                    together(batch)

    def _do_alone(self, job: Job[Any]) -> None:
        assert job.operation is not None
        try:
            result = self._do(job.operation)
        except Exception as error:
            self._advance(job, job.work.throw, error)
        else:
            self._advance(job, job.work.send, result)

    def _do(self, operation: Operation) -> Any:
        if isinstance(operation, Read):
            return self.model.read(np.array(operation.ids)[:, None], operation.state)
        if isinstance(operation, BestWords):
            return best_words(self.model, self.tokenizer, operation.hidden[None], operation.k)[0]
        return operation.function()

    def _step_together(self, jobs: list[Job[Any]]) -> None:
        operations = [job.operation for job in jobs]
        ids = np.array([[operation.ids[0] for operation in operations]])  # type: ignore[union-attr]
        states = [operation.state for operation in operations]  # type: ignore[union-attr]
        try:
            reading = self.model.read(ids, join_sequences(states))
        except Exception:
            # One of them is at fault: it alone is told so.
            for job in jobs:
                self._do_alone(job)
            return
        for row, job in enumerate(jobs):
            hidden = reading.hidden[:, row : row + 1]
            own = Reading(hidden, take_sequences(reading.state, [row]), {})
            self._advance(job, job.work.send, own)

    def _rank_together(self, jobs: list[Job[Any]]) -> None:
        operations = [job.operation for job in jobs]
        hidden = np.stack([operation.hidden for operation in operations])  # type: ignore[union-attr]
        most = max(operation.k for operation in operations)  # type: ignore[union-attr]
        try:
            rows: list[list[Prediction]] = best_words(self.model, self.tokenizer, hidden, most)
        except Exception:
            for job in jobs:
                self._do_alone(job)
            return
        for job, operation, predictions in zip(jobs, operations, rows, strict=True):
            self._advance(job, job.work.send, predictions[: operation.k])  # type: ignore[union-attr]

    def _advance(self, job: Job[Any], go_on: Callable[[Any], Operation], value: Any) -> None:
        """Let work go on to its next operation, or to its end."""
        try:
            job.operation = go_on(value)
        except StopIteration as end:
            job.operation = None
            self.post(_finish, job.future, end.value, None)
        except Exception as error:
            job.operation = None
            self.post(_finish, job.future, None, error)


def _is_step(operation: Operation | None) -> bool:
    return isinstance(operation, Read) and len(operation.ids) == 1


def _call_all(posted: list[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    for callback, arguments in posted:
        callback(*arguments)


def _finish(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():  # whoever waited has gone
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def find_batch(model: RecurrentLM) -> int:
    """The largest batch in which a model computes the same numbers, bit for bit, as one by one.

    Sums of int8 do, in any order. Those of floats are rounded, and a batch may add in another
    order: then what one client is told would depend on who else asks, and there is no batch.
    """
    rng = np.random.default_rng(0)
    most = max(BATCHES)
    ids = rng.integers(0, model.config.vocab_size, most)
    k = min(12, model.config.vocab_size)
    state = model.read(ids[None, ::-1], model.initial_state(most)).state
    alone = [
        model.read(ids[None, row : row + 1], take_sequences(state, [row])) for row in range(most)
    ]
    ranked = [model.top_k(reading.hidden[0], k) for reading in alone]
    fits = 1
    for size in BATCHES:
        together = model.read(ids[None, :size], take_sequences(state, np.arange(size)))
        best, log_probabilities = model.top_k(together.hidden[0], k)
        same = all(
            np.array_equal(together.hidden[:, row], alone[row].hidden[:, 0])
            and np.array_equal(best[row], ranked[row][0][0])
            and np.array_equal(log_probabilities[row], ranked[row][1][0])
            for row in range(size)
        )
        if not same:
            break
        fits = size
    return fits


def _measure_step(model: RecurrentLM) -> float:
    state, k = model.initial_state(), min(12, model.config.vocab_size)
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        model.top_k(model.read(np.zeros((1, 1), dtype=np.int64), state).hidden[0], k)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[TRIALS // 2]
