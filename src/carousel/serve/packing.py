"""A session's state as bytes, for clients that keep it: one byte, then float32 after float32.

With a neural cache the remembered words come last, so that a state grows with its text, up to the
size of the cache. Of each word stand there the vector that the decoder got before it, ``[P]``, its
similarity to the present one, and its id: a whole number below 2^24, which float32 holds exactly.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from carousel.inference.neural_cache import CacheBackend
from carousel.inference.state import CacheState, plain_state
from carousel.predict.session import Session

ATTACHED, SPACE = 1, 2
"""The bits of the first byte."""


def pack(session: Session) -> bytes:
    """The state of a session as bytes."""
    state, hidden = session.state, session.hidden
    remembered: list[np.ndarray] = []
    if isinstance(state, CacheState):
        recall = cast(CacheBackend, session.model.backend).recall(hidden[None])
        # Words enter at the end: before the first one there is nothing.
        first = int((state.words < 0).sum())
        remembered = [state.keys[first:], recall.similarities[0, first:], state.words[first:]]
        hidden, state = recall.hidden[0], state.inner
    # Where there is no projection, the decoder reads the last layer's state itself.
    projected = [hidden] if session.model.config.projection_size else []
    parts = [*plain_state(state), *projected, *remembered]
    flags = ATTACHED * session.attached + SPACE * bool(session.space)
    return bytes([flags]) + b"".join(np.asarray(part, dtype="<f4").tobytes() for part in parts)


def unpack(data: bytes, fresh: Session) -> Session:
    """The session of a state that ``pack`` made.

    Args:
        data: the bytes.
        fresh: a session of the same model that has read nothing; it stays as it is.

    Raises:
        ValueError: the bytes are not of this model's size, or hold what is no word of it.
    """
    session, cached = fresh.copy(), isinstance(fresh.state, CacheState)
    plain = plain_state(fresh.state.inner if isinstance(fresh.state, CacheState) else fresh.state)
    config = session.model.config
    P, S = config.decoder_input_size, cache_size(fresh)
    sizes = [part.size for part in plain] + [P] * bool(config.projection_size)
    floats, rest = divmod(len(data) - 1, 4)
    words, more = divmod(floats - sum(sizes), P + 2) if cached else (0, floats - sum(sizes))
    if rest or more or not 0 <= words <= S:
        raise ValueError(f"a state of this model does not have {len(data)} bytes")
    numbers = np.frombuffer(data, dtype="<f4", offset=1).astype(np.float32)
    *parts, keys, similarities, ids = np.split(
        numbers, np.cumsum([*sizes, words * P, words]).tolist()
    )
    kind = type(plain)
    inner = kind(*(part.reshape(like.shape) for part, like in zip(parts, plain, strict=False)))
    hidden = parts[-1] if config.projection_size else inner.h[-1, 0].copy()
    session.state, session.hidden = inner, hidden
    if cached:
        if words and not (ids.min() >= 0 and ids.max() < config.vocab_size):
            raise ValueError("a state of this model holds ids of its words alone")
        gap = S - words
        all_ids = np.pad(ids, (gap, 0), constant_values=-1)
        session.state = CacheState(
            inner,
            hidden[None, None],
            np.pad(keys.reshape(words, 1, P), ((gap, 0), (0, 0), (0, 0))),
            all_ids.astype(np.int32)[:, None],
        )
        session.hidden = np.concatenate([hidden, np.pad(similarities, (gap, 0)), all_ids])
    session.attached = bool(data[0] & ATTACHED)
    session.space = " " if data[0] & SPACE else ""
    return session


def most_bytes(fresh: Session) -> int:
    """The size of the longest state that a session can grow to."""
    words = cache_size(fresh) * (fresh.model.config.decoder_input_size + 2)
    return len(pack(fresh)) + 4 * words


def cache_size(session: Session) -> int:
    """How many words the session's neural cache remembers; 0 where there is none."""
    return len(session.state.words) if isinstance(session.state, CacheState) else 0
