"""The site of the docs is built without a warning, and can be read without a network."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("mkdocs", reason="the docs extra is not installed")
FETCHED = r'<(?:script|img|iframe|source)\b[^>]*?\bsrc="([^"]+)"|<link\b[^>]*?\bhref="([^"]+)"'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # A linter in the same environment formats the signatures.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", folder]
    environment = os.environ | {"PATH": path, "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere_and_what_is_fetched_is_there(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        # What stands within a script is no element.
        text = re.sub(r"(?s)(<script\b[^>]*>).*?(?=</script>)", r"\1", page.read_text("utf-8"))
        for found in re.finditer(FETCHED, text):
            target = (found[1] or found[2]).split("?")[0]
            assert "//" not in target, f"{page.name} fetches {target}"
            if page.name != "404.html" and not target.startswith("data:"):
                assert (page.parent / target).exists(), f"{page.name} misses {target}"
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"url\(\s*[\"']?(?:https?:)?//", styles)


@pytest.mark.slow
def test_every_page_is_in_the_search_and_in_the_navigation(site):
    text = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    found = {entry["location"].split("#")[0] for entry in json.loads(text)["docs"]}
    home = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        built = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert built in found
        assert f'href="{built}"' in home, f"{built} is not in docs/.nav.yml"


@pytest.mark.slow
def test_the_reference_shows_signatures_arguments_and_examples(site):
    api = (site / "api.html").read_text(encoding="utf-8")
    for name in ("LanguageModel.next_words", "training.api.train", "errors.TextError"):
        assert f'id="carousel.{"model." if "Model" in name else ""}{name}"' in api
    assert "::" not in re.sub(r"<[^>]+>", "", api)  # every example is in a block
