"""Whole words from models of characters or byte pairs, by beam search."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from carousel.inference.model import RecurrentLM
from carousel.inference.state import State, take_sequences
from carousel.softmax import log_softmax, log_sum_exp
from carousel.text.tokenizer import Tokenizer

LONGEST_WORD = 40
"""Tokens after which a beam is given up."""
SPACE = "Ġ"
"""How the byte-level alphabet of byte-pair encoding writes a space."""


class Alphabet(NamedTuple):
    """Which tokens can begin a word, and which can go on with one: ``[V]`` of bool each."""

    begin: np.ndarray
    begin_line: np.ndarray
    """Begin a word at the start of a line, where no space stands before it."""
    go_on: np.ndarray
    surfaces: tuple[str, ...]
    """What each token adds to a word."""


def search_words(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    logits: np.ndarray,
    state: State,
    k: int,
    prefix: str = "",
    *,
    line_start: bool = False,
) -> list[tuple[str, float]]:
    """The ``k`` likeliest whole next words and their probabilities.

    A word's probability is that of its tokens times that of no further letter after them; the
    several ways in which byte pairs can spell a word are added up. With a ``prefix`` the
    probabilities are those among the words that were found to continue it.
    """
    alphabet = _alphabet(tokenizer)
    if tokenizer.kind == "chars" and not line_start:
        logits, state = _read_space(model, tokenizer, logits, state)
    beams: list[tuple[float, str]] = [(0.0, "")]
    width = max(32, 4 * k)
    probabilities: dict[str, float] = {}
    allowed = alphabet.begin_line if line_start else alphabet.begin
    scores = logits[None, :]
    for _ in range(LONGEST_WORD):
        log_p = log_softmax(scores.astype(np.float64))
        grown: list[tuple[float, str, int, int]] = []
        for row, (so_far, word) in enumerate(beams):
            tokens = np.flatnonzero(allowed)
            if len(word) < len(prefix):
                rest = prefix[len(word) :]
                fits = [_fits(alphabet.surfaces[token], rest) for token in tokens]
                tokens = tokens[np.array(fits, dtype=bool)]
            if word and len(word) >= len(prefix):
                ends = -np.expm1(min(0.0, float(log_sum_exp(log_p[row, alphabet.go_on]))))
                probabilities[word] = probabilities.get(word, 0.0) + float(np.exp(so_far) * ends)
            best = tokens[np.argsort(-log_p[row, tokens], kind="stable")[:width]]
            grown += [
                (so_far + float(log_p[row, t]), word + alphabet.surfaces[t], row, int(t))
                for t in best
            ]
        grown.sort(key=lambda beam: -beam[0])
        grown = grown[:width]
        enough = sorted(probabilities.values(), reverse=True)[:k]
        # A longer word can't be likelier than its beginning.
        if not grown or (len(enough) == k and np.exp(grown[0][0]) < enough[-1]):
            break
        rows = [row for _, _, row, _ in grown]
        state = take_sequences(state, rows)
        scores, state = model.step([token for *_, token in grown], state)
        beams = [(so_far, word) for so_far, word, _, _ in grown]
        allowed = alphabet.go_on
    best_words = sorted(probabilities.items(), key=lambda item: (-item[1], item[0]))[:k]
    if prefix:
        total = sum(probabilities.values())
        best_words = [(word, p / total) for word, p in best_words if total > 0]
    return best_words


def _read_space(
    model: RecurrentLM, tokenizer: Tokenizer, logits: np.ndarray, state: State
) -> tuple[np.ndarray, State]:
    space = tokenizer.id(" ")
    if space is None:
        return logits, state
    scores, state = model.step([space], state)
    return scores[0], state


def _fits(surface: str, rest: str) -> bool:
    return surface.startswith(rest) or rest.startswith(surface)


@lru_cache(maxsize=8)
def _alphabet(tokenizer: Tokenizer) -> Alphabet:
    tokens = tokenizer.tokens()
    spaced = [token.startswith(SPACE) for token in tokens]
    if tokenizer.kind == "chars":
        surfaces = tokens
        spaced = [False] * len(tokens)
    else:
        surfaces = [tokenizer.decode([i]).strip() for i in range(len(tokens))]
    letters = np.array(
        [i > tokenizer.eol_id and _is_letters(surface) for i, surface in enumerate(surfaces)]
    )
    after_space = np.array(spaced)
    begin_line = letters & ~after_space
    begin = letters & after_space if tokenizer.kind == "bpe" else begin_line
    return Alphabet(begin, begin_line, begin_line, tuple(surfaces))


def _is_letters(text: str) -> bool:
    return bool(text) and all(
        char in "'\N{RIGHT SINGLE QUOTATION MARK}" or unicodedata.category(char)[0] in "LM"
        for char in text
    )
