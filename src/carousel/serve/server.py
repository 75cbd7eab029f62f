"""The process around the application: a listener, workers, slow clients, and an orderly end."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import tempfile
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors.multiprocess import Multiprocess

from carousel.errors import SettingsError
from carousel.serve import limits
from carousel.serve.app import ServerSettings, make_app, open_models
from carousel.serve.gate import TOO_MANY_CONNECTIONS
from carousel.serve.metrics import MULTIPROCESS
from carousel.serve.sessions import read_keys

BACKLOG = 2048


class PatientProtocol(HttpToolsProtocol):
    """HTTP from a client that must have sent the head of each request in time.

    uvicorn waits for ever for a head that has begun; this closes the connection.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; its first request is due."""
        self._head_due: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request has begun; the rest of its head is due."""
        super().on_message_begin()
        if self._head_due is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is there; its body is the gate's affair."""
        self._head_came()
        if len(self.connections) > limits.MAX_CONNECTIONS:
            self.scope["extensions"] = {TOO_MANY_CONNECTIONS: {}}
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_due = self.loop.call_later(limits.HEADER_SECONDS, self.transport.close)

    def _head_came(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None


def serve(settings: ServerSettings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        FolderError: a model can't be opened.
        SettingsError: the port is taken, or a file of keys can't be read.
    """
    # What is wrong with the models or the keys is said here, and not by each worker.
    open_models(settings)
    for path in (settings.api_key_file, settings.session_key_file):
        if path is not None:
            read_keys(path)
    if settings.session_key_file is None:
        settings = replace(settings, session_key=secrets.token_bytes(32))
    listener = _listen(settings.host, settings.port)
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"http://{host}:{port}/ (Ctrl-C ends it)", flush=True)
    config = _configure(settings)
    try:
        if settings.workers == 1:
            # uvicorn raises the signal again when it has ended in order: then that is all.
            signal.signal(signal.SIGTERM, lambda number, frame: None)
            uvicorn.Server(config).run([listener])
        else:
            _run_workers(config, listener)
    except KeyboardInterrupt:
        print()
    finally:
        listener.close()


def _configure(settings: ServerSettings) -> uvicorn.Config:
    options: dict[str, Any] = {
        "factory": True,
        "http": PatientProtocol,
        "ws": "none",
        "workers": settings.workers,
        "timeout_keep_alive": limits.IDLE_SECONDS,
        "timeout_graceful_shutdown": limits.FINISH_SECONDS,
        "log_level": "error",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
    }
    return uvicorn.Config(partial(make_app, settings), **options)


def _run_workers(config: uvicorn.Config, listener: socket.socket) -> None:
    # prometheus_client reads the folder's name when a worker imports it.
    folder = tempfile.mkdtemp(prefix="carousel-metrics-")
    os.environ[MULTIPROCESS] = folder
    try:
        Multiprocess(config, [listener]).run()
    finally:
        del os.environ[MULTIPROCESS]
        shutil.rmtree(folder, ignore_errors=True)


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(place[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place[4])
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"{host} port {port} can't be used: {reason}") from None
    listener.set_inheritable(True)
    return listener
