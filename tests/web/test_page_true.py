"""What the page says is what Python says: the tour, tables, pictures, the cell's arithmetic."""

import json
import random
import re
from importlib.resources import files
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest

import carousel
from carousel.draw.svg.belt import HEIGHT
from web.browser import STORIES, SWITCH

TOUR = json.loads((files("carousel.web") / "tour.json").read_text("utf-8"))
EXPECTED = [
    (number, expected)
    for number, step in enumerate(TOUR["steps"], 1)
    for expected in step["expect"]
]
SENTENCES = [
    SWITCH,
    "krish likes pizza but he does not like burger so he orders",
    "krish likes pizza but his friend likes burger so his friend orders burger and krish orders",
    "anna likes soup and rain drums on the roof so she orders",
    "on sunday i want to eat pizza on monday i want to eat burger today is sunday so i want to eat",
    "my name is krish and my friend's name is paul my friend is called",
    "Krish LIKES  pizza",
]


def percent(share):
    """As the page prints a probability."""
    if share >= 0.9995:
        return "100%"
    if share < 0.0005:
        return "0%" if share <= 0 else "<0.1%"
    return f"{share * 100:.1f}%" if share > 0.99 or share < 0.01 else f"{round(share * 100)}%"


def held(link):
    """Python's next words for a link of the tour."""
    asked = parse_qs(link)
    model, text = carousel.load(asked["model"][0]), asked["text"][0]
    for clamp in asked.get("hold", []):
        gate, value, first, last = re.fullmatch(r"(\w+)=([01])@(\d+)(?:-(\d+))?", clamp).groups()
        places = list(range(int(first), int(last or first) + 1))
        with model.clamp(gate, float(value), at=places) as model:
            return model.next_words(text, k=5)
    return model.next_words(text, k=5)


@pytest.mark.parametrize(("number", "expected"), EXPECTED)
def test_the_tour_in_python(number, expected):
    best = held(expected["link"])[0]
    if expected["word"] is not None:
        assert best.word == expected["word"]
    if expected["probability"] is not None:
        assert best.probability == pytest.approx(expected["probability"], abs=0.006)
    if "most" in expected:
        assert best.probability < expected["most"]


@pytest.mark.parametrize(("number", "expected"), EXPECTED)
def test_the_tour_on_the_page(number, expected, visit):
    visit.open(expected["link"], words=len(parse_qs(expected["link"])["text"][0].split()))
    shown = visit.shares()
    assert list(shown.items())[:2] == [
        (one.word, percent(one.probability)) for one in held(expected["link"])[:2]
    ]
    for word, share in expected.get("left", {}).items():
        place = parse_qs(expected["link"])["text"][0].split().index(word) + 1
        assert visit.page.get_attribute(f"#word-{place}", "aria-label") == (
            f"{word}: {round(share * 100)}% left"
        )
    if "crosses" in expected:
        turn = visit.page.text_content(".turn text")
        assert int(re.search(r"\d+", turn)[0]) == pytest.approx(expected["crosses"] * 100, abs=2)


def test_every_step_of_the_tour_can_be_walked(visit):
    visit.open(TOUR["first"])
    visit.page.click("text=Take the tour")
    for number, step in enumerate(TOUR["steps"], 1):
        visit.page.wait_for_selector(f"text=Step {number} of {len(TOUR['steps'])}")
        visit.settle()
        assert visit.page.inner_text("h1") == step["question"]
        assert visit.page.inner_text(".card h2") == step["title"]
        if number < len(TOUR["steps"]):
            visit.page.click(".card-foot .primary")


def test_guessing_first_shows_what_happens(visit):
    visit.open(TOUR["steps"][2]["link"])
    visit.page.click(".guess button:has-text('burger')")
    visit.page.wait_for_selector(".guessed")
    visit.settle()
    assert visit.best() == ("pizza", "99.9%")
    assert visit.page.inner_text(".guessed").startswith("Not this time: With everything kept")


