"""Whole words from models of characters or byte pairs, by beam search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from carousel.inference.model import RecurrentLM
from carousel.inference.state import State, take_sequences
from carousel.predict.alphabet import Alphabet, alphabet_of, pending_bytes
from carousel.softmax import log_softmax, log_sum_exp
from carousel.text.scripts import is_unspaced
from carousel.text.tokenizer import Tokenizer

LONGEST_WORD = 40
"""Tokens after which a beam is given up."""


# Long, as the beams are one loop over what has been made so far.
def search_words(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    logits: np.ndarray,
    state: State,
    k: int,
    prefix: str = "",
    *,
    attached: bool = False,
    is_blocked: Callable[[str], bool] | None = None,
) -> list[tuple[str, float]]:
    """The ``k`` likeliest whole next words and their probabilities.

    A word's probability is that of its tokens times that of no further letter after them; the
    several ways in which byte pairs can spell a word are added up. In a script without spaces
    between words, a word of byte pairs ends where a token ends. With a ``prefix`` the probabilities
    are those among the words that were found to continue it.

    Args:
        model: the model.
        tokenizer: its tokenizer, of ``chars`` or ``bpe``.
        logits: scores ``[V]`` of the next token.
        state: the state after what was read.
        k: how many words.
        prefix: how the word begins, normalized.
        attached: whether the word follows at once; otherwise a space comes before it.
        is_blocked: tells the words that are never given.
    """
    alphabet = alphabet_of(tokenizer)
    if tokenizer.kind == "chars" and not attached:
        logits, state = _read_space(model, tokenizer, logits, state)
    beams: list[tuple[float, bytes]] = [(0.0, b"")]
    width = max(32, 4 * k)
    start = prefix.encode()
    probabilities: dict[str, float] = {}
    begin = alphabet.begin(spaced=tokenizer.kind == "bpe" and not attached)
    scores = logits[None, :]
    fitting: dict[tuple[bytes, bytes | None], np.ndarray] = {}
    for length in range(LONGEST_WORD):
        log_p = log_softmax(scores.astype(np.float64))
        grown: list[tuple[float, bytes, int, int]] = []
        for row, (so_far, spelled) in enumerate(beams):
            pending = pending_bytes(spelled)
            # A space may be a token of its own.
            go_on = alphabet.go_on(pending) if spelled else alphabet.begin(spaced=False)
            if spelled and not pending and len(spelled) >= len(start):
                word = spelled.decode()
                at_token = tokenizer.kind == "bpe" and is_unspaced(word[-1])
                more = -np.inf if at_token else min(0.0, float(log_sum_exp(log_p[row, go_on])))
                if word[0].isalpha() and not (is_blocked and is_blocked(word)):
                    share = float(np.exp(so_far) * -np.expm1(more))
                    probabilities[word] = probabilities.get(word, 0.0) + share
                if at_token:
                    continue
            key = (start[len(spelled) :], pending if spelled else None)
            if length == 0 or key not in fitting:
                fitting[key] = _fitting(alphabet, go_on if length else begin, key[0])
            tokens = fitting[key]
            best = tokens[np.argsort(-log_p[row, tokens], kind="stable")[:width]]
            grown += [
                (
                    so_far + float(log_p[row, t]),
                    spelled + _letters(alphabet, t, length),
                    row,
                    int(t),
                )
                for t in best
            ]
        fitting = {} if length == 0 else fitting
        grown.sort(key=lambda beam: -beam[0])
        grown = grown[:width]
        enough = sorted(probabilities.values(), reverse=True)[:k]
        # A longer word can't be likelier than its beginning.
        if not grown or (len(enough) == k and np.exp(grown[0][0]) < enough[-1]):
            break
        state = take_sequences(state, [row for _, _, row, _ in grown])
        scores, state = model.step([token for *_, token in grown], state)
        beams = [(so_far, spelled) for so_far, spelled, _, _ in grown]
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


def _fitting(alphabet: Alphabet, allowed: np.ndarray, rest: bytes) -> np.ndarray:
    """The ids of the allowed tokens that agree with the rest of a prefix."""
    ids = np.flatnonzero(allowed)
    if not rest:
        return ids
    fits = [
        (letters := alphabet.surfaces[id].removeprefix(b" ")).startswith(rest)
        or rest.startswith(letters)
        for id in ids
    ]
    fitting: np.ndarray = ids[np.array(fits, dtype=bool)]
    return fitting


def _letters(alphabet: Alphabet, token: int, length: int) -> bytes:
    """What a token adds to a word: the space before its first token is none of its letters."""
    surface = alphabet.surfaces[token]
    return surface if length else surface.removeprefix(b" ")
