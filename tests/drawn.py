"""What tests of drawings share: traces with any words, and a look at what was drawn."""

import re
from xml.etree import ElementTree

import numpy as np
from hypothesis import strategies as st

from carousel.cells import CELLS
from carousel.lens.names import full_names
from carousel.lens.trace import Trace
from carousel.storage.config import Config

SVG = "{http://www.w3.org/2000/svg}"
WORDS = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=30)
SPECIAL = ["⏎", "<b>", "&amp;", '"quoted"', "a\x1b[31mb", "\t", " ", "x" * 200, "漢字", "i"]


def make_trace(words, cell="lstm", layers=1, units=4, seed=0):
    """A trace of any words, with values that no model made."""
    config = Config(
        cell=cell, vocab_size=9, embedding_size=3, hidden_size=units, layers=layers, tied=False
    )
    rng = np.random.default_rng(seed)
    values = {}
    for point in full_names(config):
        shape = (len(words), units)
        gate = point[-1] in "fiorz"
        values[point] = (rng.random(shape) if gate else rng.uniform(-1, 1, shape)).astype("f4")
    for layer in range(layers):
        if "lstm" in cell or "cifg" in cell:
            c = np.zeros(units)
            for t in range(len(words)):
                f, i, g = (values[f"layers.{layer}.{name}"][t] for name in "fig")
                c = f * c + i * g
                values[f"layers.{layer}.c"][t] = c
        elif "gru" in cell:
            h = np.zeros(units)
            for t in range(len(words)):
                z, n = (values[f"layers.{layer}.{name}"][t] for name in "zn")
                h = (1 - z) * n + z * h
                values[f"layers.{layer}.h"][t] = h
    return Trace(config, list(words), np.zeros(len(words), dtype=np.int64), values, None)


def parse(text):
    """The root of an SVG or a page, which must be well-formed and ask for nothing."""
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.findall(r"@import|url\(|<link|<img|\bsrc=|href=", text)
    return ElementTree.fromstring(text)


def texts(canvas):
    """The visible texts of a drawing."""
    return [
        element.text or element[0].tail for element in parse(canvas.to_string()).iter(f"{SVG}text")
    ]


def assert_tidy(canvas):
    """No label on another, none outside the drawing."""
    boxes = [label for label in canvas.labels if label.words]
    for number, a in enumerate(boxes):
        assert a.x0 >= -1, a
        assert a.x1 <= canvas.width + 1, (a, canvas.width)
        assert a.y0 >= 0, a
        assert a.y1 <= canvas.height, (a, canvas.height)
        for b in boxes[:number]:
            apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
            assert apart, (a, b)


ALL_CELLS = list(CELLS)
BELTS = [name for name in CELLS if name != "rnn"]
