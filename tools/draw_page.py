"""Take the pictures of the page for README and docs: ``python tools/draw_page.py``.

It needs Playwright and a Chromium; see CONTRIBUTING.md.
"""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from json import loads
from pathlib import Path
from threading import Thread

from playwright.sync_api import Browser, sync_playwright

from carousel.model import LanguageModel
from carousel.web.static_server import StaticServer

IMAGES = Path(__file__).parents[1] / "docs" / "images"
MODELS = ("stories-lstm", "stories-gru", "stories-rnn")
TOUR = loads((files("carousel.web") / "tour.json").read_text("utf-8"))

PICTURES = {
    "page.png": ("light", TOUR["steps"][2]["guess"]["link"], (1440, 900)),
    "page-dark.png": ("dark", TOUR["first"], (1440, 900)),
}
"""By file: the theme, what the page shows, and the size of its window."""
FIRST = Path(str(files("carousel.web"))) / "first.svg"
"""The first example's belt, for browsers that run no JavaScript."""


def take(browser: Browser, address: str, name: str) -> None:
    """Open the page and save what is seen of it."""
    theme, link, (width, height) = PICTURES[name]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(f"{address}?theme={theme}#{link}")
    page.wait_for_selector(".response")
    page.screenshot(path=IMAGES / name)
    if link == TOUR["first"]:
        page.emulate_media(color_scheme="light")
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        drawn = page.evaluate("import('/export.js').then((module) => module.svgOf())")
        FIRST.write_text(drawn + "\n", encoding="utf-8")
    page.close()


def main() -> None:
    """Take all of them."""
    chromium = shutil.which("chromium") or sys.exit("no Chromium here")
    folders = {name: path for name in MODELS if (path := LanguageModel.load(name).path)}
    with StaticServer(folders) as server, sync_playwright() as playwright:
        Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in PICTURES:
            take(browser, server.address, name)
            print(IMAGES / name)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
