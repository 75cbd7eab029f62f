"""The pictures of the docs: there, small, on their own, and what the page says of them is true."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import carousel
from carousel.lens.compare import patch_texts
from carousel.lens.decision import measure_decision
from drawn import assert_tidy, parse
from front_door import parts

DOCS = Path(__file__).parents[2] / "docs"
PAGE = " ".join((DOCS / "explain.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location(
        "draw_pictures", DOCS.parent / "tools" / "draw_pictures.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_is_there_and_shows_what_the_code_draws(pictures):
    made = pictures.pictures()
    assert set(re.findall(r"images/([\w-]+)\.svg", PAGE)) == set(made)
    for name, canvas in made.items():
        assert_tidy(canvas)
        text = (DOCS / "images" / f"{name}.svg").read_text(encoding="utf-8")
        assert len(text) < 150_000
        assert "prefers-color-scheme:dark" in text
        words = [label.words for label in canvas.labels]
        assert [e.text or e[0].tail for e in parse(text).iter() if e.tag.endswith("}text")] == words


def test_the_page_s_numbers(pictures):
    model = carousel.load()
    left = {}
    for name, text in (("same", pictures.SAME), ("switch", pictures.SWITCH)):
        trace = model.trace(text)
        amounts = trace.belt().amounts()
        words = trace.words
        left[name] = [f"{share:.0%}" for share in amounts[:, 3] / amounts[3, 3]]
        assert words[3] == "pizza"
    same, switch = left["same"], left["switch"]
    assert f"At the end, {same[-1]} of pizza's luggage is left" in PAGE
    assert f"orders, and {switch[-1]} where his friend does" in PAGE
    assert f'"friend", where it still keeps {switch[6][:-1]} of {switch[5][:-1]}' in PAGE
    assert f'"does" in the first sentence ({same[6][:-1]} of {same[5][:-1]})' in PAGE
    assert f'"likes" ({switch[6]} to {switch[7]})' in PAGE
    assert f"where {switch[8]} become {switch[9]}" in PAGE
    assert f'"so" takes {same[9]} to {same[10]}' in PAGE
    decision = measure_decision(model.trace(pictures.SWITCH), pictures.FOODS)
    assert f"burger wins by {-decision.total:.1f}" in PAGE
    pizza, burger, friend, orders = (decision.shares[at] for at in (3, 8, 11, 12))
    assert f'{-orders:.1f} through "orders" and {-friend:.1f} through the second "friend"' in PAGE
    assert f"speaks a little for pizza ({burger:.1f})" in PAGE
    assert f"pizza's for burger ({-pizza:.1f})" in PAGE
    found = model.compare(pictures.SAME, pictures.SWITCH)
    patched = patch_texts(*parts(model), found, pictures.FOODS)

    def share(name, word):
        pair = [t for _, t in found.pairs].index(word)
        return f"{patched[found.names.index(name), 0, pair]:.0%}"

    assert f'the forget gate does {share("f", 6)} of it at "friend"' in PAGE
    assert f'the candidate {share("g", 5)} at "his", the input gate {share("i", 8)} at' in PAGE
    assert f"the output gate do {share('o', 12)} each" in PAGE
    assert share("f", 12) == share("o", 12) == f"{np.nanmax(patched[:4]):.0%}"
    assert f'carries {share("c", 8)} of it after "burger" and {share("c", 12)} at the end' in PAGE


def test_the_page_s_clamp_changes_the_answer(pictures):
    lm = carousel.load()
    (clamp,) = re.findall(r"--clamp (\S+)", PAGE)
    effect = lm.effect(pictures.SWITCH, clamp)
    change = {word: (before, after) for word, before, after in effect.changes}
    before, after = (f"{share:.1%}" for share in change["burger"])
    assert f"burger falls from {before} to {after}, and pizza rises to" in PAGE
    assert f"pizza rises to {change['pizza'][1]:.1%}" in PAGE
    assert effect.before.words[5:8] == ["his", "friend", "likes"]
    assert f'words 5 to 7, the first "{" ".join(effect.before.words[5:8])}"' in PAGE
