"""The figures of the docs that are alive: in the site as MkDocs builds it, without a network."""

import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest

import carousel
from web.browser import Visit, percent

ROOT = Path(__file__).parents[2]
ASKED = re.compile(r"^<!-- live \d+: (\S+) -->", re.MULTILINE)


@pytest.fixture(scope="module")
def lecture(tmp_path_factory):
    """The lecture alone, by MkDocs with our hook and without a theme; and the links it asks for."""
    build = pytest.importorskip("mkdocs.commands.build", reason="the docs extra is not installed")
    config = pytest.importorskip("mkdocs.config")
    folder = tmp_path_factory.mktemp("lecture")
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    for name, content in {"docs/index.md": text, "theme/main.html": "{{ page.content }}"}.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(content, "utf-8")
    (folder / "docs" / "images").symlink_to(ROOT / "docs" / "images")
    (folder / "mkdocs.yml").write_text(
        "site_name: x\nplugins: []\ntheme: {name: null, custom_dir: theme}\n"
        f"hooks: [{ROOT / 'tools' / 'live_figures.py'}]\n"
        "validation: {links: {not_found: ignore}}\n"
    )
    build.build(config.load_config(str(folder / "mkdocs.yml")))
    return folder / "site", ASKED.findall(text)


@pytest.mark.slow
def test_the_lectures_figures_are_alive_without_a_network(lecture, browser):
    site, links = lecture
    assert len(links) >= 3
    visit = Visit(browser, site.as_uri())
    visit.page.context.set_offline(True)
    visit.page.goto((site / "index.html").as_uri())
    frames = visit.page.locator("iframe.live")
    assert frames.count() == len(links)
    # The pictures for readers of plain Markdown have made room.
    assert visit.page.locator("img[src*=belt]").count() == 0
    for number, link in enumerate(links):
        frames.nth(number).scroll_into_view_if_needed()
        figure = frames.nth(number).content_frame
        asked = parse_qs(link)
        model, text = carousel.load(asked["model"][0]), asked["text"][0]
        best = model.next_words(text, k=1)[0]
        figure.locator(".big-word", has_text=best.word).wait_for()
        assert figure.locator(".big-share").inner_text() == percent(best.probability)
        if "span" in asked:
            first, last = map(int, asked["span"][0].split("-"))
            slider = figure.locator("input.amount").first
            slider.focus()
            slider.press("End")
            gate = {"f": "forget", "z": "update"}[asked["gate"][0]]
            with model.clamp(gate, 1.0, at=range(first, last + 1)) as held_model:
                held = held_model.next_words(text, k=1)[0]
            figure.locator(".big-word", has_text=held.word).wait_for()
            assert figure.locator(".big-share").inner_text() == percent(held.probability)
    visit.page.close()
    assert visit.complaints == []
