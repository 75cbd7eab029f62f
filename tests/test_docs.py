"""What the docs say of the commands and of the code is true."""

import gzip
import importlib
import importlib.util
import io
import re
import shutil
import sys
from pathlib import Path

import pytest

from carousel.cli import COMMANDS, run
from documented import LONG, arguments_of, commands, prepare, shortened

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINES = sorted({line for page in PAGES for line in commands(page.read_text(encoding="utf-8"))})
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split("|")]
    for line in (DOCS / "lecture.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| idea"))
]


def test_pages_from_the_code_are_as_the_code_is(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "tools" / "write_docs.py")
    write_docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_docs)
    there = [DOCS / "api.md", DOCS / "settings.md", *DOCS.glob("commands/*.md")]
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
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documented")
    prepare(folder)
    return folder


GUIDES = [DOCS / "own-model.md", DOCS / "recipes.md", *sorted(DOCS.glob("inside/*.md"))]
CODE = [
    pytest.param(code, id=f"{page.stem} {number}")
    for page in GUIDES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S))
]


@pytest.mark.parametrize("code", CODE)
def test_the_code_of_the_guides_runs(code, place, monkeypatch):
    monkeypatch.chdir(place)
    exec(compile(code, "guide", "exec"), {})


@pytest.mark.parametrize("line", LINES)
def test_commands_run_as_they_are_shown(line, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    arguments, piped = arguments_of(line)
    assert arguments[0] in COMMANDS
    if arguments[0] in LONG or "--resume" in arguments:
        assert run([arguments[0], "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(flag in shown for flag in arguments if flag.startswith("--"))
        return
    if "--out" in arguments and "--force" not in arguments:
        shutil.rmtree(arguments[arguments.index("--out") + 1], ignore_errors=True)
    given = gzip.decompress((place / piped).read_bytes()) if piped else b"see you"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
    code = run(shortened(arguments))
    assert code == 0, capsys.readouterr().err
