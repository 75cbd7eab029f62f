"""A server for this machine alone that hands out the page and the model folders it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from carousel.web.one_file import MODEL_FILES

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json; charset=utf-8",
    ".safetensors": "application/octet-stream",
}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; worker-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class StaticServer(ThreadingHTTPServer):
    """Hands out the page at ``/`` and model folders at ``/models/NAME/``, on loopback only.

    Args:
        models: model folders by the names that the page shows; the first one is opened.
        port: the port; 0 for a free one.

    Raises:
        OSError: the port is taken.

    Example:
        >>> server = StaticServer({})
        >>> server.address.startswith("http://127.0.0.1:")
        True
        >>> server.server_close()
    """

    daemon_threads = True

    def __init__(self, models: Mapping[str, Path], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), partial(_Handler, models=dict(models)))

    @property
    def address(self) -> str:
        """The page's address, as ``http://127.0.0.1:8000/``."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the page's own files and for the files of the models."""

    server_version = "carousel"
    sys_version = ""
    protocol_version = "HTTP/1.1"  # one connection for the page's many small files

    def __init__(self, *arguments: object, models: dict[str, Path]) -> None:
        self.models = models
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """One file, or 404."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """The same without the file itself."""
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed for a request."""

    def _answer(self, *, body: bool) -> None:
        if not self._is_local():
            self.send_error(403, "This page is for this machine alone")
            return
        path = unquote(urlsplit(self.path).path)
        content = self._read(path)
        if content is None:
            self.send_error(404, "There is no such file")
            return
        suffix = Path(path).suffix if path != "/" else ".html"
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPES[suffix])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def end_headers(self) -> None:
        """Every answer, an error's too, carries the page's policy."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _is_local(self) -> bool:
        """Whether the browser asked for this machine by name.

        Another site can point its own name at 127.0.0.1 (DNS rebinding); its pages must not read
        a model from here.
        """
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        return host in ("127.0.0.1", "localhost")

    def _read(self, path: str) -> bytes | None:
        parts = path.split("/")[1:]
        if path == "/models.json":
            return json.dumps({"models": list(self.models)}).encode()
        if parts[0] == "models" and len(parts) == 3:
            return self._read_model(parts[1], parts[2])
        return read_page(parts if path != "/" else ["index.html"])

    def _read_model(self, name: str, file: str) -> bytes | None:
        folder = self.models.get(name)
        # No other file of the folder is handed out.
        if folder is None or file not in MODEL_FILES:
            return None
        try:
            return (folder / file).read_bytes()
        except OSError:
            return None


def read_page(parts: list[str]) -> bytes | None:
    """A file of the page; None for whatever is no file of it.

    Each part is looked up among the names that are there, so that no path leads out.
    """
    here: Traversable = files("carousel.web")
    for part in parts:
        found = [entry for entry in here.iterdir() if entry.name == part] if here.is_dir() else []
        if not found:
            return None
        here = found[0]
    return here.read_bytes() if here.is_file() and Path(here.name).suffix in CONTENT_TYPES else None
