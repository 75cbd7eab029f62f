"""Work for next words and sessions."""

from __future__ import annotations

from collections.abc import Sequence

from carousel.predict.next_words import Prediction
from carousel.predict.session import Session
from carousel.serve.contexts import Context
from carousel.serve.generation import READ_TOKENS
from carousel.serve.scheduler import BestWords, Call, Read, Work


def next_words(
    context: Context, session: Session, k: int, prefix: str | None
) -> Work[list[Prediction]]:
    """The ``k`` likeliest next words of a session."""
    if context.tokenizer.whole_words and not prefix:
        predictions: list[Prediction] = yield BestWords(session.hidden, k)
    else:
        predictions = yield Call(lambda: session.next_words(k, prefix))
    return predictions


def feed(session: Session, text: str | Sequence[int]) -> Work[None]:
    """Have a session read on.

    The session is changed at the end and at once, so that other requests see it before or after.
    """
    ahead = session.copy()
    ids, state, hidden = ahead.encode_next(text), session.state, session.hidden
    for first in range(0, len(ids), READ_TOKENS):
        reading = yield Read(ids[first : first + READ_TOKENS], state)
        # A copy, so that a session does not keep all the vectors of its text.
        state, hidden = reading.state, reading.hidden[-1, 0].copy()
    session.state, session.hidden = state, hidden
    session.attached, session.space = ahead.attached, ahead.space


def read_and_rank(
    context: Context, text: str, k: int, prefix: str | None
) -> Work[list[Prediction]]:
    """The ``k`` likeliest next words after a text that is read from the start of a line."""
    session = context.session()
    yield from feed(session, text)
    return (yield from next_words(context, session, k, prefix))
