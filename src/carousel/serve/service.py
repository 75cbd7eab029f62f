"""The service: everything that the routes share, and how a request finds its model and session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from carousel.predict.next_words import encode_known
from carousel.predict.session import Session
from carousel.serve.contexts import Context
from carousel.serve.errors import ApiError, invalid_body
from carousel.serve.limits import MAX_PROMPT_TOKENS
from carousel.serve.metrics import Metrics
from carousel.serve.scheduler import Scheduler
from carousel.serve.sessions import (
    ID_PREFIX,
    TOKEN_PREFIX,
    OpenSession,
    SessionSigner,
    SessionStore,
    no_session,
)

LONG_TEXT = 4096
"""Characters from which on a text is cut into tokens off the event loop."""

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")


@dataclass
class Service:
    """What the routes work with."""

    contexts: dict[str, Context]
    """The models by name; the first one is used where a request names none."""
    store: SessionStore
    signer: SessionSigner
    metrics: Metrics
    keeps_sessions: bool
    """Whether the server can keep sessions: with several workers it can't."""
    schedulers: dict[str, Scheduler] = field(init=False)
    stopping: bool = False
    """Whether the server has been told to stop."""

    def __post_init__(self) -> None:
        self.schedulers = {
            name: Scheduler(context.model, context.tokenizer)
            for name, context in self.contexts.items()
        }
        self._by_fingerprint = {context.fingerprint: context for context in self.contexts.values()}
        self.explaining = asyncio.Semaphore(1)
        """Explanations are long and mostly Python: one at a time."""
        self.metrics.sessions.set_function(lambda: len(self.store))
        self.metrics.waiting.set_function(
            lambda: sum(scheduler.depth for scheduler in self.schedulers.values())
        )

    def context(self, name: str | None) -> Context:
        """The model of a name.

        Raises:
            ApiError: there is none.
        """
        if name is None:
            return next(iter(self.contexts.values()))
        context = self.contexts.get(name)
        if context is None:
            known = ", ".join(self.contexts)
            raise ApiError(
                404, f"there is no such model here: there are {known}",
                param="model", code="model_not_found",
            )  # fmt: skip
        return context

    def scheduler(self, context: Context) -> Scheduler:
        """Who does the work on a model."""
        return self.schedulers[context.name]

    # -- sessions -----------------------------------------------------------------------------

    def open_session(self, name: str) -> OpenSession:
        """The session that a request names.

        Raises:
            ApiError: there is none.
        """
        if name.startswith(TOKEN_PREFIX):
            return self.signer.open(name, self._by_fingerprint)
        session = self.store.get(name) if name.startswith(ID_PREFIX) else None
        if session is None:
            raise no_session("it was closed, was not used for too long, or never was")
        return session

    def new_session(self, context: Context, session: Session, kept_by: str) -> str:
        """Name a session so that later requests find it."""
        if kept_by == "client":
            return self.signer.sign(context, session)
        return self.store.add(context, session)

    # -- texts --------------------------------------------------------------------------------

    async def encode(self, context: Context, text: str, *, known: bool = True) -> list[int]:
        """The token ids of a text.

        Args:
            context: the model.
            text: the text.
            known: whether at least one word must be known.

        Raises:
            ApiError: more tokens than are taken.
            PredictionError: no word is known, and one must be.
        """

        def cut() -> list[int]:
            return (
                encode_known(context.tokenizer, text) if known else context.tokenizer.encode(text)
            )

        ids = cut() if len(text) <= LONG_TEXT else await asyncio.to_thread(cut)
        check_length(ids)
        self.metrics.prompt_tokens.inc(len(ids))
        return ids


def check_length(ids: Sequence[int]) -> None:
    """Check that a text is not too long.

    Raises:
        ApiError: it is.
    """
    if len(ids) > MAX_PROMPT_TOKENS:
        raise ApiError(422, f"at most {MAX_PROMPT_TOKENS} tokens are read at once, not {len(ids)}")


async def parse(request: Request, kind: type[B]) -> B:
    """The body of a request, checked.

    Raises:
        ApiError: it is not what the route takes.
    """
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid_body(error) from None


def answer(data: object) -> Response:
    """Plain data as a JSON answer."""
    return Response(to_json(data), media_type="application/json")


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of ``work``; it is cancelled as soon as the client has gone.

    Raises:
        ApiError: the client has gone.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(408, "the client has gone")
        return task.result()
    finally:
        for pending in (task, gone):
            pending.cancel()


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
