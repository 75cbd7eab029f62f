"""The page's files as a server hands them out: one script, compressed, with the page's policy."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from carousel.web.script import without_comments, write_script

SCRIPT = "page.js"
"""The name under which all modules are handed out together."""
EARLY = "early.js"
"""What runs before the first paint; it is no module."""
FIRST_MODEL = "stories-lstm"
"""The model of the picture that stands in ``index.html``."""

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
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
"""What every answer says, an error's too."""

PRELOAD = re.compile(r' *<link rel="modulepreload" href="[^"]+">\n')
PICTURE = re.compile(r"(<(carousel-\w+)>).*?(</\2>)", re.DOTALL)
WEIGHTS = re.compile(r'<main data-weights="([0-9a-f]{8})">')


def read_page(path: str, models: Mapping[str, Path]) -> bytes | None:
    """Read a file of the page.

    Args:
        path: the path of the request, ``/`` for the page itself.
        models: the model folders of the page by name; the first one is opened.

    Returns:
        the file's content; None for whatever is no file of the page.

    >>> read_page("/page.js", {})[:22]
    b'// geometry/columns.js'
    >>> read_page("/../pyproject.toml", {}) is None
    True
    """
    if path in ("/", "/index.html"):
        return _read_index(models).encode()
    if path == f"/{SCRIPT}":
        return write_script().encode()
    if path == f"/{EARLY}":
        return without_comments((files("carousel.web") / EARLY).read_text("utf-8")).encode()
    here: Traversable = files("carousel.web")
    # Each part is looked up among the names that are there, so that no path leads out.
    for part in path.split("/")[1:]:
        found = [entry for entry in here.iterdir() if entry.name == part] if here.is_dir() else []
        if not found:
            return None
        here = found[0]
    is_page_file = here.is_file() and PurePosixPath(here.name).suffix in CONTENT_TYPES
    return here.read_bytes() if is_page_file else None


def content_type(path: str) -> str:
    """The ``Content-Type`` of a file of the page or of a model, by its path."""
    return CONTENT_TYPES[PurePosixPath(path).suffix if path != "/" else ".html"]


@lru_cache(maxsize=64)
def compress(content: bytes) -> bytes:
    """Compress a file for a browser that takes gzip (``Accept-Encoding``)."""
    return gzip.compress(content, mtime=0)


def without_picture(page: str) -> str:
    """``index.html`` without the picture that it opens with."""
    return PICTURE.sub(r"\1\3", page)


def _read_index(models: Mapping[str, Path]) -> str:
    """The page with one script in the place of its modules."""
    page = (files("carousel.web") / "index.html").read_text("utf-8")
    page = PRELOAD.sub("", page).replace('src="app.js"', f'src="{SCRIPT}"')
    return page if _opens_with_picture(page, models) else without_picture(page)


def _opens_with_picture(page: str, models: Mapping[str, Path]) -> bool:
    """Whether the model that is opened is the one of the picture in the page."""
    weights = WEIGHTS.search(page)
    if weights is None or next(iter(models), "") != FIRST_MODEL:
        return False
    try:
        content = (models[FIRST_MODEL] / "model.safetensors").read_bytes()
    except OSError:
        return False
    return sha256(content).hexdigest().startswith(weights[1])
