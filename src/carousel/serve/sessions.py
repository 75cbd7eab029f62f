"""Sessions: kept by the server for a while, or handed to the client as signed tokens."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from itsdangerous import BadData, BadSignature, SignatureExpired, TimestampSigner
from itsdangerous.encoding import base64_decode, base64_encode

from carousel.errors import SettingsError
from carousel.predict.session import Session
from carousel.serve.contexts import FINGERPRINT_BYTES, Context
from carousel.serve.errors import ApiError
from carousel.serve.limits import MAX_SESSION_BYTES, MAX_SESSION_TOKEN_LENGTH

ID_PREFIX, TOKEN_PREFIX = "sess-", "state-"
SHORTEST_KEY = 16
"""Bytes of a key that signs sessions."""
MAX_KEY_FILE = 2**16
ROOM_FOR_SIGNATURE = 100
"""Characters of a token beside the state: its prefix, its time and its signature."""


class OpenSession(NamedTuple):
    """A session that a request works on."""

    context: Context
    session: Session
    lock: asyncio.Lock
    """Held by whoever feeds it, so that two requests feed it one after the other."""


class SessionStore:
    """The sessions that the server keeps: at most ``limit``, each for ``ttl`` seconds unused.

    Their states may grow to ``max_bytes`` together. Where there is no room for another session, the
    one goes that was not used for the longest time.

    Args:
        limit: the most sessions.
        ttl: for how many seconds a session lives without being used.
        clock: gives the time in seconds.
        max_bytes: the most bytes; each session counts as large as it may become.
    """

    def __init__(
        self,
        limit: int,
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
        max_bytes: int = MAX_SESSION_BYTES,
    ) -> None:
        self.limit, self.ttl, self.clock, self.max_bytes = limit, ttl, clock, max_bytes
        self._bytes = 0
        # By id, the one that was used last at the end, and when that was.
        self._sessions: OrderedDict[str, tuple[float, OpenSession]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, context: Context, session: Session) -> str:
        """Keep a session and return its id, which nobody can guess."""
        self._drop_old()
        size = context.session_bytes
        while self._sessions and (
            len(self._sessions) >= self.limit or self._bytes + size > self.max_bytes
        ):
            self.remove(next(iter(self._sessions)))
        self._bytes += size
        id = ID_PREFIX + secrets.token_urlsafe(18)
        self._sessions[id] = self.clock(), OpenSession(context, session, asyncio.Lock())
        return id

    def get(self, id: str) -> OpenSession | None:
        """The session of an id, which is used by that; None where there is none (any more)."""
        self._drop_old()
        kept = self._sessions.get(id)
        if kept is None:
            return None
        self._sessions[id] = self.clock(), kept[1]
        self._sessions.move_to_end(id)
        return kept[1]

    def remove(self, id: str) -> bool:
        """Forget a session; False where there is none."""
        removed = self._sessions.pop(id, None)
        if removed is not None:
            self._bytes -= removed[1].context.session_bytes
        return removed is not None

    def _drop_old(self) -> None:
        oldest = self.clock() - self.ttl
        while self._sessions:
            id, (used, _) = next(iter(self._sessions.items()))
            if used > oldest:
                return
            self.remove(id)


class SessionSigner:
    """Turns sessions into tokens that a client keeps, and back; who has no key can make none.

    A token is the model's fingerprint and the session's state, signed with HMAC-SHA256 and the time
    at which that was done. It can be used again: then the session goes on from there a second time.

    Args:
        keys: secrets, the newest last. It signs; the others still open what they have signed.
        ttl: for how many seconds a token is good.
    """

    def __init__(self, keys: list[bytes], ttl: float) -> None:
        self.ttl = ttl
        self._signer = TimestampSigner(
            keys, salt=b"carousel-session", key_derivation="hmac", digest_method=hashlib.sha256
        )

    def sign(self, context: Context, session: Session) -> str:
        """The token of a session.

        Raises:
            ApiError: it could become longer than a token may be.
        """
        if not fits_token(context):
            raise ApiError(
                400,
                f"a session of {context.name} may take {context.session_bytes} bytes, which is too "
                "much for a client to keep: open it with kept_by server",
                param="kept_by",
            )
        state = base64_encode(context.fingerprint + context.pack(session))
        return TOKEN_PREFIX + self._signer.sign(state).decode()

    def open(self, token: str, contexts: Mapping[bytes, Context]) -> OpenSession:
        """The session of a token.

        Args:
            token: what ``sign`` made.
            contexts: the models by their fingerprints.

        Raises:
            ApiError: the token is forged or damaged, too old, or of a model that is not here.
        """
        if len(token) > MAX_SESSION_TOKEN_LENGTH:
            raise ApiError(422, "session: it is too long to be one", param="session")
        try:
            # Base64 has several ways to write some bytes: only ours is a token.
            signature = token.rpartition(".")[2].encode()
            if base64_encode(base64_decode(signature)) != signature:
                raise BadSignature("the signature is not as it was written")
            signed = self._signer.unsign(token.removeprefix(TOKEN_PREFIX), max_age=int(self.ttl))
        except SignatureExpired:
            raise no_session("it was made too long ago") from None
        except BadData:
            raise ApiError(
                400, "session: it was not made by this server", param="session"
            ) from None
        data = base64_decode(signed)
        context = contexts.get(data[:FINGERPRINT_BYTES])
        if context is None:
            raise no_session("it is of a model that is not served here")
        try:
            session = context.unpack(data[FINGERPRINT_BYTES:])
        except ValueError as error:
            raise no_session(str(error)) from None
        return OpenSession(context, session, asyncio.Lock())


def fits_token(context: Context) -> bool:
    """Whether clients can keep sessions of a model, however long their texts become."""
    length = 4 * (FINGERPRINT_BYTES + context.session_bytes) // 3
    return length + ROOM_FOR_SIGNATURE <= MAX_SESSION_TOKEN_LENGTH


def no_session(reason: str) -> ApiError:
    """The error of a session that can't go on."""
    return ApiError(404, f"there is no such session: {reason}", param="session")


def read_keys(path: Path) -> list[bytes]:
    """The secrets of a file, one a line, the newest last; empty lines do not count.

    Raises:
        SettingsError: the file can't be read, holds no secret, or a short one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror or error}") from None
    keys = [line.strip() for line in content.splitlines() if line.strip()]
    if not keys or len(content) > MAX_KEY_FILE:
        raise SettingsError(f"{path} must hold keys, one a line, and is empty or too large")
    if any(len(key) < SHORTEST_KEY for key in keys):
        raise SettingsError(f"a key in {path} is shorter than {SHORTEST_KEY} characters")
    return keys


def new_key() -> bytes:
    """A secret for a server that shares its sessions with no other one."""
    return secrets.token_bytes(32)
