"""What the docs say of the commands and of the code is true."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split("|")]
    for line in (DOCS / "lecture.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| idea"))
]


def test_pages_from_the_code_are_as_the_code_is():
    spec = importlib.util.spec_from_file_location(
        "write_docs", DOCS.parent / "tools" / "write_docs.py"
    )
    write_docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_docs)
    there = [DOCS / "settings.md", *DOCS.glob("commands/*.md")]
    found = {path: path.read_text(encoding="utf-8") for path in there}
    assert found == write_docs.pages(), "run `make docs`"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_of_the_lecture_leads_to_code(row):
    idea, _, _, code = row
    for path in re.findall(r"`([\w.]+)`", code):
        module, found = "carousel", None
        for name in path.split("."):
            try:
                found = importlib.import_module(f"{module}.{name}")
                module = f"{module}.{name}"
            except ModuleNotFoundError:
                owner = importlib.import_module(module) if found is None else found
                found = getattr(owner, name, None)
                # Fields of a named tuple or dataclass may have no default to be found by.
                if found is None:
                    found = getattr(owner, "__annotations__", {}).get(name)
        assert found is not None, f"{idea}: carousel.{path} is not there"


def test_links_between_pages_lead_somewhere():
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
