"""The page as people use it: typing, stepping, holding, undoing, by pointer and by keyboard."""

import json
import re
import time
from importlib.resources import files
from urllib.parse import urlencode

import numpy as np
import pytest

import carousel
from web.browser import SWITCH, Visit, percent

WORDS = len(SWITCH.split())
TOUR = json.loads((files("carousel.web") / "tour.json").read_text("utf-8"))
SAME = "krish likes pizza but he does not like burger so he orders"
SIMPLE = "krish likes pizza so he orders"
KEEP = (
    "With everything kept at his … burger, the next word turns from burger (100%) to pizza (99.9%)."
)
PLAIN = "After “… his friend orders” the likeliest next word is burger (100%)."


def link(text, **more):
    pairs = [("model", more.pop("model", "stories-lstm")), ("text", text)]
    for name, value in more.items():
        pairs += [(name, one) for one in (value if isinstance(value, list) else [value])]
    return urlencode(pairs)


def drag_lane(visit, gate, first, last):
    """Choose a stretch by dragging along a lane."""
    boxes = [visit.page.locator(f"#word-{t}").bounding_box() for t in (first, last)]
    lane = visit.page.locator(f".lane-picture[data-gate={gate}]").bounding_box()
    middle = lane["y"] + lane["height"] / 2
    mouse = visit.page.mouse
    mouse.move(boxes[0]["x"] + boxes[0]["width"] / 2, middle)
    mouse.down()
    mouse.move(boxes[1]["x"] + boxes[1]["width"] / 2, middle, steps=6)
    mouse.up()
    visit.settle()


def drag_up(visit, pixels):
    """Drag the chosen stretch up (or down)."""
    box = visit.page.locator(".handle").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x, y - pixels, steps=8)
    visit.page.mouse.up()
    visit.settle()


def test_the_first_screen_says_what_is_asked(visit):
    visit.open(words=WORDS)
    assert visit.page.inner_text("h1") == "Pizza came first. Where did it go?"
    assert visit.best() == ("burger", "100%")
    assert visit.said() == PLAIN
    assert visit.page.text_content(".handle") == "keep pizza"


def test_a_drag_keeps_pizza_and_undo_restores_every_number(visit):
    visit.open(words=WORDS)
    before = visit.text()
    drag_up(visit, 100)
    assert visit.said() == KEEP
    visit.page.keyboard.press("Control+z")
    visit.settle()
    assert visit.text() == before
    visit.page.keyboard.press("Control+Shift+z")
    visit.settle()
    assert visit.said() == KEEP


def test_grabbing_without_moving_changes_nothing(visit):
    visit.open(words=WORDS)
    before = visit.text()
    for pixels in (0, 2):
        drag_up(visit, pixels)
    slider = visit.page.locator("#amount-f").bounding_box()
    visit.page.mouse.click(slider["x"] + slider["width"] / 2, slider["y"] + slider["height"] / 2)
    visit.settle()
    assert visit.text() == before
    assert visit.page.is_disabled("button[aria-label=Undo]")


@pytest.mark.parametrize(
    ("text", "gate", "stretch", "pixels", "word", "share"),
    [
        (SWITCH, "f", (5, 8), 100, "pizza", "99.9%"),
        (SAME, "f", (9, 9), -100, "burger", "97%"),
        (SIMPLE, "i", (3, 3), -100, "salad", "94%"),
        (SWITCH, "o", (12, 12), -100, "the", "4%"),
    ],
)
def test_holds_by_pointer(text, gate, stretch, pixels, word, share, visit):
    visit.open(link(text, word=["pizza", "burger"]), words=len(text.split()))
    drag_lane(visit, gate, *stretch)
    drag_up(visit, pixels)
    assert visit.best() == (word, share)


