"""Generation: one sampled token after the other, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from carousel.errors import SettingsError
from carousel.inference.model import RecurrentLM
from carousel.predict.next_words import encode_known, read_ids
from carousel.softmax import softmax
from carousel.text.tokenizer import Tokenizer


def generate(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str = "",
    *,
    max_tokens: int = 50,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | None = None,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """Continue ``text``, piece by piece; the pieces joined to ``text`` are the whole.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        text: what to continue; empty for the start of a line.
        max_tokens: the most tokens to add.
        temperature: logits are divided by it; 0 takes the likeliest token always.
        top_k: sample among the ``k`` likeliest only; 0 for all.
        top_p: sample among the fewest likeliest tokens that together have this probability
            (Holtzman et al. 2020, arXiv:1904.09751, section 3.1).
        seed: the same seed gives the same text.
        stop: generation ends before the first of these that comes up.

    The unknown word is never sampled.

    Raises:
        SettingsError: a setting out of its range.
        PredictionError: no word of the text is known.
    """
    if max_tokens < 1:
        raise SettingsError(f"max_tokens must be at least 1, not {max_tokens}")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise SettingsError(f"temperature must be 0 or more, not {temperature}")
    if top_k < 0:
        raise SettingsError(f"top_k must be 0 or more, not {top_k}")
    if not 0 < top_p <= 1:
        raise SettingsError(f"top_p must be more than 0 and at most 1, not {top_p}")
    if seed is not None and seed < 0:
        raise SettingsError(f"seed must be 0 or more, not {seed}")
    if any(not end for end in stop):
        raise SettingsError("an empty stop text would stop at once")
    ids = encode_known(tokenizer, text)
    return _pieces(
        model,
        tokenizer,
        ids,
        max_tokens,
        temperature,
        top_k,
        top_p,
        np.random.default_rng(seed),
        stop,
    )


def sampling_distribution(
    logits: np.ndarray, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> np.ndarray:
    """The probabilities ``[V]`` that a token is drawn with, given logits ``[V]``."""
    if temperature == 0:
        return np.asarray(np.arange(len(logits)) == np.argmax(logits), dtype=np.float64)
    p = softmax(np.asarray(logits, dtype=np.float64) / temperature)
    order = np.argsort(-p, kind="stable")
    kept = len(p) if top_k == 0 else min(top_k, len(p))
    if top_p < 1:
        kept = min(kept, int(np.searchsorted(np.cumsum(p[order]), top_p)) + 1)
    p[order[kept:]] = 0
    kept_probabilities: np.ndarray = p / p.sum()
    return kept_probabilities


def _pieces(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    ids: list[int],
    max_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    rng: np.random.Generator,
    stop: Sequence[str],
) -> Iterator[str]:
    hidden, state = read_ids(model, tokenizer, ids)
    logits = model.logits(hidden)
    before = len(tokenizer.decode(ids))
    shown = ""
    # A stop text may come in several pieces: so much is held back until it can't be one.
    held = max((len(end) for end in stop), default=1) - 1
    for count in range(1, max_tokens + 1):
        logits[tokenizer.unknown_id] = -np.inf
        p = sampling_distribution(logits, temperature, top_k, top_p)
        token = int(rng.choice(len(p), p=p))
        ids.append(token)
        text = tokenizer.decode(ids)[before:]
        ends = [start for end in stop if (start := text.find(end)) >= 0]
        if ends:
            yield text[len(shown) : min(ends)]
            return
        # Half of a character's bytes decodes to U+FFFD: wait for the other half.
        ready = len(text.rstrip("\N{REPLACEMENT CHARACTER}")) - held
        if count == max_tokens:
            ready = len(text)
        if ready > len(shown):
            yield text[len(shown) : ready]
            shown = text[:ready]
        if count < max_tokens:
            scores, state = model.step([token], state)
            logits = scores[0]
