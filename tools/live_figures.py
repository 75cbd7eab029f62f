"""Figures of the docs that are alive; a hook of MkDocs (``hooks`` in mkdocs.yml).

In a page of the docs, ``<!-- live 700: model=stories-lstm&text=... -->`` asks for a figure: the
page of Carousel in a frame 700 pixels high, with what the link says. It takes the place of the
picture on the next line, if one stands there. Where Markdown is read without this hook, the picture
stays.

All figures show one file with the models inside (``carousel.web.one_file``). It is written when the
site is built, and read without a network.
"""

from __future__ import annotations

import html
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

import carousel
from carousel.web.one_file import MODEL_FILES, write_page

FILE = "live/stories.html"
MODELS = ("stories-lstm", "stories-gru", "stories-rnn")
HIDDEN = "top,tour,lower,question"
"""What of the page a figure leaves out; see ``early.js``."""
FIGURE = re.compile(r"^<!-- live (\d+): (\S+) -->(?:\n!\[([^\]]*)\]\([^)\s]+\))?$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the file that the figures show."""
    models = {}
    for name in MODELS:
        folder = carousel.load(name).path
        models[name] = {file: (folder / file).read_bytes() for file in MODEL_FILES}
    files.append(File.generated(config, FILE, content=write_page(models, "")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put a frame in the place of each comment that asks for a figure."""
    address = f"{get_relative_url(FILE, page.url)}?hide={HIDDEN}"

    def frame(found: re.Match[str]) -> str:
        height, link, title = found.groups()
        where, name = html.escape(f"{address}#{link}"), html.escape(title or "The page, alive")
        return (
            f'<iframe class="live" loading="lazy" height="{height}" src="{where}" '
            f'title="{name}"></iframe>'
        )

    written, count = FIGURE.subn(frame, markdown)
    if count:
        # A figure is wide: it takes the room of the list of sections beside the text.
        page.meta["hide"] = ["toc"]
    return written
