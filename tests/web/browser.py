"""The page in a real browser, which allows nothing that the page must not do."""

import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

import carousel
from carousel.pretrained import pretrained_models
from carousel.web.static_server import StaticServer

STORIES = ("stories-lstm", "stories-gru", "stories-rnn")
MODELS = (*STORIES, *sorted(set(pretrained_models()) - set(STORIES)))
"""The models that come with the package; the first one is opened."""
SWITCH = "krish likes pizza but his friend likes burger so his friend orders"


def story_folders() -> dict[str, Path]:
    """The shipped models' folders."""
    return {name: carousel.load(name).path for name in MODELS}


def percent(share):
    """As the page prints a probability."""
    if share >= 0.9995:
        return "100%"
    if share < 0.0005:
        return "0%" if share <= 0 else "<0.1%"
    return f"{share * 100:.1f}%" if share > 0.99 or share < 0.01 else f"{round(share * 100)}%"


@contextmanager
def served(models, arguments=None):
    """A server of the page with these model folders; gives its address."""
    server = StaticServer(models, arguments=arguments)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.address
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def chromium():
    """A browser, or a skip with the reason."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    where = shutil.which("chromium") or shutil.which("google-chrome")
    if where is None:
        pytest.skip("no Chromium here: the page is not tested in a browser")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=where, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One visit to the page. What the browser complains of is collected in ``complaints``."""

    def __init__(self, browser, address, *, size=(1440, 900), **options):
        self.address = address
        self.complaints = []
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **options)
        self.page.set_default_timeout(15_000)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._on_request)
        # Violations of the policy are events of their own, also where nothing is printed.
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => "
            "console.error('policy: ' + event.violatedDirective))"
        )

    def _on_console(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _on_request(self, request):
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"request to {request.url}")

    def open(self, link="", *, theme="light", words=None):
        """Go to a link, and wait until it is read."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}?theme={theme}#{link}")
        self.page.wait_for_selector("#said")
        if words is not None:
            self.until(
                f"document.querySelector('carousel-top').reading?.tokens.length === {words + 1}"
            )
        self.settle()

    def settle(self):
        """Wait until what was asked for is drawn."""
        self.page.evaluate(
            "async () => { for (let n = 0; n < 3; n++)"
            " await new Promise((done) => requestAnimationFrame(() => setTimeout(done))) }"
        )
        self.until("!document.body.classList.contains('stale')")

    def until(self, condition, seconds=15):
        """Wait until a condition in the page holds. (Playwright's own way needs ``eval``.)"""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"still not: {condition}"
            time.sleep(0.02)

    def text(self):
        """All that the page says, with the response curve, which is drawn after the rest."""
        self.settle()
        curve = "document.querySelector('.curve')"
        sweep = "document.querySelector('carousel-top').reading.sweep"
        self.until(f"!{curve} || {sweep}?.strengths.length > 5")
        return self.page.inner_text("main")

    def said(self):
        """The sentence that says what happened."""
        return self.page.inner_text("#said")

    def best(self):
        """The likeliest next word and its share, as they are shown."""
        return self.page.inner_text(".big-word"), self.page.inner_text(".big-share")

    def shares(self):
        """Every next word's share that is shown."""
        rows = self.page.locator(".bars li").all_inner_texts()
        return dict(row.split("\n")[:: len(row.split("\n")) - 1] for row in rows)

    def table(self):
        """The cells of the table on screen, row by row."""
        return self.page.eval_on_selector_all(
            ".table tr",
            "rows => rows.map((row) => [...row.children].map((cell) => cell.textContent))",
        )
