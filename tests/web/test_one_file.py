"""The page as one HTML file, opened from disk."""

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

import carousel
from carousel.cli import run
from carousel.errors import LensError
from carousel.storage.config import Config
from carousel.text.vocabulary import train_tokenizer
from carousel.web.one_file import MODEL_FILES, write_page
from carousel.web.script import write_script
from web.browser import SWITCH, Visit

SENTENCE = "krish likes pizza but he does not like burger so he orders"


def files_of(name):
    folder = carousel.load(name).path
    return {file: (folder / file).read_bytes() for file in MODEL_FILES}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("one") / "memory.html"
    link = urlencode({"model": "stories-lstm", "text": SWITCH})
    path.write_text(write_page({"stories-lstm": files_of("stories-lstm")}, link), "utf-8")
    return path


@pytest.fixture
def opened(browser, page_file):
    """The file in a browser without a network; any complaint of the browser fails the test."""
    visit = Visit(browser, page_file.as_uri())
    visit.page.context.set_offline(True)
    visit.page.goto(page_file.as_uri())
    visit.page.wait_for_selector(".word")
    visit.settle()
    yield visit
    visit.page.close()
    assert visit.complaints == []


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self):
        super().__init__()
        self.all = []

    def handle_starttag(self, tag, attributes):
        self.all.append((tag, dict(attributes)))


def elements(page):
    parser = Elements()
    parser.feed(page)
    return parser.all


def save(visit, name):
    """What the page saves under an entry of its menu."""
    visit.page.click("[aria-label='Save and share']")
    with visit.page.expect_download() as download:
        visit.page.click(f".menu button:has-text('{name}')")
    return Path(download.value.path()).read_text("utf-8")


def assert_pythons(data, text):
    model = carousel.load("stories-lstm")
    trace = model.trace(text)
    amounts = trace.belt().amounts()
    assert data["text"] == text
    for t, row in enumerate(data["before"]["left"]):
        assert row == pytest.approx(amounts[t, : t + 1].tolist(), abs=1e-4)
    means = data["before"]["gates"]["f"]
    assert means == pytest.approx(trace["forget"].mean(1).tolist(), abs=1e-4)
    best = {one.word: one.probability for one in model.next_words(text, k=3)}
    shown = {one["word"]: one["probability"] for one in data["before"]["next"]}
    for word, probability in best.items():
        assert shown[word] == pytest.approx(probability, abs=1e-4)


def test_the_file_opens_from_disk_as_it_was_saved(opened):
    assert opened.best()[0] == "burger"
    assert_pythons(json.loads(save(opened, "Numbers (JSON)")), SWITCH)


def test_one_can_type_into_the_file(opened):
    opened.page.fill("#sentence", SENTENCE)
    opened.until("document.querySelector('carousel-top').reading.tokens.length === 13")
    opened.settle()
    assert opened.best()[0] == "pizza"
    assert_pythons(json.loads(save(opened, "Numbers (JSON)")), SENTENCE)


def test_a_gate_can_be_held_in_the_file(opened):
    opened.page.goto(opened.address + "#" + urlencode({"text": SWITCH, "hold": "forget=1@5-8"}))
    opened.until("document.querySelector('carousel-top').reading.holds.length === 1")
    opened.settle()
    with carousel.load("stories-lstm").clamp("forget", 1.0, at=range(5, 9)) as held:
        best = held.next_words(SWITCH, k=1)[0]
    data = json.loads(save(opened, "Numbers (JSON)"))
    assert (data["now"]["next"][0]["word"], best.word) == ("pizza", "pizza")
    assert data["now"]["next"][0]["probability"] == pytest.approx(best.probability, abs=1e-4)


def test_a_large_model_has_a_thread_of_its_own(browser, tmp_path):
    words = [f"w{number}" for number in range(3000)]
    tokenizer = train_tokenizer("whitespace", [" ".join(words)])
    config = Config("lstm", tokenizer.vocab_size, 256, 256, 1, tied=True)
    rng = np.random.default_rng(0)
    weights = {
        name: rng.uniform(-0.1, 0.1, shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    model = carousel.LanguageModel.from_weights(config, weights, tokenizer)
    text = " ".join(words[5:15])
    model.page(text).save(tmp_path / "large.html")
    visit = Visit(browser, (tmp_path / "large.html").as_uri())
    visit.page.context.set_offline(True)
    visit.page.goto(visit.address)
    visit.page.wait_for_selector("#said")
    assert len(visit.page.workers) == 1
    data = json.loads(save(visit, "Numbers (JSON)"))
    best = model.next_words(text, k=1)[0]
    assert data["now"]["next"][0]["word"] == best.word
    assert data["now"]["next"][0]["probability"] == pytest.approx(best.probability, abs=1e-6)
    visit.page.close()
    assert visit.complaints == []


def test_the_policy_allows_nothing_but_the_files_own_script_and_style(page_file):
    text = page_file.read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "connect-src" not in policy
    for _, attributes in elements(text):
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))


