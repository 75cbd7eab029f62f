"""A server for this machine alone that hands out the page and the model folders it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from carousel.web.one_file import MODEL_FILES
from carousel.web.page_files import HEADERS, compress, content_type, read_page


class StaticServer(ThreadingHTTPServer):
    """Hands out the page at ``/`` and model folders at ``/models/NAME/``, on loopback only.

    Args:
        models: model folders by the names that the page shows; the first one is opened.
        port: the port; 0 for a free one.
        arguments: by the same names, what a command line calls the models, for the page's *copy as
            command*; a model that is not in it is called by its name.

    Raises:
        OSError: the port is taken.

    Example:
        >>> server = StaticServer({})
        >>> server.address.startswith("http://127.0.0.1:")
        True
        >>> server.server_close()
    """

    daemon_threads = True

    def __init__(
        self, models: Mapping[str, Path], port: int = 0, arguments: Mapping[str, str] | None = None
    ) -> None:
        listed = json.dumps({"models": list(models), "arguments": dict(arguments or {})}).encode()
        super().__init__(("127.0.0.1", port), partial(_Handler, models=dict(models), listed=listed))

    @property
    def address(self) -> str:
        """The page's address, as ``http://127.0.0.1:8000/``."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the page's own files and for the files of the models."""

    server_version = "carousel"
    sys_version = ""
    protocol_version = "HTTP/1.1"  # one connection for the page's many small files

    def __init__(self, *arguments: object, models: dict[str, Path], listed: bytes) -> None:
        self.models = models
        self.listed = listed
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
        self.send_response(200)
        self.send_header("Content-Type", content_type(path))
        if not path.endswith(".safetensors"):  # weights hardly get smaller
            self.send_header("Vary", "Accept-Encoding")
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                content = compress(content)
                self.send_header("Content-Encoding", "gzip")
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
            return self.listed
        if parts[0] == "models" and len(parts) == 3:
            return self._read_model(parts[1], parts[2])
        return read_page(path, self.models)

    def _read_model(self, name: str, file: str) -> bytes | None:
        folder = self.models.get(name)
        # No other file of the folder is handed out.
        if folder is None or file not in MODEL_FILES:
            return None
        try:
            return (folder / file).read_bytes()
        except OSError:
            return None
