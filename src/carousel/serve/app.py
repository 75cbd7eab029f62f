"""The application: the service, its routes and the gate before them."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from carousel import __version__
from carousel.errors import CarouselError, SettingsError
from carousel.serve import limits
from carousel.serve.contexts import Context, open_contexts
from carousel.serve.errors import ApiError
from carousel.serve.gate import App, Gate
from carousel.serve.metrics import Metrics
from carousel.serve.openapi import describe
from carousel.serve.routes import completions, explain, health, next_words, page, tokens
from carousel.serve.service import Service
from carousel.serve.sessions import SessionSigner, SessionStore, fits_token, new_key, read_keys

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class ServerSettings:
    """What a server is started with; plain data, since each worker is a process of its own."""

    models: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    adapt: Literal["cache"] | None = None
    """Whether sessions and requests have a neural cache of their own."""
    api_key_file: Path | None = None
    """The keys that clients send, one a line; without it no key is asked for."""
    session_key_file: Path | None = None
    """The secrets that sign the clients' sessions, one a line, the newest last."""
    session_key: bytes | None = None
    """Such a secret that lives as long as the server, where there is no file."""
    max_sessions: int = limits.MAX_SESSIONS
    session_seconds: float = limits.SESSION_SECONDS
    cors_origins: tuple[str, ...] = ()
    access_log: bool = True


def open_models(settings: ServerSettings) -> dict[str, Context]:
    """The models of a server.

    Raises:
        FolderError: a model can't be opened.
        SettingsError: a model was given twice, or several workers can't serve it.
    """
    contexts = open_contexts(settings.models, settings.adapt)
    for context in contexts.values():
        if settings.workers > 1 and not fits_token(context):
            raise SettingsError(
                f"{context.name}: a session with its cache may take {context.session_bytes:,} "
                "bytes, too much for a client to keep, as it must with several workers: serve it "
                "with one worker, or choose a smaller cache (carousel tune)"
            )
    return contexts


def make_service(settings: ServerSettings) -> Service:
    """Open the models and all that the routes share.

    Raises:
        FolderError: a model can't be opened.
        SettingsError: a file of keys can't be read.
    """
    if settings.session_key_file is not None:
        keys = read_keys(settings.session_key_file)
    else:
        keys = [settings.session_key or new_key()]
    return Service(
        open_models(settings),
        SessionStore(settings.max_sessions, settings.session_seconds),
        SessionSigner(keys, settings.session_seconds),
        Metrics(),
        keeps_sessions=settings.workers == 1,
    )


def make_app(settings: ServerSettings) -> App:
    """The ASGI application of one worker.

    Raises:
        FolderError, SettingsError: as ``make_service``.
    """
    service = make_service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if threading.current_thread() is threading.main_thread():
            _stop_in_order(service)
        yield
        for scheduler in service.schedulers.values():
            scheduler.close()

    app = FastAPI(
        title="Carousel", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    for part in (next_words, completions, tokens, explain, health):
        app.include_router(part.make_router(service))
    app.router.routes.extend(page.make_routes(service))
    app.add_exception_handler(ApiError, _answer_error)
    app.add_exception_handler(CarouselError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_error)
    api_keys = read_keys(settings.api_key_file) if settings.api_key_file is not None else []
    describe(app, with_keys=bool(api_keys))
    gate = Gate(
        app,
        service.metrics,
        api_keys=api_keys,
        local_names_only=settings.host in LOOPBACK_HOSTS and not api_keys,
        access_log=settings.access_log,
    )
    service.metrics.running.set_function(lambda: gate.running)
    if not settings.cors_origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
    )


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, CarouselError):
        error = ApiError(400, str(error))
    elif isinstance(error, HTTPException):
        error = ApiError(error.status_code, str(error.detail))
    assert isinstance(error, ApiError)
    return error.response()


def _stop_in_order(service: Service) -> None:
    """Have SIGTERM take the server out of service before it ends.

    First ``/ready`` says no, while new requests are still answered; then the listener is closed,
    and what is under way is finished. A second signal ends the waiting at once.
    """
    loop = asyncio.get_running_loop()
    stop: Any = signal.getsignal(signal.SIGTERM)  # the server's own

    def begin_to_stop(number: int, frame: object) -> None:
        if service.stopping:
            stop(number, frame)
            return
        service.stopping = True
        loop.call_soon_threadsafe(loop.call_later, limits.DRAIN_SECONDS, stop, number, None)

    if callable(stop):
        signal.signal(signal.SIGTERM, begin_to_stop)
