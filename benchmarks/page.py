"""How long the page takes: to its first picture, and from what one does to what one sees.

python benchmarks/page.py

It needs Playwright and a Chromium. Each row has the median, the 95th percentile and the largest of
its times, and what the page is to hold. Models but those of the stories are random: what they
predict makes no difference to the time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

import carousel
from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.text.vocabulary import train_tokenizer
from carousel.web.static_server import StaticServer

STORY = parse_qs(json.loads((files("carousel.web") / "tour.json").read_text("utf-8"))["first"])
SENTENCE = STORY["text"][0]
SIXTY = " ".join([SENTENCE] * 5)
ENGLISH = (
    "i like this movie and my friend does not like it because it is too long "
    "but i think that it is one of the best movies of all time and"
)
KEY_EVERY = 60
"""Milliseconds between two keys."""

SHOWN = """
const app = document.querySelector('carousel-top').reading.app;
const shown = async (asked) => {
  for (;;) {
    await new Promise((done) => requestAnimationFrame(done));
    await new Promise((done) => {
      const channel = new MessageChannel();
      channel.port1.onmessage = done;
      channel.port2.postMessage(0);
    });
    if (!app.painting && asked()) return;
  }
};
"""
"""Defines ``shown``, which waits until what is asked for has been painted."""
DRAG = f"""
async (count) => {{
  {SHOWN}
  const slider = document.querySelector('input.amount');
  const took = [], blocked = [];
  const isRead = () => app.frame.state === app.store.present;
  let followed = 0;
  new PerformanceObserver((list) => blocked.push(...list.getEntries().map((one) => one.duration)))
    .observe({{ type: 'longtask' }});
  for (let n = 0; n < count; n++) {{
    const value = Math.round(95 * Math.sin(n / 7) / 5) * 5 || 5;
    slider.value = String(Number(slider.value) === value ? value - 5 : value);
    const start = performance.now();
    slider.dispatchEvent(new Event('input'));
    await shown(isRead);
    took.push(performance.now() - start);
    followed += app.frame.following;
  }}
  const start = performance.now();
  slider.dispatchEvent(new Event('change'));
  await shown(() => isRead() && !app.frame.following);
  const exact = performance.now() - start;
  await new Promise((done) => setTimeout(done, 500));
  return {{ took, exact, followed, blocked: Math.max(0, ...blocked) }};
}}
"""
TYPED = f"""
() => {{
  {SHOWN}
  window.typed = [];
  const field = document.getElementById('sentence');
  field.addEventListener('input', () => {{
    const start = performance.now(), {{ length }} = field.value;
    shown(() => app.frame.state.text.length >= length)
      .then(() => window.typed.push(performance.now() - start));
  }});
}}
"""


@dataclass
class Row:
    """Times of one thing in milliseconds, and the median and 95th percentile that are asked for."""

    what: str
    times: list[float]
    median: float | None
    high: float | None

    def text(self) -> str:
        """A line of the table."""
        middle = statistics.median(self.times)
        high = float(np.percentile(self.times, 95))
        asked = " / ".join("-" if one is None else f"{one:.0f}" for one in (self.median, self.high))
        missed = any(
            limit is not None and value > limit
            for value, limit in ((middle, self.median), (high, self.high))
        )
        return (
            f"{self.what:<58} {middle:7.0f} {high:7.0f} {max(self.times):7.0f}   {asked:>9}"
            f"{'  missed' if missed else ''}"
        )


def write_model(folder: Path, kind: dict[str, Any], vocabulary: int) -> Path:
    """A random model over made-up words."""
    tokenizer = train_tokenizer("whitespace", [" ".join(f"w{n}" for n in range(vocabulary))])
    config = Config(vocab_size=tokenizer.vocab_size, tied=True, **kind)
    rng = np.random.default_rng(0)
    weights = {
        name: rng.uniform(-0.1, 0.1, shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    LanguageModel.from_weights(config, weights, tokenizer).save(folder)
    return folder


def words(count: int) -> str:
    """A sentence of made-up words."""
    return " ".join(f"w{7 * n % 5000}" for n in range(count))


CASES: dict[str, list[tuple[Any, ...]]] = {
    "hold": [
        ("stories-lstm", SENTENCE, (20, 50)),
        ("stories-lstm", SIXTY, (60, 120)),
        ("english", ENGLISH, (60, 120)),
        ("lstm-670", words(30), (60, 120)),
        ("cifg-670", words(30), (60, 120)),
        ("lstm-2x650", words(60), (None, 60)),
    ],
    "typing": [
        ("stories-lstm", SENTENCE, " burger and krish orders piz"),
        ("english", ENGLISH, " film i have seen this ye"),
        ("cifg-670", words(30), " w12 w777 w9 w123 w4"),
        ("lstm-2x650", words(60), " w12 w777 w9 w123 w4"),
    ],
}
"""By model and text: the median and 95th percentile that are to hold, or what is typed."""


def make_models(folder: Path) -> dict[str, Path]:
    """Model folders by name: the stories', one as large as a model of English, and a large one."""
    models = {name: carousel.load(name).path for name in ("stories-lstm", "english")}
    medium = {"hidden_size": 670, "layers": 1, "embedding_size": 96, "projection_size": 96}
    large = {"cell": "lstm", "hidden_size": 650, "layers": 2, "embedding_size": 650}
    models["lstm-670"] = write_model(folder / "lstm-670", {"cell": "lstm", **medium}, 10_000)
    models["cifg-670"] = write_model(folder / "cifg-670", {"cell": "cifg", **medium}, 10_000)
    models["lstm-2x650"] = write_model(folder / "lstm-2x650", large, 30_000)
    return models


