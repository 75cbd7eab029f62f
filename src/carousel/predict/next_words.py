"""Many-to-one: all the words so far in, the likeliest next words out."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from carousel.errors import PredictionError
from carousel.inference.model import RecurrentLM
from carousel.inference.state import State
from carousel.predict.blocked_words import BlockedWords
from carousel.predict.word_index import word_index
from carousel.predict.word_search import search_words
from carousel.softmax import softmax
from carousel.text.scripts import is_unspaced
from carousel.text.tokenizer import MASK, Tokenizer, check_text

BLOCK = 1024
"""Words that are read at a time, so that memory stays bounded."""
WORD_FOLLOWS = frozenset("-/_#@\N{HYPHEN}\N{NON-BREAKING HYPHEN}¿¡")
"""Signs that a word follows with no space between."""


class Prediction(NamedTuple):
    """A word and its probability."""

    word: str
    probability: float

    def __repr__(self) -> str:
        return f"Prediction(word={self.word!r}, probability={self.probability:.4g})"


def predict_next(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str,
    k: int = 5,
    prefix: str | None = None,
    *,
    complete: bool = False,
    window: int | None = None,
    bad_words: BlockedWords | Sequence[str] = (),
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
        bad_words: words that are never given, in lower or upper case.

    Raises:
        PredictionError: ``k`` or ``window`` is below 1, or no word of the text is known.
        TextError: the text or the prefix is no string.

    >>> import carousel
    >>> model = carousel.load("stories-lstm")
    >>> predict_next(model.model, model.tokenizer, "krish likes pizza so he orders", k=1)[0].word
    'pizza'
    """
    if complete:
        if prefix is not None:
            raise PredictionError("give a prefix, or a text that ends in one: not both")
        text, prefix = tokenizer.split_prefix(text)
    blocked = block_words(tokenizer, bad_words)
    read, attached = split_space(tokenizer, text, follows=complete and bool(prefix))
    ids = encode_known(tokenizer, read)
    if window is None:
        hidden, state = read_ids(model, tokenizer, ids)
    else:
        hidden, state = read_window(model, tokenizer, ids, window)
    return rank_words(
        model, tokenizer, hidden, state, k, prefix, attached=attached, blocked=blocked
    )


def split_space(tokenizer: Tokenizer, text: str, *, follows: bool = False) -> tuple[str, bool]:
    """The part of a text that is read before its next word, and how that word is joined to it.

    Byte pairs begin a word with the space before it. So a space at the end of a text is left for
    the word to come, and is not read twice.

    Args:
        tokenizer: the model's tokenizer.
        text: the text so far.
        follows: the next word stands behind the text exactly as it is: it is half typed.

    Returns:
        What is read, and whether the next word follows at once, with no space before it.

    >>> from carousel.text.vocabulary import train_tokenizer
    >>> split_space(train_tokenizer("bpe", ["the cat"]), "the ")
    ('the', False)
    """
    check_text(text)
    if tokenizer.kind == "bpe" and text.endswith(" "):
        return text[:-1], False
    if not text or text[-1].isspace() or follows:
        return text, True
    return text, _word_follows(text)


def _word_follows(text: str) -> bool:
    """Whether a word follows a text at once: after an opening bracket, a hyphen, in Chinese."""
    last, before = text[-1], text[-2:-1]
    if last in "\"'":
        return not before or before.isspace() or unicodedata.category(before) in ("Ps", "Pi")
    opens = unicodedata.category(last) in ("Ps", "Pi", "Pd")
    return opens or last in WORD_FOLLOWS or is_unspaced(last)


def block_words(tokenizer: Tokenizer, bad_words: BlockedWords | Sequence[str]) -> BlockedWords:
    """The words that are never given, from a list of them."""
    return bad_words if isinstance(bad_words, BlockedWords) else BlockedWords(tokenizer, bad_words)


def rank_words(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    hidden: np.ndarray,
    state: State,
    k: int,
    prefix: str | None = None,
    *,
    attached: bool = False,
    blocked: BlockedWords | None = None,
) -> list[Prediction]:
    """The ``k`` likeliest next words, from what was read so far.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        hidden: ``[P]``: what the decoder gets after the text.
        state: the state after the text, of one sequence.
        k: how many words.
        prefix: only words that start so.
        attached: whether the next word follows at once, with no space before it; see
            ``split_space``.
        blocked: words that are never given.
    """
    if not isinstance(k, int | np.integer) or k < 1:
        raise PredictionError(f"k must be at least 1, not {k!r}")
    if prefix is not None:
        check_text(prefix)
    prefix = tokenizer.normalize(prefix or "")
    if not tokenizer.whole_words:
        logits = model.logits(hidden)
        is_blocked = blocked.__contains__ if blocked else None
        words = search_words(
            model, tokenizer, logits, state, k, prefix, attached=attached, is_blocked=is_blocked
        )
        return [Prediction(word, p) for word, p in words]
    index = word_index(tokenizer)
    given = index.mask & ~blocked.mask if blocked else index.mask
    if prefix:
        candidates = index.with_prefix(prefix)
        candidates = candidates[given[candidates]]
        if not len(candidates):
            return []
        probabilities = softmax(model.logits(hidden)[candidates])
        # Stable, so that equal words come in the vocabulary's order.
        best = np.argsort(-probabilities, kind="stable")[:k]
        pairs = zip(candidates[best].tolist(), probabilities[best].tolist(), strict=True)
    else:
        return best_words(model, tokenizer, hidden[None], k, given)[0]
    return [Prediction(tokenizer.token(id), probability) for id, probability in pairs]


def best_words(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    hidden: np.ndarray,
    k: int,
    given: np.ndarray | None = None,
) -> list[list[Prediction]]:
    """The likeliest next words after several texts at once, for a model whose tokens are words.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        hidden: ``[N, P]``: what the decoder gets after each text.
        k: how many words; fewer are given where there are fewer.
        given: ``[V]`` of bool: the words that may be given; None for all.

    Returns:
        of each text the ``k`` likeliest words, best first.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> texts = ["krish likes pizza so he orders", "krish likes burger so he orders"]
    >>> ends = [read_ids(lm.model, lm.tokenizer, lm.tokenizer.encode(text))[0] for text in texts]
    >>> [words[0].word for words in best_words(lm.model, lm.tokenizer, np.stack(ends), 1)]
    ['pizza', 'burger']
    """
    mask = word_index(tokenizer).mask if given is None else given
    width = k
    # Marks and numbers can be among the best: then more of the best are asked for.
    while True:
        width = min(len(mask), 2 * width + 8)
        ids, log_probabilities = model.top_k(hidden, width)
        # Lists: NumPy's calls take longer than a few words do.
        rows = zip(ids.tolist(), log_probabilities.tolist(), mask[ids].tolist(), strict=True)
        best = [[pair for *pair, is_word in zip(*row, strict=True) if is_word][:k] for row in rows]
        if width == len(mask) or all(len(pairs) == k for pairs in best):
            break
    return [
        [Prediction(tokenizer.token(id), math.exp(log_probability)) for id, log_probability in row]
        for row in best
    ]


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
        raise PredictionError(
            f"none of the words of {shown!r} is known to this model: "
            "`carousel info MODEL --words` lists those that it knows"
        )
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
    for first in range(0, len(ids), BLOCK):
        reading = model.read(np.asarray(ids[first : first + BLOCK], dtype=np.int64)[:, None], state)
        state = reading.state
    return reading.hidden[-1, 0], state


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