@pytest.mark.parametrize(
    ("text", "keys", "word", "share"),
    [
        # Back to the stretch's end, over the stretch, to the slider.
        (SWITCH, ["ArrowLeft"] * 4 + ["Shift+ArrowLeft"] * 3 + ["Enter"], "pizza", "99.9%"),
        (SAME, ["ArrowLeft"] * 3 + ["Enter"], "burger", "97%"),
    ],
)
def test_holds_by_keyboard_alone(text, keys, word, share, visit):
    visit.open(link(text, word=["pizza", "burger"]), words=len(text.split()))
    presses = 0

    def press(key):
        nonlocal presses
        presses += 1
        visit.page.keyboard.press(key)

    visit.page.focus("#sentence")
    for _ in range(12):
        if visit.page.evaluate("document.activeElement.getAttribute('role')") == "listbox":
            break
        press("Tab")
    for key in keys:
        press(key)
        visit.settle()
    assert visit.page.evaluate("document.activeElement.id") == "amount-f"
    press("End" if word == "pizza" else "Home")
    visit.settle()
    # The answer follows the cursor: look at the text's end again.
    visit.page.focus(".belt")
    press("End")
    visit.settle()
    assert visit.best() == (word, share)
    assert presses <= 25


@pytest.mark.parametrize(
    ("step", "gate", "key", "word", "share"),
    [
        (3, "f", "End", "pizza", "99.9%"),
        (4, "i", "Home", "salad", "94%"),
        (5, "o", "Home", "the", "4%"),
    ],
)
def test_the_tours_holds_by_keyboard_alone(step, gate, key, word, share, visit):
    """From the tour's own step: by Tab to the slider of the gate, and to its end."""
    visit.open(TOUR["steps"][step - 1]["link"])
    visit.page.wait_for_selector(f"#amount-{gate}")
    visit.page.focus("#sentence")
    presses = 0
    while visit.page.evaluate("document.activeElement.id") != f"amount-{gate}":
        visit.page.keyboard.press("Tab")
        presses += 1
        assert presses < 24
    visit.page.keyboard.press(key)
    visit.settle()
    if step == 4:  # it opens on an earlier word
        visit.page.evaluate("document.querySelector('.scrubber').focus()")
        visit.page.keyboard.press("End")
        visit.settle()
    assert visit.best() == (word, share)


def test_as_it_was_while_a_button_is_held(visit):
    visit.open(link(SWITCH, hold="forget=1@5-8", span="5-8", word=["pizza", "burger"]), words=WORDS)
    assert visit.said() == KEEP
    box = visit.page.locator("[data-action=as-it-was]").bounding_box()
    visit.page.mouse.move(box["x"] + 20, box["y"] + 10)
    visit.page.mouse.down()
    visit.settle()
    assert visit.said() == PLAIN
    visit.page.mouse.up()
    visit.settle()
    assert visit.said() == KEEP
    visit.page.keyboard.down("b")
    visit.settle()
    assert visit.said() == PLAIN
    visit.page.keyboard.up("b")
    visit.settle()
    assert visit.said() == KEEP


def chips(visit):
    """The suggestions under the field: words and shares."""
    return [
        tuple(one.rsplit(" ", 1)) for one in visit.page.locator(".chip:has(.dim)").all_inner_texts()
    ]


def expected(words):
    return [(one.word, percent(one.probability)) for one in words[:4]]


@pytest.mark.parametrize(("half", "at"), [("", None), ("", 9), ("s", None)])
def test_suggestions_are_those_of_the_model_as_it_is_held(half, at, visit):
    more = {"at": at} if at else {}
    visit.open(link(f"{SWITCH} {half}".strip(), hold="forget=1@5-8", span="5-8", **more))
    # In the field, a word that is no word yet is half a word.
    visit.page.focus("#sentence")
    visit.until("document.querySelector('carousel-top').reading.tokens.length === 13")
    visit.settle()
    model = carousel.load("stories-lstm")
    plain = expected(model.next_words(SWITCH, prefix=half))
    with model.clamp("forget", 1.0, at=[5, 6, 7, 8]) as held_model:
        held = expected(held_model.next_words(SWITCH, prefix=half))
    assert held != plain
    assert chips(visit) == held
    visit.page.evaluate(
        "document.querySelector('carousel-top').reading.app.setUi({ peeking: true })"
    )
    visit.settle()
    assert chips(visit) == plain