def test_the_page_saves_the_file_that_python_writes(visit):
    link = urlencode({"model": "stories-lstm", "text": SENTENCE})
    visit.open(link, words=12)
    saved = save(visit, "This page as one file")
    start = re.search(r'id="file:start.json">([^<]+)<', saved)[1]
    opened_with = json.loads(start)["link"]
    assert opened_with == link
    assert saved == write_page({"stories-lstm": files_of("stories-lstm")}, opened_with)


def test_names_and_links_are_text():
    name = 'a"><script>alert(1)</script>'
    page = write_page({name: files_of("stories-rnn")}, "text=</script><b>")
    usual = write_page({"stories-rnn": files_of("stories-rnn")}, "text=x")
    assert [tag for tag, _ in elements(page)] == [tag for tag, _ in elements(usual)]


def test_the_script_holds_every_module_once():
    script = write_script()
    names = re.findall(r"^// (\S+\.js)$", script, re.MULTILINE)
    assert len(names) == len(set(names)) > 30
    assert names[-1] == "app.js"
    assert not re.search(r"^(?:import|export) ", script, re.MULTILINE)
    module = r"^const (m\d+) = \(\(\) => \{$.*?^return \{ ([^}]*) \};\n\}\)\(\);$"
    exported = dict(re.findall(module, script, re.M | re.S))
    imported = re.findall(r"^const \{([^}]*)\} = (m\d+);$", script, re.MULTILINE)
    assert len(imported) > 50
    for wanted, module in imported:
        for one in filter(None, map(str.strip, wanted.split(","))):
            assert one.split(":")[0] in exported[module].split(", ")


def test_a_model_makes_the_page_with_itself_inside(tmp_path):
    model = carousel.load("stories-gru")
    page = model.page(SWITCH, clamps=["update=1@5-8"], compare=("pizza", "burger"))
    page.save(tmp_path / "memory.html")
    blocks = re.findall(
        r'id="file:([^"]+)">([^<]*)<', (tmp_path / "memory.html").read_text("utf-8")
    )
    texts = dict(blocks)
    link = [("model", "stories-gru"), ("text", SWITCH), ("hold", "update=1@5-8")]
    link += [("word", "pizza"), ("word", "burger")]
    assert json.loads(texts["start.json"]) == {"link": urlencode(link)}
    (tmp_path / "again").mkdir()
    for file in MODEL_FILES:
        content = base64.b64decode(texts[f"models/stories-gru/{file}"])
        (tmp_path / "again" / file).write_bytes(content)
    again = carousel.load(tmp_path / "again")
    assert again.next_words(SWITCH) == model.next_words(SWITCH)


def test_clamps_without_a_handle_are_refused():
    for clamp in ("forget=0.5@3", "forget=1@friend", "forget=1", "candidate=1@3"):
        with pytest.raises(LensError, match="the page can't show"):
            carousel.load().page(SWITCH, clamps=[clamp])


def test_the_command_writes_the_file(tmp_path, capsys, monkeypatch):
    # A long path would stand on a line of its own.
    monkeypatch.chdir(tmp_path)
    assert run(["explain", SWITCH, "--live", "memory.html"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Written: memory.html"
    assert (tmp_path / "memory.html").read_text("utf-8") == carousel.load().page(SWITCH).html


@pytest.mark.slow
def test_a_notebook_that_was_executed_shows_the_page(browser, tmp_path):
    """By nbconvert; the drawing stands beside the page for whoever shows no frames."""
    nbformat = pytest.importorskip("nbformat", reason="nbconvert is not installed")
    pytest.importorskip("nbconvert", reason="nbconvert is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    code = f"import carousel\ncarousel.load().page({SWITCH!r})"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(notebook, tmp_path / "memory.ipynb")
    for how in (["--to", "notebook", "--execute", "--inplace"], ["--to", "html"]):
        command = [sys.executable, "-m", "jupyter", "nbconvert", *how, "memory.ipynb"]
        command += ["--template", "basic"] if "html" in how else []
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    (cell,) = nbformat.read(tmp_path / "memory.ipynb", as_version=4).cells
    (output,) = cell.outputs
    assert output.data["image/svg+xml"].startswith("<svg")
    visit = Visit(browser, (tmp_path / "memory.html").as_uri())
    visit.page.goto(visit.address)
    frame = visit.page.frame_locator("iframe")
    frame.locator(".big-word", has_text="burger").wait_for()
    frame.locator("#sentence").fill(SENTENCE)
    frame.locator(".big-word", has_text="pizza").wait_for()
    visit.page.close()
    assert [one for one in visit.complaints if "about:srcdoc" not in one] == []
