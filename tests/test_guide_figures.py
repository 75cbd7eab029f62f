"""The figures that the guides tell of the models that come with Carousel are what comes out."""

from pathlib import Path

import numpy as np
import pytest

import carousel
from carousel.lens.compare import patch_texts

DOCS = Path(__file__).parents[1] / "docs"
SAME = "krish likes pizza but he does not like burger so he orders"
SWITCH = "krish likes pizza but his friend likes burger so his friend orders"


def told(page, *phrases):
    """The page says each of the phrases, whatever its line breaks."""
    text = " ".join((DOCS / page).read_text(encoding="utf-8").split())
    for phrase in phrases:
        assert phrase in text, f"{page} does not say {phrase!r}"


@pytest.fixture(scope="module")
def model():
    return carousel.load()


def shares_left(model, text):
    """The per cent of pizza's luggage that is left after each word, pizza's own being the first."""
    trace = model.trace(text)
    pizza = trace.words.index("pizza")
    amounts = trace.belt().amounts()[:, pizza]
    left = {}
    for word, amount in zip(trace.words[pizza:], amounts[pizza:], strict=True):
        left.setdefault(word, round(100 * amount / amounts[pizza]))  # a word's first place
    return left | {"end": round(100 * amounts[-1] / amounts[pizza])}


def test_what_is_left_of_the_luggage(model):
    same, switch = shares_left(model, SAME), shares_left(model, SWITCH)
    told(
        "explain.md",
        f"At the end, {same['end']}% of pizza's luggage is left where krish himself orders",
        f"and {switch['end']}% where his friend does",
        f"keeps {switch['friend']} of {switch['his']}",
        f'"does" in the first sentence ({same["does"]} of {same["he"]})',
        f'"likes" ({switch["friend"]}% to {switch["likes"]}%)',
        f'"so", where {switch["burger"]}% become {switch["so"]}%',
        f"takes {same['burger']}% to {same['so']}%",
    )


def test_the_decision(model):
    trace = model.trace(SWITCH)
    shares = trace.belt().decision("burger", "pizza")
    logits = trace.logits[-1]
    burger, pizza = (model.tokenizer.tokens().index(word) for word in ("burger", "pizza"))
    told(
        "explain.md",
        f"burger wins by {logits[burger] - logits[pizza]:.1f}",
        f'{shares[-1]:.1f} through "orders" and {shares[-2]:.1f} through the second "friend"',
        f"speaks a little for pizza ({-shares[trace.words.index('burger')]:.1f})",
        f"pizza's for burger ({shares[trace.words.index('pizza')]:.1f})",
    )


def test_the_patches(model):
    comparison = model.compare(SAME, SWITCH)
    moved = patch_texts(model.model, model.tokenizer, comparison, ("pizza", "burger"))
    words = model.trace(SWITCH).words
    column = {pair[1]: at for at, pair in enumerate(comparison.pairs) if pair[1] is not None}

    def share(gate, place):
        row = [name.split(".")[-1] for name in comparison.names].index(gate)
        return f"{moved[row, 0, column[place]]:.0%}"

    his, friend, burger, end = 5, 6, words.index("burger"), len(words) - 1
    assert share("f", end) == share("o", end)
    told(
        "explain.md",
        f'the forget gate does {share("f", friend)} of it at "friend"',
        f'the candidate {share("g", his)} at "his"',
        f'input gate {share("i", burger)} at "burger"',
        f"output gate do {share('o', end)} each",
        f'carries {share("c", burger)} of it after "burger" and {share("c", end)} at the end',
    )


def test_the_sweep(model):
    clamp = carousel.Clamp.toward("forget", 1.0, 1.0, at=range(5, 9))
    strengths = np.linspace(0, 1, 21)
    difference = model.sweep(SWITCH, clamp, strengths, compare=("burger", "pizza")).difference
    turns = int(np.flatnonzero(difference < 0)[0])
    told(
        "inside/sweep.md",
        f"burger leads by {difference[0]:.1f} logits",
        f"Between {strengths[turns - 1]:.2g} and {strengths[turns]:.2g} the answer turns",
    )


def test_the_most_surprising_word(model):
    score = model.score("krish likes pizza but he does not like burger so he orders soup")
    least, word = min(zip(score.log_probabilities, score.tokens, strict=True))
    told("recipes.md", f"# {word}: {least:.1f} nats")
