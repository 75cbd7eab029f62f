"""How likely texts are: the log-probability of each of their tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Queue
from threading import Event, Semaphore, Thread

import numpy as np

from carousel.engine.threads import cpu_count
from carousel.errors import PredictionError
from carousel.inference.model import RecurrentLM
from carousel.text.tokenizer import Tokenizer, check_text

BLOCK = 64
"""Words that are read at a time."""
TOGETHER = 32
"""Texts that are stepped together."""


@dataclass(frozen=True)
class Score:
    """The score of a text."""

    tokens: list[str]
    """The tokens as the model reads them; the last is the end of the line."""
    log_probabilities: np.ndarray
    """``[N]``: of each token after all before it, in nats."""
    unknown: int
    """How many of the tokens are unknown to the model; they count as the unknown word."""
    words: int
    """Words as written (between white space)."""

    @property
    def log_probability(self) -> float:
        """Of the whole text, in nats."""
        return float(self.log_probabilities.sum())

    @property
    def perplexity(self) -> float:
        """Per token: ``exp`` of the mean negative log-probability."""
        return math.exp(min(-self.log_probability / len(self.tokens), 700.0))

    @property
    def perplexity_per_word(self) -> float:
        """``exp(nats / (words + 1))``: one event a word and one the text's end, so that models with
        different tokens can be compared.
        """
        return math.exp(min(-self.log_probability / (self.words + 1), 700.0))


def score_text(model: RecurrentLM, tokenizer: Tokenizer, text: str) -> Score:
    """Score ``text`` and the end of its line, read after the end of a line.

    Raises:
        PredictionError: the text is empty.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> likely = score_text(lm.model, lm.tokenizer, "krish likes pizza so he orders pizza")
    >>> odd = score_text(lm.model, lm.tokenizer, "krish likes pizza so he orders burger")
    >>> likely.log_probability > odd.log_probability
    True
    """
    check_text(text)
    if not text.strip():
        raise PredictionError("there is no text to score")
    return score_texts(model, tokenizer, [text])[0]


def score_texts(model: RecurrentLM, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Score]:
    """Score many texts, each of its own, as ``score_text`` does; texts of like length go together.

    Args:
        model: the model. One that learns from a single sequence reads them one by one.
        tokenizer: its tokenizer.
        texts: the texts; of an empty one the end of its line is scored.

    Returns:
        Their scores, in their order.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> [score.words for score in score_texts(lm.model, lm.tokenizer, ["krish likes pizza", ""])]
    [3, 0]
    """
    eol = tokenizer.eol_id
    ids = [np.array([*tokenizer.encode(text.removesuffix("\n")), eol]) for text in texts]
    log_probs = [np.empty(len(each)) for each in ids]
    by_length = sorted(range(len(ids)), key=lambda number: -len(ids[number]))
    together = TOGETHER if model.backend.context is not None else 1
    for first in range(0, len(ids), together):
        chosen = by_length[first : first + together]
        _score_together(model, eol, [ids[n] for n in chosen], [log_probs[n] for n in chosen])
    return [
        Score(
            [tokenizer.token(id) for id in each.tolist()],
            log_probs_of_text,
            int((each == tokenizer.unknown_id).sum()),
            len(text.split()),
        )
        for text, each, log_probs_of_text in zip(texts, ids, log_probs, strict=True)
    ]


def _score_together(
    model: RecurrentLM, eol: int, ids: Sequence[np.ndarray], log_probs: Sequence[np.ndarray]
) -> None:
    """Fill ``log_probs`` with those of ``ids``, texts of which the longest comes first."""
    lengths = np.array([len(each) for each in ids])
    state = model.initial_state(len(ids))
    for first in range(0, lengths[0], BLOCK):
        block = min(BLOCK, lengths[0] - first)
        # Beyond its end a text is filled up with line ends, whose scores are left out.
        padded = np.full((block + 1, len(ids)), eol, dtype=np.int64)
        for row, each in enumerate(ids):
            part = each[max(first - 1, 0) : first + block]
            padded[int(first == 0) : int(first == 0) + len(part), row] = part
        reading = model.read(padded[:-1], state)
        state = reading.state
        there = np.arange(first, first + block)[:, None] < lengths
        found = np.empty(there.shape)
        found[there] = model.log_probs(reading.hidden[there], padded[1:][there])
        for row, into in enumerate(log_probs):
            count = max(0, min(block, lengths[row] - first))
            into[first : first + count] = found[:count, row]


def score_batches(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    batches: Iterable[Sequence[str]],
    *,
    threads: int | None = None,
) -> Iterator[tuple[Sequence[str], list[Score]]]:
    """Score a stream of texts on all cores, in bounded memory.

    A batch is taken when there is room for it, and its scores come as soon as they and those before
    them are there, also while ``batches`` waits for more.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        batches: some texts at a time.
        threads: how many threads score; None for as many as there are CPUs.

    Yields:
        Each batch and its scores, in order.

    Raises:
        Exception: what ``batches`` raises.
    """
    workers = threads or cpu_count()
    room, stopped = Semaphore(2 * workers), Event()
    results: Queue[tuple[Sequence[str], Future[list[Score]]] | BaseException | None] = Queue()
    pool = ThreadPoolExecutor(workers)

    def feed() -> None:
        try:
            for batch in batches:
                room.acquire()
                if stopped.is_set():
                    return
                results.put((batch, pool.submit(score_texts, model, tokenizer, batch)))
            results.put(None)
        except BaseException as error:
            results.put(error)

    # A daemon, as it may wait for input that never comes.
    Thread(target=feed, daemon=True).start()
    try:
        while (result := results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            batch, scores = result
            yield batch, scores.result()
            room.release()
    finally:
        stopped.set()
        room.release()
        with suppress(RuntimeError):
            pool.shutdown(wait=False, cancel_futures=True)
