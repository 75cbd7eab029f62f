"""Many-to-one: all the words so far in, the likeliest next words out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from carousel.cells import State
from carousel.errors import PredictionError
from carousel.model import LanguageModel
from carousel.predict.word_search import search_words
from carousel.softmax import softmax


class Prediction(NamedTuple):
    """A word and its probability."""

    word: str
    probability: float


def predict_next(
    model: LanguageModel,
    text: str,
    k: int = 5,
    prefix: str | None = None,
    *,
    complete: bool = False,
) -> list[Prediction]:
    """The ``k`` likeliest next words after ``text``, best first.

    Only whole words are offered: tokens that start with a letter; for character and byte-pair
    models, words found by beam search. Without a ``prefix`` the probability is the model's own,
    among all tokens; with one it is the probability among the words that continue it.

    Args:
        model: the model.
        text: all the words so far; empty for the start of a line.
        k: how many words.
        prefix: the word being typed: only words that start so.
        complete: take the half-typed word at the end of ``text`` as the prefix.

    Raises:
        PredictionError: ``k`` is below 1 or above the number of known words, or no word of the
            text is known.
    """
    if complete:
        if prefix is not None:
            raise PredictionError("give a prefix, or a text that ends in one: not both")
        text, prefix = model.tokenizer.split_prefix(text)
    ids = encode_known(model, text)
    logits, state = model.read(ids)
    return rank_words(model, logits, state, k, prefix, line_start=not text or text[-1] == "\n")


def rank_words(
    model: LanguageModel,
    logits: np.ndarray,
    state: State,
    k: int,
    prefix: str | None = None,
    *,
    line_start: bool = False,
) -> list[Prediction]:
    """The ``k`` likeliest words, given the logits ``[V]`` and the state after the text so far."""
    check_k(model, k)
    prefix = model.tokenizer.normalize(prefix or "")
    if model.tokenizer.kind in ("chars", "bpe"):
        found = search_words(model, logits, state, k, prefix, line_start=line_start)
        return [Prediction(word, p) for word, p in found]
    mask = model.word_mask
    if prefix:
        starts = [token.startswith(prefix) for token in model.tokenizer.tokens()]
        mask = mask & np.array(starts)
    candidates = np.flatnonzero(mask)
    if not len(candidates):
        return []
    probabilities = softmax(logits)[candidates]
    if prefix:
        probabilities = softmax(logits[candidates])
    # Stable, so that equal words come in the vocabulary's order.
    best = np.argsort(-probabilities, kind="stable")[:k]
    return [
        Prediction(model.tokenizer.token(int(candidates[at])), float(probabilities[at]))
        for at in best
    ]


def encode_known(model: LanguageModel, text: str) -> list[int]:
    """The ids of ``text``.

    Raises:
        PredictionError: there are words, and the model knows none of them.
    """
    ids = model.tokenizer.encode(text)
    words = [i for i in ids if i != model.tokenizer.eol_id]
    if words and all(i == model.tokenizer.unknown_id for i in words):
        shown = text.strip()
        shown = shown if len(shown) <= 40 else shown[:40] + "…"
        raise PredictionError(f"none of the words of {shown!r} is known to this model")
    return ids


def check_k(model: LanguageModel, k: int) -> None:
    """Refuse to look for fewer than one word or for more than there are.

    Raises:
        PredictionError: then.
    """
    if k < 1:
        raise PredictionError(f"k must be at least 1, not {k}")
    if model.tokenizer.kind in ("words", "whitespace"):
        known = int(model.word_mask.sum())
        if k > known:
            raise PredictionError(f"k is {k}, but this model knows only {known} words")
    elif k > model.config.vocab_size:
        raise PredictionError(f"k is {k}, but this model has only {model.config.vocab_size} tokens")
