"""The picture that stands in ``index.html`` until a model is read."""

import hashlib
import json
import re
import urllib.request
from importlib.resources import files
from urllib.parse import parse_qs

import numpy as np
import pytest

import carousel
from carousel.draw.svg.belt import HEIGHT
from carousel.web.page_files import read_page
from web.browser import SWITCH, Visit, percent, served, story_folders

WEB = files("carousel.web")
INDEX = (WEB / "index.html").read_text("utf-8")
TOUR = json.loads((WEB / "tour.json").read_text("utf-8"))
OUTDATED = "run python tools/draw_page.py"


def part(name):
    return re.search(rf"<{name}>(.+?)</{name}>", INDEX, re.DOTALL)[1]


@pytest.fixture(scope="module")
def model():
    link = parse_qs(TOUR["first"])
    assert link["text"] == [SWITCH]
    return carousel.load(link["model"][0])


def test_it_is_of_the_shipped_model(model):
    weights = (model.path / "model.safetensors").read_bytes()
    digest = re.search(r'data-weights="(\w+)"', INDEX)[1]
    assert hashlib.sha256(weights).hexdigest().startswith(digest), OUTDATED


def test_its_bands_are_the_models(model):
    """The height of every band at every word, as the model says today."""
    amounts = model.trace(SWITCH).belt().amounts()
    scale = HEIGHT / amounts.sum(1).max()
    wide = part("carousel-belt").split('<div class="early narrow">')[0]
    paths = re.findall(r'<path d="([^"]+)" class="band ', wide)
    shown = [s for s, column in enumerate((amounts * scale).T) if column.max() > 0.25]
    assert len(paths) == len(shown), OUTDATED
    for s, path in zip(shown, paths, strict=True):
        ends = [
            (float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)(?=[LCZ]|$)", path)
        ]
        # Over the band and back below it, two points a word: where it changes, and where it is.
        upper, lower = ends[: len(ends) // 2], ends[len(ends) // 2 :][::-1]
        heights = [low - high for (_, high), (_, low) in zip(upper, lower, strict=True)][1::2]
        wanted = amounts[s:, s] * scale
        assert np.abs(np.array(heights[: len(wanted)]) - wanted).max() <= 0.5, OUTDATED


def test_its_words_are_the_models(model):
    answer = part("carousel-answer")
    best = model.next_words(SWITCH, k=5)
    words = re.findall(r'class="bar-word[^>]*>([^<]+)<', answer)
    shares = re.findall(r'class="bar-share">([^<]+)<', answer)
    assert words == [one.word for one in best], OUTDATED
    assert [share.replace("&lt;", "<") for share in shares] == [
        percent(one.probability) for one in best
    ], OUTDATED


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_the_live_page_shows_the_same(width, browser, address):
    """With the script held back the picture is there; with it, the page says the same."""

    def texts(page, names):
        return {
            name: page.eval_on_selector(name, "node => node.innerText").split() for name in names
        }

    visit = Visit(browser, address, size=(width, 900))
    visit.page.route("**/page.js", lambda route: None)
    visit.page.goto(address, wait_until="commit")
    visit.page.wait_for_selector("carousel-answer .big")
    visit.page.wait_for_function("() => document.styleSheets.length > 0")
    names = ["carousel-top", "carousel-belt", "carousel-answer"]
    names += ["carousel-lanes"] if width > 720 else []
    before = texts(visit.page, names)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    visit.page.unroute("**/page.js")
    visit.open()
    after = texts(visit.page, names)
    assert before == after, OUTDATED
    assert visit.page.locator(".early").count() == 0
    visit.page.close()
    assert visit.complaints == []


def test_another_sentence_or_model_does_not_open_with_it(browser, address, tmp_path):
    visit = Visit(browser, address)
    visit.page.route("**/page.js", lambda route: None)
    visit.page.goto(f"{address}#text=krish", wait_until="commit")
    visit.page.wait_for_selector("carousel-answer .big", state="hidden")
    visit.page.close()
    models = story_folders()
    mine = {"mine": models["stories-gru"]} | models
    assert b"burger" not in re.sub(rb"<noscript>.*", b"", read_page("/", mine), flags=re.DOTALL)
    renamed = {"stories-lstm": models["stories-gru"]}
    assert b"burger" not in re.sub(rb"<noscript>.*", b"", read_page("/", renamed), flags=re.DOTALL)
    with served(models) as one, urllib.request.urlopen(one) as answer:
        assert b'class="band' in answer.read()
