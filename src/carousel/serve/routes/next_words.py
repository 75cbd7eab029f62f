"""``/v1/next`` and ``/v1/sessions``: whole next words, and texts that grow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from carousel.serve import schemas
from carousel.serve.contexts import Context, check_known
from carousel.serve.errors import ApiError
from carousel.serve.openapi import documented
from carousel.serve.service import Service, answer, parse
from carousel.serve.sessions import TOKEN_PREFIX, OpenSession
from carousel.serve.words import feed, next_words, read_and_rank


def make_router(service: Service) -> APIRouter:
    """The routes of next words and sessions."""
    router = APIRouter(tags=["next words"])

    @router.post("/v1/next", **documented(schemas.NextRequest, schemas.NextWords, 404, 429))
    async def next_words_of(request: Request) -> Response:
        """The likeliest whole next words after a text, or where a session stands."""
        asked = await parse(request, schemas.NextRequest)
        if (asked.text is None) == (asked.session is None):
            raise ApiError(422, "give either a text or a session", param="text")
        if asked.session is None:
            context = service.context(asked.model)
            ids = await service.encode(context, asked.text or "")
            work = read_and_rank(context, asked.text or "", asked.k, asked.prefix)
            tokens = len(ids) + 1
        else:
            context, session, _ = service.open_session(asked.session)
            check_model(asked.model, context)
            work, tokens = next_words(context, session, asked.k, asked.prefix), 1
        cheap = tokens if context.tokenizer.whole_words else None
        words = await service.scheduler(context).run(work, cheap)
        rows = [{"word": word, "probability": p} for word, p in words]
        return answer({"model": context.name, "words": rows})

    @router.post(
        "/v1/sessions", **documented(schemas.SessionRequest, schemas.SessionAnswer, 404, 429)
    )
    async def open_session(request: Request) -> Response:
        """Open a session. Its name goes into later requests."""
        asked = await parse(request, schemas.SessionRequest)
        context = service.context(asked.model)
        kept_by = asked.kept_by or ("server" if service.keeps_sessions else "client")
        if kept_by == "server" and not service.keeps_sessions:
            raise ApiError(
                400, "several workers share no sessions: open it with kept_by client",
                param="kept_by",
            )  # fmt: skip
        session = context.session()
        if asked.text:
            ids = await service.encode(context, asked.text, known=False)
            await service.scheduler(context).run(feed(session, asked.text), len(ids))
        return describe(context, service.new_session(context, session, kept_by), kept_by)

    @router.post(
        "/v1/sessions/feed", **documented(schemas.FeedRequest, schemas.SessionAnswer, 404, 429)
    )
    async def feed_session(request: Request) -> Response:
        """Have a session read further words. The answer names the session as it is now."""
        asked = await parse(request, schemas.FeedRequest)
        if (asked.text is None) == (asked.tokens is None):
            raise ApiError(422, "give either a text or tokens", param="text")
        opened = service.open_session(asked.session)
        ids: Sequence[int]
        if asked.tokens is None:
            ids = await service.encode(opened.context, asked.text or "", known=False)
        else:
            ids = asked.tokens
            check_known(opened.context, ids)
            service.metrics.prompt_tokens.inc(len(ids))
        await feed_in_turn(opened, asked.text if asked.tokens is None else asked.tokens, len(ids))
        kept_by = keeper(asked.session)
        name = asked.session
        if kept_by == "client":
            name = service.signer.sign(opened.context, opened.session)
        return describe(opened.context, name, kept_by)

    @router.post(
        "/v1/sessions/branch", **documented(schemas.SessionOnly, schemas.SessionAnswer, 404)
    )
    async def branch_session(request: Request) -> Response:
        """Copy a session. The copy stands at the same place and goes its own way."""
        asked = await parse(request, schemas.SessionOnly)
        opened, kept_by = service.open_session(asked.session), keeper(asked.session)
        name = service.new_session(opened.context, opened.session.copy(), kept_by)
        return describe(opened.context, name, kept_by)

    @router.post("/v1/sessions/close", **documented(schemas.SessionOnly, schemas.Closed, 404))
    async def close_session(request: Request) -> Response:
        """Have the server forget a session. One that the client keeps ends by itself."""
        asked = await parse(request, schemas.SessionOnly)
        service.open_session(asked.session)
        return answer({"closed": service.store.remove(asked.session)})

    async def feed_in_turn(opened: OpenSession, text: Any, tokens: int) -> None:
        async with opened.lock:
            work = feed(opened.session, text)
            await asyncio.shield(
                asyncio.ensure_future(service.scheduler(opened.context).run(work, tokens))
            )

    def describe(context: Context, name: str, kept_by: str) -> Response:
        seconds = int(service.store.ttl)
        return answer(
            {"session": name, "model": context.name, "kept_by": kept_by, "expires_in": seconds}
        )

    return router


def keeper(name: str) -> str:
    """Who keeps the session of a name."""
    return "client" if name.startswith(TOKEN_PREFIX) else "server"


def check_model(name: str | None, context: Context) -> None:
    """Check that a request names the model of its session, if it names one.

    Raises:
        ApiError: it names another one.
    """
    if name is not None and name != context.name:
        raise ApiError(400, f"the session is of {context.name}", param="model")
