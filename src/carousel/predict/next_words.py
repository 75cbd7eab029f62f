"""Many-to-one: all the words so far in, the likeliest next words out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from carousel.errors import PredictionError
from carousel.inference.model import RecurrentLM
from carousel.inference.state import State
from carousel.predict.word_index import word_index
from carousel.predict.word_search import search_words
from carousel.softmax import softmax
from carousel.text.tokenizer import MASK, Tokenizer


class Prediction(NamedTuple):
    """A word and its probability."""

    word: str
    probability: float


def predict_next(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str,
    k: int = 5,
    prefix: str | None = None,
    *,
    complete: bool = False,
    window: int | None = None,
) -> list[Prediction]:
    """The ``k`` likeliest next words after ``text``, best first; fewer where there are fewer.

    Only whole words are offered: tokens that start with a letter; for models of characters and byte
    pairs, words found by beam search. Without a ``prefix`` the probability is the model's own,
    among all tokens; with one it is the probability among the words that continue it.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        text: all the words so far; empty for the start of a line.
        k: how many words.
        prefix: the word being typed: only words that start so.
        complete: take the half-typed word at the end of ``text`` as the prefix.
        window: read this many tokens alone, the last ones, as models of Keras do; see
            ``read_window``.

    Raises:
        PredictionError: ``k`` or ``window`` is below 1, or no word of the text is known.

    >>> import carousel
    >>> model = carousel.load("stories-lstm")
    >>> predict_next(model.model, model.tokenizer, "krish likes pizza so he orders", k=1)[0].word
    'pizza'
    """
    if complete:
        if prefix is not None:
            raise PredictionError("give a prefix, or a text that ends in one: not both")
        text, prefix = tokenizer.split_prefix(text)
    ids = encode_known(tokenizer, text)
    if window is None:
        hidden, state = read_ids(model, tokenizer, ids)
    else:
        hidden, state = read_window(model, tokenizer, ids, window)
    line_start = not text or text[-1] == "\n"
    return rank_words(model, tokenizer, hidden, state, k, prefix, line_start=line_start)


def rank_words(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    hidden: np.ndarray,
    state: State,
    k: int,
    prefix: str | None = None,
    *,
    line_start: bool = False,
) -> list[Prediction]:
    """The ``k`` likeliest next words, from what was read so far.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        hidden: ``[P]``: what the decoder gets after the text.
        state: the state after the text, of one sequence.
        k: how many words.
        prefix: only words that start so.
        line_start: whether a line starts here, so that no space comes before the next word.
    """
    if k < 1:
        raise PredictionError(f"k must be at least 1, not {k}")
    prefix = tokenizer.normalize(prefix or "")
    if not tokenizer.whole_words:
        logits = model.logits(hidden)
        words = search_words(model, tokenizer, logits, state, k, prefix, line_start=line_start)
        return [Prediction(word, p) for word, p in words]
    index = word_index(tokenizer)
    if prefix:
        candidates = index.with_prefix(prefix)
        if not len(candidates):
            return []
        probabilities = softmax(model.logits(hidden)[candidates])
        # Stable, so that equal words come in the vocabulary's order.
        best = np.argsort(-probabilities, kind="stable")[:k]
        pairs = zip(candidates[best].tolist(), probabilities[best].tolist(), strict=True)
    else:
        pairs = zip(*_best_words(model, hidden, min(k, index.count), index.mask), strict=True)
    return [Prediction(tokenizer.token(id), probability) for id, probability in pairs]


def _best_words(
    model: RecurrentLM, hidden: np.ndarray, k: int, is_word: np.ndarray
) -> tuple[list[int], list[float]]:
    """The ids and probabilities of the ``k`` likeliest words."""
    width = k
    # Marks and numbers can be among the best: then more of the best are asked for.
    while True:
        width = min(len(is_word), 2 * width + 8)
        ids, log_probabilities = model.top_k(hidden[None], width)
        words = is_word[ids[0]]
        if int(words.sum()) >= k or width == len(is_word):
            best = np.flatnonzero(words)[:k]
            probabilities = np.exp(log_probabilities[0, best].astype(np.float64))
            return ids[0, best].tolist(), probabilities.tolist()


def encode_known(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of ``text``.

    Raises:
        PredictionError: there are words, and the model knows none of them.
    """
    ids = tokenizer.encode(text)
    words = [i for i in ids if i != tokenizer.eol_id]
    if words and all(i == tokenizer.unknown_id for i in words):
        shown = text.strip()
        shown = shown if len(shown) <= 40 else shown[:40] + "…"
        raise PredictionError(f"none of the words of {shown!r} is known to this model")
    return ids


def read_ids(
    model: RecurrentLM, tokenizer: Tokenizer, ids: Sequence[int], state: State | None = None
) -> tuple[np.ndarray, State]:
    """Read token ids one after the other.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        ids: what to read.
        state: the state so far; None for the start of a line: every text is read as if a line had
            just ended, as the first word of a line was met in training.

    Returns:
        what the decoder gets after the last id, ``[P]``, and the state.

    Raises:
        ValueError: no ids and a state, so that there is nothing to read.
    """
    if state is None:
        ids, state = [tokenizer.eol_id, *ids], model.initial_state()
    if not ids:
        raise ValueError("nothing to read")
    reading = model.read(np.asarray(ids, dtype=np.int64)[:, None], state)
    return reading.hidden[-1, 0], reading.state


def read_window(
    model: RecurrentLM, tokenizer: Tokenizer, ids: Sequence[int], window: int
) -> tuple[np.ndarray, State]:
    """Read the last tokens alone from a zero state, as a model that was trained on windows does.

    Fewer tokens are filled up on the left, as Keras's ``pad_sequences`` does: with the end of a
    line, which is the padding of models that were imported from Keras. Where the tokenizer has a
    token ``<mask>``, the padding is skipped, and nothing is filled up.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        ids: the text's tokens.
        window: how many tokens are read.

    Returns:
        As ``read_ids``.

    Raises:
        PredictionError: ``window`` is below 1, or there is nothing to read.
    """
    if window < 1:
        raise PredictionError(f"a window has at least 1 token, not {window}")
    last = list(ids)[-window:]
    if tokenizer.id(MASK) is None:
        last = [tokenizer.eol_id] * (window - len(last)) + last
    if not last:
        raise PredictionError("there is no word to read, and the model skips the padding")
    return read_ids(model, tokenizer, last, model.initial_state())
