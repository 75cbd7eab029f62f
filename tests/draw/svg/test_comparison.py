"""Two sentences next to each other: the comparison's own numbers, at their words."""

import io

import numpy as np
import pytest
from rich.console import Console

from carousel.draw.svg.comparison import draw_comparison, show_comparison
from carousel.lens.compare import compare_texts, patch_texts
from drawn import ALL_CELLS, assert_tidy, texts

A = "the cat likes pizza but the cat orders"
B = "the cat likes pizza but a dog ran to the cat orders"


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_every_distance_is_written(cell, make_model):
    found = compare_texts(make_model(cell, layers=2), A, B)
    canvas = draw_comparison(found)
    shown = texts(canvas)
    assert_tidy(canvas)
    for value in found.distance[~np.isnan(found.distance)]:
        assert f"{value:.2f}" in shown
    assert shown.count("–") == np.isnan(found.distance).sum() + sum(None in p for p in found.pairs)


def test_patches_as_per_cent(make_model):
    model = make_model()
    found = compare_texts(model, A, B)
    patched = patch_texts(model, found, ("pizza", "pie"))
    shown = texts(draw_comparison(found, patched, ("pizza", "pie")))
    for value in patched[~np.isnan(patched)]:
        assert f"{round(float(value), 2) + 0.0:.0%}" in shown
    assert "-0%" not in shown


def test_in_a_terminal(make_model):
    model = make_model(layers=2)
    found = compare_texts(model, A, B)
    patched = patch_texts(model, found, ("pizza", "pie"))
    for width in (40, 80, 160):
        file = io.StringIO()
        lines = list(show_comparison(found, width, patched, ("pizza", "pie")))
        Console(file=file, width=width).print(*lines, sep="\n")
        assert max(map(len, file.getvalue().splitlines())) <= width
        assert sum(line.plain.startswith("f forget 1") for line in lines) % 2 == 0
    text = file.getvalue()
    assert f"{found.distance[0, 1, -1]:.2f}" in text
    assert "dog" in text


def test_long_words_and_texts_wrap(make_model):
    model = make_model(kind="whitespace", text="a b " + "w" * 90)
    canvas = draw_comparison(compare_texts(model, "a b " * 30, "a " + "w" * 90), width=800)
    assert canvas.width <= 820
    assert_tidy(canvas)


def test_the_same_text_twice(make_model):
    assert "0.00" in texts(draw_comparison(compare_texts(make_model(), A, A)))
