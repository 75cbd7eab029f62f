"""The page for everyone: colours, sizes, names, and how much a browser has to load."""

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
import pytest

from carousel.web.script import without_comments, write_script
from web.browser import STORIES, SWITCH, Visit

WEB = Path(str(files("carousel.web")))
PALETTE = json.loads((WEB / "palette.json").read_text("utf-8"))
TEXTS = ("ink", "dim", "first-ink", "second-ink", "accent", "warn")
MARKS = ("first", "second", "edge", "forget", "input", "candidate", "output", "reset", "other")
LINKS = {
    "first screen": "",
    "held": urlencode({"text": SWITCH, "hold": "forget=1@5-8", "span": "5-8", "view": "gates"}),
    "no belt": urlencode({"model": "stories-rnn", "text": SWITCH, "view": "units"}),
    "decision": urlencode({"text": SWITCH, "view": "decision", "gate": "i", "span": "8-8"}),
    "two sentences": urlencode({"text": SWITCH, "view": "two", "other": "krish likes soup"}),
    "tour": urlencode({"text": SWITCH + " zebra", "view": "models", "step": 6}),
}


def linear(colour):
    """Linear red, green and blue of ``#rrggbb``."""
    parts = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG's contrast ratio."""
    light, dark = sorted((linear(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", PALETTE)
def test_contrasts(theme):
    colours = PALETTE[theme]
    for ground in ("ground", "soft", "page"):
        for name in TEXTS:
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in MARKS:
        assert contrast(colours[name], colours["ground"]) >= 3, name
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5


# Machado, Oliveira & Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", severity 1.0.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(rgb):
    """CIE L*a*b* of linear sRGB."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("theme", PALETTE)
def test_the_two_words_stay_apart(theme, deficiency):
    matrix = np.array(DEFICIENCIES[deficiency])
    seen = [lab(matrix @ linear(PALETTE[theme][name])) for name in ("first", "second")]
    assert np.linalg.norm(seen[0] - seen[1]) > 25


@pytest.mark.parametrize("theme", PALETTE)
def test_the_style_has_the_palettes_colours(theme):
    style = (WEB / "style.css").read_text("utf-8")
    block = re.search(rf'data-theme="{theme}"\] {{(.*?)\n}}', style, re.DOTALL)[1]
    assert dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) == PALETTE[theme]
    # No colour stands anywhere else, but for shadows.
    rest = re.sub(r"\[data-theme=\"\w+\"\] \{.*?\n\}", "", style, flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;\s,)])", rest)


def test_what_is_loaded_is_small(address):
    """60 kB of JavaScript and 12 kB of CSS, as a browser gets them."""

    def size(name):
        request = Request(address + name, headers={"Accept-Encoding": "gzip"})
        with urlopen(request) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            return len(answer.read())

    with urlopen(address) as answer:
        page = answer.read().decode()
    scripts = re.findall(r'<script[^>]* src="([^"]+)"', page)
    assert scripts == ["early.js", "page.js"]
    assert "modulepreload" not in page
    assert sum(map(size, scripts)) <= 60_000
    assert size("style.css") <= 12_000


def test_the_script_has_no_comments_left():
    script = write_script()
    assert not re.search(r"/\*|@param|@typedef", script)
    # What is no comment is still there, in the same order.
    for path in (WEB / "export.js", WEB / "model" / "tokenizer.js"):
        strings = re.findall(r"'(?:[^'\\\n]|\\.)*'", without_comments(path.read_text("utf-8")))
        assert len(strings) > 20
        assert all(one in script for one in strings if not one.startswith("'."))


def test_every_word_of_the_interface_is_used():
    """No string in words.json is dead, and none is missing."""
    words = json.loads((WEB / "words.json").read_text("utf-8"))
    source = "".join(path.read_text("utf-8") for path in sorted(WEB.rglob("*.js")))
    unused = [name for name in words if not re.search(rf"text\.{name}\b|'{name}'", source)]
    assert unused == []
    for name in set(re.findall(r"\btext\.([a-z_]+)\b(?! *\()", source)):
        assert name in words or name in dir(str) or name in {"length", "slice"}, name


def test_every_module_is_loaded_at_once():
    """The page names all modules, so that a browser need not find them one behind the other."""
    needed, found = ["app.js"], set()
    while needed:
        name = needed.pop()
        if name not in found:
            found.add(name)
            imports = r"^import[^;]*?from '(\.[^']+)'"
            for other in re.findall(imports, (WEB / name).read_text("utf-8"), re.MULTILINE):
                path = (WEB / name).parent / other
                needed.append(path.resolve().relative_to(WEB.resolve()).as_posix())
    page = (WEB / "index.html").read_text("utf-8")
    assert set(re.findall(r'modulepreload" href="([^"]+)"', page)) == found - {"app.js"}


def test_nothing_comes_from_elsewhere_and_nothing_is_markup():
    for path in sorted(WEB.rglob("*.js")):
        source = path.read_text("utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", source
        )
        assert not re.search(r"https?://(?!www\.w3\.org/)", source), path
    assert " style=" not in (WEB / "index.html").read_text("utf-8")


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("theme", PALETTE)
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_serious(width, theme, link, browser, address):
    axe = os.environ.get("CAROUSEL_AXE")
    if not axe:
        pytest.skip("CAROUSEL_AXE does not name axe-core's axe.min.js (npm install axe-core)")
    visit = Visit(browser, address, size=(width, 900))
    visit.open(link, theme=theme)
    visit.page.evaluate(Path(axe).read_text("utf-8"))
    found = visit.page.evaluate("axe.run()")["violations"]
    assert [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ] == []
    visit.page.close()


@pytest.mark.parametrize(("width", "least"), [(1440, 24), (390, 40)])
def test_targets_are_large_enough(width, least, browser, address):
    visit = Visit(browser, address, size=(width, 900), has_touch=width < 700)
    visit.open(
        urlencode({"text": SWITCH, "hold": "forget=1@5-8", "span": "5-8", "step": 3}), words=12
    )
    small = visit.page.eval_on_selector_all(
        "button, select, input[type=range], .dots a",
        """(nodes, least) => nodes.map((node) => [node.textContent || node.ariaLabel,
          node.getBoundingClientRect()]).filter(([, box]) => box.width && (box.height < least
          || box.width < Math.min(24, least)))
          .map(([name, box]) => [name, box.width, box.height])""",
        least,
    )
    assert small == []
    visit.page.close()


OVERLAPS = """
() => [...document.querySelectorAll('svg')].flatMap((svg) => {
  const labels = [...svg.querySelectorAll('text')].map((node) =>
    [node.textContent, node.getBoundingClientRect()]).filter(([text]) => text.trim());
  return labels.flatMap(([a, one], index) => labels.slice(index + 1)
    .filter(([, other]) =>
      Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1.5
      && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 4)
    .map(([b]) => `${svg.getAttribute('class')}: ${a} / ${b}`));
})
"""


@pytest.mark.parametrize(
    ("width", "scale"), [(320, 1), (390, 1), (720, 2), (768, 1), (1024, 1), (1440, 1)]
)
def test_nothing_scrolls_sideways_and_no_labels_overlap(width, scale, browser, address):
    """At every width, and at 200% of a window of 1440 (which leaves 720 pixels of the page)."""
    visit = Visit(browser, address, size=(width, 900 // scale), device_scale_factor=scale)
    for view in ("cell", "gates", "units", "decision", "two", "models"):
        link = {"text": SWITCH, "hold": "forget=1@5-8", "span": "5-8", "view": view, "step": 3}
        visit.open(urlencode(link | {"other": "krish likes soup"}), words=12)
        visit.page.wait_for_selector("#panel > *", state="attached")
        visit.settle()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert visit.page.evaluate(OVERLAPS) == [], view
    visit.page.close()
    assert visit.complaints == []


@pytest.mark.parametrize("name", STORIES)
def test_a_narrow_screen_shows_the_whole_cell(name, browser, address):
    """The diagram runs from top to bottom there, with every number of the wide one."""
    labels = {}
    for width in (1440, 390):
        visit = Visit(browser, address, size=(width, 900))
        visit.open(urlencode({"model": name, "text": SWITCH, "unit": 5}), words=12)
        visit.page.wait_for_selector(".cell", state="attached")
        labels[width] = sorted(visit.page.locator(".cell text").all_text_contents())
        room, shown, drawn = visit.page.evaluate(
            """() => {
              const cell = document.querySelector('.cell');
              const all = [...cell.children].map((node) => node.getBoundingClientRect());
              const { left, right } = cell.getBoundingClientRect();
              const least = Math.min(...all.map((box) => box.left - left));
              const most = Math.max(...all.map((box) => box.right - right));
              return [cell.parentElement.clientWidth, right - left, [least, most]];
            }"""
        )
        assert shown <= room
        assert drawn[0] >= -1
        assert drawn[1] <= 1
        assert visit.page.evaluate(OVERLAPS) == []
        visit.page.close()
        assert visit.complaints == []
    assert labels[390] == labels[1440]


def test_nothing_moves_where_that_is_asked_for(browser, address):
    visit = Visit(browser, address, reduced_motion="reduce")
    visit.open(words=12)
    moving = visit.page.evaluate(
        "[...document.querySelectorAll('*')].filter((node) =>"
        " getComputedStyle(node).transitionDuration.split(', ').some((time) => time !== '0s')"
        " || getComputedStyle(node).animationName !== 'none').length"
    )
    assert moving == 0
    visit.page.close()
