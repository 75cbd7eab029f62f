"""The gate: what every request passes before a route sees it.

It asks for the key, refuses what is too large or comes too slowly, reads the body whole, counts,
and writes the access log. The log names the route that was taken and never a text, a path or a
session that a client sent.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from carousel.serve.errors import ApiError
from carousel.serve.limits import BODY_SECONDS, MAX_BODY_BYTES, MAX_REQUESTS, SEND_SECONDS
from carousel.serve.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/health",)
"""What needs no key."""
TOO_MANY_CONNECTIONS = "carousel.too_many_connections"
"""The ASGI extension of a request on one connection more than a worker serves."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Gate:
    """An ASGI application around another one.

    Args:
        app: what answers.
        metrics: where requests are counted.
        api_keys: one of these must be sent, as ``Authorization: Bearer KEY``; none for no keys.
        local_names_only: whether a request must name this machine by a loopback name. Else a page
            from elsewhere could point a name of its own here (DNS rebinding).
        access_log: whether each request is written to standard error.
    """

    def __init__(
        self,
        app: App,
        metrics: Metrics,
        *,
        api_keys: list[bytes],
        local_names_only: bool,
        access_log: bool,
    ) -> None:
        self.app, self.metrics = app, metrics
        self.api_keys = [b"Bearer " + key for key in api_keys]
        self.local_names_only, self.access_log = local_names_only, access_log
        self.running = 0
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                await send(message)
            elif message.get("more_body"):
                # A client that takes nothing must not hold its place for ever.
                await asyncio.wait_for(send(message), SEND_SECONDS)
            else:
                await send(message)

        self.running += 1
        try:
            self._check(scope)
            body = await read_body(scope, receive)
            await self.app(scope, _receive_once(body, receive), send_on)
        except ApiError as error:
            if status:  # the answer has begun
                raise
            await error.response()(scope, receive, send_on)
        except TimeoutError:
            if not status:
                raise
            status = 499  # it was given up; the connection is closed
        finally:
            self.running -= 1
            self._record(scope, status or 499, time.perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if TOO_MANY_CONNECTIONS in scope.get("extensions", {}):
            raise ApiError(503, "too many connections are open: try again in a moment", close=True)
        if self.running > MAX_REQUESTS:
            raise ApiError(503, "too many requests are under way: try again in a moment")
        if self.local_names_only:
            name = headers.get(b"host", b"").decode("latin-1")
            if name and name.rpartition(":")[0] not in LOOPBACK and name not in LOOPBACK:
                raise ApiError(
                    403, "this server is for this machine alone: ask for 127.0.0.1 or localhost"
                )
        if self.api_keys and scope["path"] not in OPEN_PATHS:
            given = headers.get(b"authorization", b"")
            # All keys are compared, so that the time tells nothing.
            if not sum(hmac.compare_digest(given, key) for key in self.api_keys):
                raise ApiError(401, "a valid API key is needed: Authorization: Bearer KEY")
        if scope["method"] == "POST":
            kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            # A page from elsewhere can send forms and plain text here, but no JSON.
            if kind != b"application/json":
                raise ApiError(415, "the body must be JSON: send Content-Type: application/json")

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        self.metrics.count(route, status, seconds)
        if self.access_log:
            line = {
                "time": round(time.time(), 3),
                "request": next(self._numbers),
                "method": scope["method"] if len(scope["method"]) < 9 else "other",
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 2),
            }
            sys.stderr.write(json.dumps(line) + "\n")


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        ApiError: it is larger than it may be, or comes too slowly.
    """
    if scope["method"] in ("GET", "HEAD"):
        return b""
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > MAX_BODY_BYTES):
            raise _too_large()
    message = await _receive_in_time(receive)
    body = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        return bytes(body)
    parts, size = [body], len(body)
    deadline = time.monotonic() + BODY_SECONDS
    while message.get("more_body"):
        if time.monotonic() > deadline:
            raise _too_slow()
        message = await _receive_in_time(receive, deadline - time.monotonic())
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


async def _receive_in_time(receive: Receive, seconds: float = BODY_SECONDS) -> Message:
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
    except TimeoutError:
        raise _too_slow() from None
    if message["type"] == "http.disconnect":
        raise ApiError(408, "the client has gone")
    return message


def _receive_once(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, and after it whatever comes: that the client has gone."""
    given = False

    async def receive_next() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_next


def _too_large() -> ApiError:
    return ApiError(413, f"the body is larger than {MAX_BODY_BYTES} bytes")


def _too_slow() -> ApiError:
    return ApiError(408, "the request came too slowly")