@pytest.mark.parametrize("name", STORIES)
def test_the_table_is_the_trace(name, visit):
    model = carousel.load(name)
    for text in SENTENCES:
        trace = model.trace(text)
        visit.open(urlencode({"model": name, "text": text}), words=len(trace) - 1)
        visit.page.click("carousel-belt .quiet")
        visit.page.wait_for_selector("carousel-belt .table")
        visit.settle()
        head, *rows = visit.table()
        assert len(rows) == len(trace)
        gates = [g for g in ("i", "f", "o", "r", "z") if f"layers.0.{g}" in trace.values]
        columns = {"Forget gate": "f", "Input gate": "i", "Output gate": "o"}
        columns |= {"Update gate": "z", "Reset gate": "r"}
        for column, title in enumerate(head):
            if title in columns:
                gates.remove(columns[title])
                for t, row in enumerate(rows):
                    mean = trace[f"layers.0.{columns[title]}"][t].mean(dtype=np.float64)
                    assert abs(float(row[column]) - mean) <= 0.6e-4
        assert not gates
        for t, row in enumerate(rows):
            best = model.next_words(" ".join(trace.words[1 : t + 1]), k=1)[0]
            assert row[-2:] == [best.word, percent(best.probability)]
        if name != "stories-rnn":
            amounts = trace.belt().amounts()
            for column, word in enumerate(head[1:], 1):
                if word in trace.words[1:]:
                    s = trace.words.index(word, 1)
                    left = amounts[:, s] / amounts[s, s]
                    assert [row[column] for row in rows[s:]] == [percent(x) for x in left[s:]]


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru"])
def test_bands_are_as_high_as_in_pythons_drawing(name, visit):
    trace = carousel.load(name).trace(SWITCH)
    amounts = trace.belt().amounts()
    scale = HEIGHT / amounts.sum(1).max()
    visit.open(urlencode({"model": name, "text": SWITCH}), words=12)
    paths = visit.page.eval_on_selector_all(
        ".band",
        "bands => bands.map((band) => band.getAttribute('d'))",
    )
    shown = []
    for path in paths:
        points = [
            tuple(map(float, pair))
            for pair in re.findall(r"(-?[\d.]+) (-?[\d.]+)(?=[LCZ]|$)", path)
        ]
        right = max(x for x, _ in points)
        ends = [y for x, y in points if x == right]
        shown.append(max(ends) - min(ends))
    wanted = list(amounts[-1] * scale)
    # A band that is nowhere thicker than a quarter of a pixel is not drawn.
    wanted = [
        h for h, column in zip(wanted, (amounts * scale).max(0), strict=True) if column > 0.25
    ]
    assert np.abs(np.array(shown) - wanted).max() <= 0.5


def test_the_cell_on_one_unit_adds_up(visit):
    rng = random.Random(3)
    for name in ("stories-lstm", "stories-gru"):
        trace = carousel.load(name).trace(SWITCH)
        memory = trace["c" if name == "stories-lstm" else "h", 0]
        visit.open(urlencode({"model": name, "text": SWITCH, "unit": 0}), words=12)
        for _ in range(25):
            t, unit = rng.randrange(1, 13), rng.randrange(memory.shape[1])
            visit.page.evaluate(
                "([cursor, unit]) => document.querySelector('carousel-top')"
                ".reading.store.look({ cursor, unit })",
                [t, unit],
            )
            visit.settle()
            sums = visit.page.locator(".sum").all_inner_texts()
            for line in sums:
                a, sign, b, result = re.fullmatch(
                    r"(\S+) ([×+]) \(?(.+?)\)? = (\S+)", line.replace("−", "-")
                ).groups()
                a, b = float(a), float(b)
                value = a * b if sign == "×" else a + b
                assert f"{value:.3f}".replace("-0.000", "0.000") == result or (
                    abs(value - float(result)) < 0.0005000001
                ), line
            after = float(sums[2].split(" = ")[1].replace("−", "-"))
            assert abs(after - float(memory[t, unit])) <= 0.000501


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru"])
def test_the_decision_is_pythons(name, visit):
    trace = carousel.load(name).trace(SWITCH)
    shares = trace.belt().decision("pizza", "burger")
    link = [("model", name), ("text", SWITCH), ("view", "decision")]
    visit.open(urlencode([*link, ("word", "pizza"), ("word", "burger")]), words=12)
    visit.page.click("#panel .quiet")
    visit.page.wait_for_selector("#panel .table")
    rows = visit.table()[1:]
    shown = [float(row[1].replace("−", "-")) for row in rows[:-1]]
    assert np.abs(np.array(shown) - shares).max() < 1e-3