def test_a_drag_that_follows_the_curve_shows_what_an_exact_reading_does(visit):
    """As for a large model: at a strength of the curve both are the same."""
    visit.open(link(SWITCH, span="5-8", word=["pizza", "burger"]), words=WORDS)
    visit.page.wait_for_selector(".turn", state="attached")
    app = "document.querySelector('carousel-top').reading.app"
    shown = []
    for pace in (1e6, 0):
        visit.page.evaluate(
            f"""(pace) => {{
              {app}.readings.pace = pace;
              const slider = document.getElementById('amount-f');
              slider.value = '65';
              slider.dispatchEvent(new Event('input'));
            }}""",
            pace,
        )
        visit.until(f"{app}.frame.following === {'true' if pace else 'false'}")
        visit.settle()
        needle = visit.page.get_attribute(".needle", "aria-label")
        shown.append((visit.best(), visit.shares(), chips(visit), needle))
        visit.page.evaluate(
            "document.getElementById('amount-f').dispatchEvent(new Event('change'))"
        )
        visit.settle()
    assert shown[0] == shown[1]
    clamp = carousel.Clamp.toward("forget", 1.0, 0.65, at=range(5, 9))
    with carousel.load("stories-lstm").clamp(clamp) as model:
        assert shown[0][2] == expected(model.next_words(SWITCH))


def test_typing_loses_no_key_and_suggests(visit):
    visit.open(words=WORDS)
    visit.page.fill("#sentence", "")
    visit.page.focus("#sentence")
    visit.page.keyboard.type(SWITCH, delay=60)
    assert visit.page.input_value("#sentence") == SWITCH
    visit.settle()
    assert visit.best() == ("burger", "100%")
    visit.page.keyboard.type(" bur", delay=60)
    visit.settle()
    # Half a word is not read, and its end is suggested.
    assert visit.page.locator(".belt [role=option]").count() == WORDS + 1
    assert visit.page.inner_text(".ghost") == "ger"
    visit.page.keyboard.press("Escape")
    visit.settle()
    assert visit.page.locator(".ghost").count() == 0
    visit.page.keyboard.type("g")
    visit.settle()
    visit.page.keyboard.press("Tab")
    visit.settle()
    assert visit.page.input_value("#sentence") == SWITCH + " burger"


def test_stepping_shows_what_is_left(visit):
    visit.open(words=WORDS)
    visit.page.focus(".belt")
    visit.page.keyboard.press("Home")
    for _ in range(3):
        visit.page.keyboard.press("ArrowRight")
    visit.settle()
    assert visit.page.get_attribute("#word-3", "aria-label") == "pizza: 100% left"
    visit.page.keyboard.press("End")
    visit.settle()
    assert visit.page.get_attribute("#word-3", "aria-label") == "pizza: 7% left"


def test_playing_ends_at_the_last_word(visit):
    visit.open(link("krish likes pizza"), words=3)
    visit.page.click("button[aria-label=Play]")
    visit.page.wait_for_selector("button[aria-label=Pause]")
    visit.page.wait_for_selector("button[aria-label=Play]", timeout=10_000)
    assert visit.page.get_attribute("#word-3", "aria-selected") == "true"


def test_another_model_keeps_sentence_and_holds(visit):
    visit.open(link(SWITCH, hold="forget=1@5-8", span="5-8"), words=WORDS)
    visit.page.click("text=stories-gru")
    visit.page.wait_for_selector("text=Update gate")
    assert "not in this cell" in visit.page.inner_text(".held-list")
    assert visit.best() == ("burger", "92%")
    visit.page.click("text=stories-rnn")
    visit.page.wait_for_selector("text=A plain RNN has no gates: there is nothing to hold.")
    visit.page.click("text=stories-lstm")
    visit.page.wait_for_selector(".handle")
    visit.settle()
    assert visit.said() == KEEP


