"""Work for completions: read a prompt, score it, and continue it, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from carousel.inference.state import State
from carousel.predict.generation import Continuation
from carousel.serve.contexts import Context
from carousel.serve.scheduler import Call, Read, Work
from carousel.softmax import log_softmax
from carousel.text.tokenizer import Tokenizer

READ_TOKENS = 64
"""Tokens of a prompt that are read before other work has its turn."""
SCORED_TOKENS = 16
"""And where each token's probability is asked for."""


class TokenScore(NamedTuple):
    """A token, how likely it was, and what else was likely."""

    token: str
    log_probability: float | None
    """In nats; None for a text's first token, before which there was nothing."""
    top: dict[str, float] | None
    """The likeliest tokens and the token itself, with their log-probabilities."""


class PromptReading(NamedTuple):
    """What came of reading a prompt."""

    hidden: np.ndarray
    """``[P]``: what the decoder gets after the prompt."""
    state: State
    scores: list[TokenScore]
    """Of each token of the prompt; empty where they were not asked for."""


class Piece(NamedTuple):
    """A part of a continuation."""

    text: str
    score: TokenScore | None
    finish_reason: str | None


def first_ids(context: Context, ids: Sequence[int]) -> list[int]:
    """What is read for a prompt: every text stands after the end of a line.

    A prompt of token ids may begin with that end of a line itself.
    """
    eol = context.tokenizer.eol_id
    return list(ids) if ids and ids[0] == eol else [eol, *ids]


def read_prompt(context: Context, ids: Sequence[int], logprobs: int | None) -> Work[PromptReading]:
    """Read a prompt from the start of a line.

    Args:
        context: the model.
        ids: the prompt's token ids.
        logprobs: score each token, and list so many alternatives; None to score none.
    """
    state: State = context.model.initial_state()
    read = first_ids(context, ids)
    scores: list[TokenScore] = []
    if logprobs is not None and ids:
        scores.append(TokenScore(token_text(context.tokenizer, ids[0]), None, None))
    # The first token that is scored stands after the first one of the prompt.
    skipped = len(read) - len(ids) + 1
    step = READ_TOKENS if logprobs is None else SCORED_TOKENS
    hidden = np.empty(0, dtype=np.float32)
    for first in range(0, len(read), step):
        reading = yield Read(read[first : first + step], state)
        rows, state = reading.hidden[:, 0], reading.state
        hidden = rows[-1].copy()
        if logprobs is None:
            continue
        # The row after the token at position p predicts the token at p + 1.
        targets = [
            (row, read[first + row + 1])
            for row in range(len(rows))
            if skipped <= first + row + 1 < len(read)
        ]
        if targets:
            start = targets[0][0]
            wanted = [token for _, token in targets]
            scored = rows[start : start + len(wanted)]
            scores += yield Call(partial(score_rows, context, scored, wanted, logprobs))
    return PromptReading(hidden, state, scores)


def score_rows(
    context: Context, hidden: np.ndarray, ids: Sequence[int], logprobs: int
) -> list[TokenScore]:
    """How likely the tokens ``ids [N]`` were after ``hidden [N, P]``."""
    log_p = log_softmax(context.model.logits(hidden).astype(np.float64))
    return [
        score_token(context.tokenizer, row, id, logprobs)
        for row, id in zip(log_p, ids, strict=True)
    ]


def score_token(
    tokenizer: Tokenizer, log_probabilities: np.ndarray, id: int, logprobs: int
) -> TokenScore:
    """The score of one token, given the log-probabilities ``[V]`` of all."""
    token, value = token_text(tokenizer, id), float(log_probabilities[id])
    count = min(logprobs, len(log_probabilities))
    top: dict[str, float] = {}
    if count:
        best = np.argpartition(-log_probabilities, count - 1)[:count].tolist()
        ranked = sorted(best, key=lambda other: (-log_probabilities[other], other))
        top = {token_text(tokenizer, other): float(log_probabilities[other]) for other in ranked}
    # Several byte pairs can look alike: the token's own value stands.
    return TokenScore(token, value, top | {token: value})


def token_text(tokenizer: Tokenizer, id: int) -> str:
    """A token as text; the end of a line is a line break."""
    if id == tokenizer.eol_id:
        return "\n"
    return tokenizer.decode([id]) if tokenizer.kind == "bpe" else tokenizer.token(id)


def continue_text(
    context: Context,
    prompt: PromptReading,
    continuation: Continuation,
    logprobs: int | None,
    emit: Callable[[Piece], None],
) -> Work[None]:
    """Continue a prompt until its continuation is finished.

    Args:
        context: the model.
        prompt: what was read.
        continuation: draws the tokens.
        logprobs: score each token, and list so many alternatives; None to score none.
        emit: takes each piece of text as it comes.
    """
    logits = yield Call(lambda: context.model.logits(prompt.hidden))
    state = prompt.state
    while True:
        log_p = None if logprobs is None else log_softmax(logits.astype(np.float64))
        count = continuation.count
        text = continuation.add(logits)
        score = None
        # Where no token may follow, none is drawn.
        if continuation.count > count and log_p is not None and logprobs is not None:
            score = score_token(context.tokenizer, log_p, continuation.token, logprobs)
        emit(Piece(text, score, continuation.finish_reason))
        if continuation.finish_reason is not None:
            return
        reading = yield Read([continuation.token], state)
        state = reading.state
        logits = context.model.logits(reading.hidden[0, 0])
