"""What the page says is what Python says: the tour, tables, pictures, the cell's arithmetic."""

import json
import random
import re
from importlib.resources import files
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest

import carousel
from carousel.draw.svg.belt import draw_belt
from carousel.model import LanguageModel
from web.browser import MODELS, SWITCH, percent

TOUR = json.loads((files("carousel.web") / "tour.json").read_text("utf-8"))
EXPECTED = [
    (number, expected)
    for number, step in enumerate(TOUR["steps"], 1)
    for expected in step["expect"]
]
STORY_SENTENCES = [
    SWITCH,
    "krish likes pizza but he does not like burger so he orders",
    "krish likes pizza but his friend likes burger so his friend orders burger and krish orders",
    "anna likes soup and rain drums on the roof so she orders",
    "on sunday i want to eat pizza on monday i want to eat burger today is sunday so i want to eat",
    "my name is krish and my friend's name is paul my friend is called",
    "Krish LIKES  pizza",
    "paul likes rice so he orders",
    "maya likes soup but her friend likes rice so her friend orders",
    "lena likes salad but she does not like soup so she orders",
    "krish likes pizza",
    "so so so so so so",
    "anna likes pizza but her friend likes salad dogs bark outside so her friend orders",
    "the old door creaks and krish likes burger",
    "snow falls again the sun shines so he orders",
    "my name is anna and my friend's name is lena i am called",
    "pizza burger soup salad rice",
    "today is monday so i want to eat",
    "his friend orders burger and krish orders pizza and his friend orders",
    "she",
]
ENGLISH_SENTENCES = [
    "the old man sat by the river and looked at the water",
    "she said that she had not seen him since the war",
    "in the morning they went to the city to see the king",
    "he was born in london and lived there for ten years",
    "i do not know what you want from me",
    "the first book of the series was published in the same year",
    "it was a long time before he could speak again",
    "and then there was nothing",
    "the game was played in front of a large crowd",
    "you can not go there without me",
    "the house stood at the end of the road near the church",
    "after the death of his father he became king",
    "what is the name of this place",
    "they had three children and a dog",
    "the light of the sun came through the open door",
    "one of the most important works of the century",
    "he took his hat and went out into the rain",
    "there are many ways to do it and none of them is good",
    "my friend told me that the train was late",
    "the",
]
BELTED = [name for name in MODELS if carousel.load(name).model.cell.has_belt]


def sentences(name):
    """Twenty sentences of words that the model knows."""
    return STORY_SENTENCES if name.startswith("stories-") else ENGLISH_SENTENCES


def read(visit, name, text):
    """Have the page that is open read another text."""
    count = len(carousel.load(name).trace(text))
    visit.page.evaluate(
        "(text) => document.querySelector('carousel-top').reading.store.commit("
        "{ text, cursor: null, holds: [], compare: null, span: null })",
        text,
    )
    visit.until(
        "((app) => app.frame.state === app.store.present && !app.painting && app.frame.T)"
        f"(document.querySelector('carousel-top').reading.app) === {count}"
    )


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


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_table_is_the_trace(name, visit):
    # As the page reads: 8-bit weights with sums in float32, which the kernels round further.
    model = LanguageModel.load(carousel.load(name).path, backend="numpy")
    words = [id for id in range(model.config.vocab_size) if model.tokenizer.is_word(id)]
    visit.open(urlencode({"model": name, "text": sentences(name)[0]}))
    visit.page.click("carousel-belt .quiet")
    visit.page.wait_for_selector("carousel-belt .table")
    for text in sentences(name):
        trace = model.trace(text)
        read(visit, name, text)
        head, *rows = visit.table()
        assert len(rows) == len(trace)
        layer = model.config.layers - 1
        gates = [g for g in "iforz" if f"layers.{layer}.{g}" in trace.values]
        columns = {"Forget gate": "f", "Input gate": "i", "Output gate": "o"}
        columns |= {"Update gate": "z", "Reset gate": "r"}
        for column, title in enumerate(head):
            if title in columns:
                gates.remove(columns[title])
                for t, row in enumerate(rows):
                    mean = trace[f"layers.{layer}.{columns[title]}"][t].mean(dtype=np.float64)
                    # Four digits, and what float32 may make of the last one.
                    assert abs(float(row[column]) - mean) <= 0.51e-4
        assert not gates
        for row, logits in zip(rows, trace.logits.astype(np.float64), strict=True):
            best = max(words, key=logits.__getitem__)
            probability = np.exp(logits[best] - np.logaddexp.reduce(logits))
            assert row[-2:] == [model.tokenizer.decode([best]).strip(), percent(probability)]
        if name in BELTED:
            amounts = trace.belt().amounts()
            for column, word in enumerate(head[1:], 1):
                if word in trace.words[1:]:
                    s = trace.words.index(word, 1)
                    left = amounts[:, s] / amounts[s, s]
                    assert [row[column] for row in rows[s:]] == [percent(x) for x in left[s:]]


def band_heights(paths):
    """The heights of each band at the words that it is drawn at, and at the picture's end."""
    found = []
    for path in paths:
        ends = re.findall(r"(-?[\d.]+) (-?[\d.]+)(?=[LCZ]|$)", path)
        upper, lower = ends[: len(ends) // 2], ends[len(ends) // 2 :][::-1]
        found.append(
            [
                float(low) - float(high)
                for (_, high), (_, low) in zip(upper[1::2], lower[1::2], strict=True)
            ]
        )
    return found


@pytest.mark.parametrize("name", BELTED)
def test_bands_are_as_high_as_in_pythons_drawing(name, visit):
    visit.open(urlencode({"model": name, "text": sentences(name)[0]}))
    model = LanguageModel.load(carousel.load(name).path, backend="numpy")
    compared = 0
    for text in [one for one in sentences(name) if 5 <= len(one.split()) <= 12]:
        trace = model.trace(text)
        picture = draw_belt(trace, width=2400).to_string()
        read(visit, name, text)
        if visit.page.locator(".belt [role=option]").count() < len(trace):
            continue  # a window of the text: the words before it are one band
        paths = visit.page.eval_on_selector_all(
            ".band", "bands => bands.map((band) => band.getAttribute('d'))"
        )
        drawn = re.findall(r'<path d="(M[^"]+Z)"', picture)
        shown, wanted = band_heights(paths), band_heights(drawn)
        assert len(shown) == len(wanted)
        for one, other in zip(shown, wanted, strict=True):
            assert np.abs(np.array(one) - np.array(other)).max() <= 0.5
            compared += len(one)
    assert compared > 200


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