def test_units_that_carry_a_word(visit):
    visit.open(words=WORDS)
    visit.page.click("text=only units that carry pizza")
    visit.settle()
    assert "12 of 96 units" in visit.page.inner_text(".units-choice")
    drag_up(visit, 100)
    assert re.search(
        r"hold=forget%3A[\d%C-]+%3D1%405-8",
        visit.page.evaluate("document.querySelector('carousel-top').reading.app.link()"),
    )


def test_the_map_of_all_units_opens_the_cell_on_one(visit):
    visit.open(link(SWITCH, view="units"), words=WORDS)
    memory = carousel.load("stories-lstm").trace(SWITCH)["c", 0]
    t, unit = np.unravel_index(np.abs(memory).argmax(), memory.shape)
    box = visit.page.locator(".heat-map").bounding_box()
    column = visit.page.locator(f"#word-{t}").bounding_box()
    x = column["x"] + column["width"] / 2 - box["x"]
    y = (unit + 0.5) / memory.shape[1] * box["height"]
    # The largest value is the strongest colour.
    alpha = visit.page.evaluate(
        "([x, y]) => document.querySelector('.heat-map').getContext('2d')"
        ".getImageData(x, y, 1, 1).data[3]",
        [x, y],
    )
    assert alpha > 240
    visit.page.locator(".heat-map").click(position={"x": x, "y": y})
    visit.settle()
    state = visit.page.evaluate("document.querySelector('carousel-top').reading.store.present")
    assert (state["unit"], state["view"]) == (unit, "cell")
    assert visit.page.get_attribute(f"#word-{t}", "aria-selected") == "true"


def test_a_tapped_word_opens_a_sheet_of_sliders(browser, address):
    visit = Visit(browser, address, size=(390, 844), has_touch=True, is_mobile=True)
    visit.open(link(SAME, word=["pizza", "burger"]), words=len(SAME.split()))
    visit.page.locator("#word-9").scroll_into_view_if_needed()
    visit.page.tap("#word-9 text")
    visit.page.wait_for_selector(".sheet")
    slider = visit.page.locator(".sheet #amount-f")
    slider.focus()
    visit.page.keyboard.press("Home")
    visit.settle()
    visit.page.tap(".sheet button[aria-label=Close]")
    visit.page.evaluate("document.querySelector('.scrubber').focus()")
    visit.page.keyboard.press("End")
    visit.settle()
    assert visit.best() == ("burger", "97%")
    visit.page.close()
    assert visit.complaints == []


def test_what_is_dragged_is_painted_in_the_next_frames(visit):
    """A small model is read before the next frame; ``benchmarks/page.py`` has the times."""
    visit.open(words=WORDS)
    frames = visit.page.evaluate(
        """async () => {
          const slider = document.getElementById('amount-f');
          const { app } = document.querySelector('carousel-top').reading;
          const counts = [];
          for (let n = 0; n < 30; n++) {
            slider.value = String(-100 + ((n * 35) % 200));
            slider.dispatchEvent(new Event('input'));
            let frames = 0;
            do {
              await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
              frames++;
            } while (app.shown.holds !== app.frame.holds || app.frame.state !== app.store.present);
            counts.push(frames);
          }
          return counts;
        }"""
    )
    assert max(frames) <= 2, frames


def test_a_page_that_is_hidden_for_a_while_comes_back(visit):
    """As in a notebook's folded cell: there is no width to draw in."""
    visit.open(link(SWITCH, span="5-8", view="units"), words=WORDS)
    before = visit.text()
    for display in ("none", "block"):
        visit.page.evaluate(
            "(display) => { document.body.style.display = display;"
            " dispatchEvent(new Event('resize')) }",
            display,
        )
        visit.settle()
    assert visit.text() == before


def test_the_live_region_speaks_once_it_is_quiet(visit):
    visit.open(words=WORDS)
    visit.page.focus("#amount-f")
    visit.page.keyboard.press("End")
    time.sleep(0.8)
    assert visit.page.inner_text("#live") == KEEP
    assert visit.page.get_attribute("#amount-f", "aria-valuetext") == "keep everything"
