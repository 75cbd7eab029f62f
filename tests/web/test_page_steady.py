"""The page with what it is not made for: strange links, texts and folders."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

import carousel
from web.browser import SWITCH, Visit, percent, served

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)> likes <b>pizza</b>",
    "template": "${alert(1)} {{pizza}} `likes`",
    "right-to-left": "\u202eאבג likes \u2067pizza\u2069",
    "emoji": "👩‍👩‍👧‍👦 likes 🍕 pizza",
    "combining": "p\u0301\u0301\u0301i\u0302zza likes",
    "NUL": "krish \x00 likes\x1b[31m pizza",
    "spaces": "krish likes" + " " * 10_000 + "pizza",
    "long word": "likes " + "pizza" * 400,
    "lines": "krish\nlikes\r\npizza",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_text(text, visit):
    visit.open(urlencode({"model": "stories-lstm", "text": text, "view": "two", "other": text}))
    visit.page.wait_for_selector(".word")
    visit.settle()
    assert visit.page.locator("img, b:not(.brand b, .lane-name b, .guess b)").count() == 0
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1440
    # What is drawn has no control characters.
    drawn = visit.page.evaluate("document.querySelector('.belt').textContent")
    assert not any(ord(c) < 32 or c == "\u202e" for c in drawn)


@pytest.mark.parametrize(
    "link",
    [
        "%",
        "z=AAAA",
        "z=" + "A" * 3000,
        "text=%E0%A4%A&model=../../etc",
        "model=nothing&text=krish",
        "text=krish+likes&at=999&span=3-900&hold=forget%3D1%400-2000&unit=99999&layer=98",
        "text=krish&hold=output~1:0.5@1&hold=candidate=1@1&gate=q&view=x&step=77",
        "text=krish&word=<b>&word=constructor",
        "text=constructor+__proto__+toString",
    ],
)
def test_wrong_links_show_a_page(link, visit):
    visit.open(link)
    visit.page.wait_for_selector("#said")
    assert visit.said()


def test_a_link_is_the_page(visit, address):
    link = urlencode(
        [
            ("model", "stories-gru"),
            ("text", SWITCH),
            ("hold", "update~1:0.6@5-8"),
            ("word", "pizza"),
            ("word", "noodles"),
            ("gate", "z"),
            ("span", "5-8"),
            ("view", "units"),
            ("at", "11"),
        ]
    )
    visit.open(link, words=12)
    before = visit.text()
    again = visit.page.evaluate("document.querySelector('carousel-top').reading.app.link()")
    assert again.startswith(visit.address)
    visit.open(again.partition("#")[2], words=12)
    assert visit.text() == before


def test_a_link_of_other_weights_says_so(visit):
    visit.open(urlencode({"model": "stories-lstm~00000000", "text": SWITCH}), words=12)
    assert visit.page.inner_text(".notice") == (
        "This link was made with other weights of stories-lstm: its numbers may differ."
    )


def test_without_javascript_there_are_a_picture_and_the_commands(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.inner_text("h1 >> visible=true") == "Pizza came first. Where did it go?"
    assert page.locator("carousel-belt .band >> visible=true").count() > 8
    assert page.inner_text("carousel-answer .big").split() == ["burger", "100%"]
    assert "--clamp forget=1@5-8" in page.inner_text(".no-script pre")
    context.close()


def test_unknown_words_are_named_with_their_nearest(visit):
    visit.open(urlencode({"model": "stories-lstm", "text": "krish likes pizzza and sushi rolls"}))
    notice = visit.page.inner_text(".notice")
    assert "3 of 6 words are not known to stories-lstm: pizzza, sushi, rolls." in notice
    assert visit.page.locator(".word.unknown").count() == 3
    assert visit.page.locator(".hatch").count() == 3
    visit.page.click(".notice .chip:has-text('pizza')")
    visit.settle()
    assert visit.page.input_value("#sentence") == "krish likes pizza and sushi rolls"


def test_where_no_word_is_known_nothing_is_drawn(visit):
    visit.open(urlencode({"model": "stories-lstm", "text": "colorless green ideas"}))
    assert visit.said() == "None of these words is known to stories-lstm; nothing is drawn."
    assert visit.page.locator(".band").count() == 0


def test_an_empty_sentence_says_what_to_do(visit):
    visit.open()
    visit.page.fill("#sentence", "")
    visit.settle()
    assert visit.said() == "Type a word that stories-lstm knows, and the belt appears."


def test_200_words_have_a_window(visit):
    text = " ".join([SWITCH] * 17)
    visit.open(urlencode({"model": "stories-lstm", "text": text, "at": 100}), words=204)
    shown = visit.page.locator(".belt [role=option]").count()
    assert 10 < shown < 40
    assert visit.page.locator("#word-100").get_attribute("aria-selected") == "true"
    assert visit.page.locator(".overview").count() == 1
    visit.page.focus(".belt")
    visit.page.keyboard.press("End")
    visit.settle()
    assert visit.page.locator("#word-204").get_attribute("aria-selected") == "true"


def test_2001_words_are_2000_and_a_line(visit):
    text = " ".join(["pizza"] * 2001)
    visit.open(urlencode({"model": "stories-lstm", "text": text}))
    visit.page.wait_for_selector(".notice")
    assert visit.page.inner_text(".notice") == (
        "This text has 2001 words; the page reads the first 2000."
    )


def test_2000_words_fit_into_200_megabytes(visit):
    words = (SWITCH.split() * 167)[:2000]
    link = {"text": " ".join(words), "span": "1000-1003", "hold": "forget=1@1000-1003"}
    visit.open(urlencode(link), words=2000)
    visit.page.wait_for_selector(".response", state="attached")
    # What V8 holds, the arrays of traces and weights with it.
    used = visit.page.evaluate("performance.memory.usedJSHeapSize")
    assert 5e6 < used < 200e6


RANDOM_STATES = r"""
async (count) => {
  const { decode, fromHash, toHash } = await import('/state.js');
  const { app } = document.querySelector('carousel-top').reading;
  let seed = 7;
  const below = (most) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * most);
  };
  const one = (list) => list[below(list.length)];
  const words = ['krish', 'likes', 'pizza', 'so', 'zebra', '<b>', '\u202e', "don't", '\u{1f355}'];
  const views = ['cell', 'gates', 'units', 'decision', 'two', 'models'];
  const clamps = ['forget=1', 'layers.3.input~0:0.35', 'output:3,5-7=0', 'update~1:0.5', 'x=9'];
  const lost = [];
  for (let n = 0; n < count; n++) {
    const asked = new URLSearchParams({ model: one(app.models), view: one(views) });
    asked.set('text', Array.from({ length: below(30) }, () => one(words)).join(' '));
    const at = below(40);
    for (let k = below(3); k > 0; k--) asked.append('hold', `${one(clamps)}@${at}-${at + k}`);
    if (below(2)) asked.set('at', below(40));
    if (below(2)) asked.set('span', `${at}-${at + below(9)}`);
    if (below(2)) ['word', 'word'].forEach((name) => asked.append(name, one(words)));
    if (below(2)) asked.set('unit', below(200) - 2);
    if (below(2)) asked.set('other', one(words));
    if (below(3) === 0) asked.set('units', `${below(9)},${10 + below(99)}`);
    const hash = await toHash(app.fitting(decode(asked.toString())));
    app.store.commit(app.fitting(await fromHash(hash)));
    if (n % 5 === 0) await new Promise((done) => requestAnimationFrame(done));
    if ((await toHash(app.store.present)) !== hash) lost.push(hash);
    for (let k = 0; n % 50 === 0 && k < 300 && app.frame.state !== app.store.present; k++)
      await new Promise((done) => setTimeout(done, 20));
    if (n % 50 === 0 && app.frame.state !== app.store.present) lost.push(`not read: ${hash}`);
  }
  return lost;
}
"""


@pytest.mark.slow
def test_500_random_states_go_from_link_to_page_to_link(visit):
    visit.open(words=12)
    visit.page.set_default_timeout(60_000)
    assert visit.page.evaluate(RANDOM_STATES, 500) == []
    visit.settle()
    assert visit.page.inner_text("#message") == ""


def test_broken_folders_are_one_line(browser, tmp_path):
    good = carousel.load("stories-lstm").path
    folders = {"good": good}
    for name in ("no weights", "cut", "foreign"):
        folders[name] = tmp_path / name
        shutil.copytree(good, folders[name])
    (folders["no weights"] / "model.safetensors").unlink()
    weights = folders["cut"] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (folders["foreign"] / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with served(folders) as address:
        visit = Visit(browser, address)
        for name in list(folders)[1:]:
            visit.open(urlencode({"model": "good", "text": SWITCH}), words=12)
            visit.page.click(f".models button:has-text('{name}')")
            visit.page.wait_for_selector("#message:not(:empty)")
            line = visit.page.inner_text("#message")
            assert line.startswith(f"{name} can’t be read: ")
            assert "\n" not in line
            # The way back is open.
            visit.page.click(".models button:has-text('good')")
            visit.page.wait_for_selector("#message:empty", state="attached")
        visit.page.close()
        # What is missing is a 404, which a browser notes by itself.
        assert [line for line in visit.complaints if "404" not in line] == []


def test_hidden_parts_and_theme(visit):
    visit.page.goto(f"{visit.address}?theme=dark&hide=tour,lower,top,no<b>#{quote('text=krish')}")
    visit.page.wait_for_selector("#said")
    assert visit.page.is_hidden("carousel-tour")
    assert visit.page.is_hidden("carousel-lower")
    assert visit.page.is_hidden("header")
    assert visit.page.get_attribute("html", "data-theme") == "dark"


def test_what_is_saved(visit):
    visit.open(
        urlencode({"model": "stories-lstm", "text": SWITCH, "hold": "forget=1@5-8", "span": "5-8"}),
        words=12,
    )

    def saved(name):
        visit.page.click("button[aria-label='Save and share']")
        with visit.page.expect_download() as download:
            visit.page.click(f".menu button:has-text('{name}')")
        return download.value.path().read_bytes()

    assert saved("SVG").startswith(b"<svg")
    assert b"var(" not in saved("SVG")
    assert saved("PNG").startswith(b"\x89PNG")
    data = json.loads(saved("JSON"))
    model = carousel.load("stories-lstm")
    with model.clamp("forget", 1.0, at=[5, 6, 7, 8]) as held:
        trace, best = held.trace(SWITCH), held.next_words(SWITCH, k=1)[0]
    assert data["holds"] == ["forget=1@5-8"]
    assert data["now"]["next"][0]["word"] == best.word
    assert data["now"]["next"][0]["probability"] == pytest.approx(best.probability, abs=1e-6)
    assert data["now"]["left"][12] == pytest.approx(trace.belt().amounts()[12], abs=1e-4)
    assert data["weights"]
    rows = saved("CSV").decode().split("\r\n")
    assert len(rows) == 14
    assert rows[3].startswith("2,likes,")


@pytest.mark.slow
def test_the_copied_command_and_python_say_what_the_page_says(browser, tmp_path):
    """As they are copied: run by a shell in the folder that the page was opened from."""
    shutil.copytree(carousel.load("stories-lstm").path, tmp_path / "my models" / "it's")
    model = {"it's": tmp_path / "my models" / "it's"}
    with served(model, {"it's": "my models/it's"}) as address:
        visit = Visit(browser, address, permissions=["clipboard-read", "clipboard-write"])
        visit.open(urlencode({"text": SWITCH, "hold": "forget~1:0.55@5-8", "at": 11}), words=12)

        def copied(name):
            visit.page.click("button[aria-label='Save and share']")
            visit.page.click(f".menu button:has-text('{name}')")
            visit.page.wait_for_selector("#message:has-text('Copied')")
            text = visit.page.evaluate("navigator.clipboard.readText()")
            visit.page.evaluate("document.getElementById('message').textContent = ''")
            return text

        command, code = copied("Copy as command"), copied("Copy as Python")
        difference = visit.page.evaluate(
            "document.querySelector('carousel-top').reading.now.difference"
        )
        shares = list(visit.shares().items())
        visit.page.close()
    assert visit.complaints == []
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(line):
        ran = subprocess.run(
            line, shell=True, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True
        )
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout.decode()

    assert f"logit difference {difference:+.2f}" in run(command)
    said = json.loads(run(f"{command} --json"))
    best = said["texts"][-1]["next_words"][-1]
    assert [(one["word"], percent(one["probability"])) for one in best[:2]] == shares[:2]
    namespace = {}
    lines = code.splitlines()
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        exec("\n".join(lines[:-1]), namespace)
        changes = eval(lines[-1], namespace)
    finally:
        os.chdir(before)
    after = {one.word: percent(one.after) for one in changes}
    compared = [item for item in shares if item[0] in after]
    assert compared
    assert all(after[word] == share for word, share in compared)
