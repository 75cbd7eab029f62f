"""Take the pictures of the page: ``python tools/draw_page.py``.

Two for README and docs, and the one that stands in the page's ``index.html`` until a model is read.
It needs Playwright and a Chromium; see CONTRIBUTING.md.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from importlib.resources import files
from json import loads
from pathlib import Path
from threading import Thread

from playwright.sync_api import Browser, Page, sync_playwright

from carousel.model import LanguageModel
from carousel.web.page_files import FIRST_MODEL
from carousel.web.static_server import StaticServer

IMAGES = Path(__file__).parents[1] / "docs" / "images"
MODELS = (FIRST_MODEL, "stories-gru", "stories-rnn", "english")
WEB = Path(str(files("carousel.web")))
TOUR = loads((WEB / "tour.json").read_text("utf-8"))

PICTURES = {
    "page.png": ("light", TOUR["steps"][2]["guess"]["link"]),
    "page-dark.png": ("dark", TOUR["steps"][2]["guess"]["link"]),
}
"""By file: the theme, and what the page shows."""
WIDE, NARROW = (1440, 900), (390, 844)
FIRST_PARTS = {
    "carousel-top": (WIDE,),
    "carousel-sentence": (WIDE,),
    "carousel-belt": (WIDE, NARROW),
    "carousel-lanes": (WIDE,),
    "carousel-answer": (WIDE,),
}
"""What of the first screen stands in ``index.html``, and the windows that it is taken in."""

MARKUP = """
(name) => {
  const copy = document.querySelector(name).cloneNode(true);
  // Nothing can be done yet, and nothing has a name that what comes later needs.
  const dropped = ['id', 'role', 'tabindex', 'style', 'title', 'data-gate', 'data-export', 'dir',
    'data-action', 'aria-selected', 'aria-activedescendant', 'aria-describedby', 'aria-label',
    'aria-orientation', 'aria-expanded', 'aria-haspopup', 'aria-live'];
  for (const node of [...copy.querySelectorAll('title, defs, .hit')]) node.remove();
  for (const node of copy.querySelectorAll('.bar-fill')) {
    if (node.style.width === '100%') node.classList.add('full');
  }
  for (const node of copy.querySelectorAll('*')) {
    for (const attribute of dropped) {
      const spoken = attribute === 'aria-label' && /^(button|input|textarea)$/.test(node.localName);
      if (!spoken) node.removeAttribute(attribute);
    }
    for (const { name, value } of [...node.attributes]) {
      if (/^-?[0-9]+[.][0-9]+$/.test(value)) node.setAttribute(name, (+value).toFixed(1));
    }
    if (node.localName === 'input') node.setAttribute('value', node.value);
    if (/^(button|input)$/.test(node.localName) && !node.disabled) {
      node.setAttribute('disabled', '');
      node.classList.add('soon');
    }
  }
  const field = document.querySelector(name).querySelector('textarea');
  if (field) {
    copy.querySelector('textarea').textContent = field.value;
    copy.querySelector('textarea').setAttribute('readonly', '');
  }
  return copy.innerHTML;
}
"""


def open_page(browser: Browser, address: str, size: tuple[int, int], theme: str, link: str) -> Page:
    """Open the page and wait until it is read."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(f"{address}?theme={theme}#{link}")
    page.wait_for_selector(".response")
    return page


def draw_first(browser: Browser, address: str) -> dict[str, str]:
    """What stands in ``index.html``: markup by the name of the custom element."""
    parts = dict.fromkeys(FIRST_PARTS, "")
    for size, kind in ((WIDE, "wide"), (NARROW, "narrow")):
        page = open_page(browser, address, size, "light", TOUR["first"])
        for name, sizes in FIRST_PARTS.items():
            if size in sizes:
                shown = f"early {kind}" if len(sizes) > 1 else "early"
                parts[name] += f'<div class="{shown}">{page.evaluate(MARKUP, name)}</div>'
        page.close()
    return parts


def write_first(parts: dict[str, str], weights: bytes) -> None:
    """Put the first screen into ``index.html``."""
    path = WEB / "index.html"
    text = path.read_text("utf-8")
    for name, markup in parts.items():
        element = re.compile(rf"(<{name}>).*?(</{name}>)", re.DOTALL)
        text = element.sub(lambda match, new=markup: match[1] + new + match[2], text)
    digest = hashlib.sha256(weights).hexdigest()[:8]
    text = re.sub(r'<main data-weights="\w*">', f'<main data-weights="{digest}">', text)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Take all of them."""
    chromium = shutil.which("chromium") or sys.exit("no Chromium here")
    folders = {name: path for name in MODELS if (path := LanguageModel.load(name).path)}
    with StaticServer(folders) as server, sync_playwright() as playwright:
        Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (theme, link) in PICTURES.items():
            page = open_page(browser, server.address, WIDE, theme, link)
            page.screenshot(path=IMAGES / name)
            page.close()
            print(IMAGES / name)
        parts = draw_first(browser, server.address)
        write_first(parts, (folders[FIRST_MODEL] / "model.safetensors").read_bytes())
        print(WEB / "index.html")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