def link(model: str, text: str, span: str) -> str:
    """A link with a stretch of words to hold."""
    pairs = [("model", model), ("text", text), ("span", span)]
    compared = text.split()
    return urlencode([*pairs, ("word", compared[2]), ("word", compared[7])])


@contextmanager
def opened(browser: Browser, address: str, hash_: str) -> Iterator[Page]:
    """A page that has read its text and its response curve."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(120_000)
    page.goto(f"{address}#{hash_}")
    page.wait_for_selector(".response", state="attached")
    yield page
    page.close()


PAINTS = ("first-contentful-paint", "carousel-painted")


def first_pictures(browser: Browser, address: str, count: int) -> list[Row]:
    """From navigation to the first picture, and to the page that is alive."""
    painted, alive = [], []
    for _ in range(count):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        page.wait_for_selector("#said", state="attached")
        # A browser tells of a paint a little after it.
        for name in PAINTS:
            page.wait_for_function("name => performance.getEntriesByName(name).length", arg=name)
        painted.append(
            page.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0].startTime",
            )
        )
        alive.append(page.evaluate("performance.getEntriesByName('carousel-painted')[0].startTime"))
        page.close()
    where = "one file" if address.startswith("file:") else "served"
    rows = [Row(f"{where}: the page is alive", alive, None, 500 if where == "one file" else None)]
    if where == "served":
        rows.insert(0, Row(f"{where}: first picture of the belt", painted, None, 500))
    return rows


def drags(
    browser: Browser, address: str, what: str, hash_: str, limits: tuple[float | None, float]
) -> list[Row]:
    """From moving a slider to what is painted, and from letting go to the exact numbers."""
    with opened(browser, address, hash_) as page:
        found = page.evaluate(DRAG, 60)
    if found["followed"]:
        what += f" ({found['followed']} of 60 by curve)"
    return [
        Row(what, found["took"], *limits),
        Row("  exact on release", [found["exact"]], None, 1500),
        Row("  longest time that the page was blocked", [found["blocked"]], None, 200),
    ]


def typing(browser: Browser, address: str, what: str, hash_: str, more: str) -> list[Row]:
    """From a key to the page with its suggestions; no key may be lost."""
    with opened(browser, address, hash_) as page:
        page.evaluate(TYPED)
        page.focus("#sentence")
        page.keyboard.press("End")
        before = page.input_value("#sentence")
        page.keyboard.type(more, delay=KEY_EVERY)
        page.wait_for_timeout(1000)
        assert page.input_value("#sentence") == before + more, "keys were lost"
        times = page.evaluate("window.typed")
        assert len(times) == len(more), f"{len(more) - len(times)} keys were never shown"
    return [Row(what, times, None, 100)]


def main() -> None:
    """Measure everything once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only rows whose name begins so")
    parser.add_argument("--runs", type=int, default=20, help="how often the page is opened")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium here: the page can't be measured")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        models = make_models(folder)
        one_file = folder / "one.html"
        one_file.write_text(carousel.load().page(SENTENCE).html, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with StaticServer(models) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            print(f"{'milliseconds':<58} {'median':>7} {'p95':>7} {'most':>7}   {'to hold':>9}")
            for address in (server.address, one_file.as_uri()):
                if "served, one file".find(options.only) >= 0:
                    for row in first_pictures(browser, address, options.runs):
                        print(row.text(), flush=True)
            for what, measure in (("hold", drags), ("typing", typing)):
                for model, text, *given in CASES[what]:
                    if f"{what} {model}".startswith(options.only):
                        where = link(model, text, "5-8")
                        label = f"{what} {model}, {len(text.split())} words"
                        for row in measure(browser, server.address, label, where, *given):
                            print(row.text(), flush=True)
            server.shutdown()
        browser.close()


if __name__ == "__main__":
    main()
