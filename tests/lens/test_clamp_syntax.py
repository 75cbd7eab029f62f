"""Clamps as text: what is written, and what is refused in one line."""

import pytest

from carousel.errors import LensError
from carousel.lens.clamp import Clamp
from carousel.lens.clamp_syntax import parse_clamp


@pytest.mark.parametrize(
    ("text", "clamp"),
    [
        ("forget=1@friend", Clamp("forget", 1.0, "set", at=["friend"])),
        ("o=-2", Clamp("o", -2.0, "set")),
        (
            "layers.1.input*0.5@friend,3",
            Clamp("layers.1.input", 0.5, "scale", at=["friend", 3]),
        ),
        ("forget=1@5-8", Clamp("forget", 1.0, "set", at=[5, 6, 7, 8])),
        ("forget=1@2-3,so,7", Clamp("forget", 1.0, "set", at=[2, 3, "so", 7])),
        ("forget~1:0.5", Clamp("forget", 1.0, "toward", strength=0.5)),
        ("f~-1:1@3", Clamp("f", -1.0, "toward", at=[3], strength=1.0)),
        ("forget:3,7=1@so", Clamp("forget", 1.0, "set", at=["so"], units=[3, 7])),
        ("layers.0.f:3-5,9*2", Clamp("layers.0.f", 2.0, "scale", units=[3, 4, 5, 9])),
        ("forget=0@'5'", Clamp("forget", 0.0, "set", at=["5"])),
        ('forget=0@"well-known"', Clamp("forget", 0.0, "set", at=["well-known"])),
        ("forget=0@well-known", Clamp("forget", 0.0, "set", at=["well-known"])),
        ("forget=0@⏎", Clamp("forget", 0.0, "set", at=["⏎"])),
    ],
)
def test_what_is_written(text, clamp):
    assert parse_clamp(text) == clamp


@pytest.mark.parametrize(
    "text",
    ["forget", "forget=", "=1", "forget=open@friend", "@friend", "forget~1", "forget=1:0.5",
     "forget:x=1", "forget:=1", "forget:5-3=1", "forget~1:much"],
)  # fmt: skip
def test_what_is_no_clamp(text):
    with pytest.raises(LensError, match="write GATE=VALUE@WORD"):
        parse_clamp(text)


@pytest.mark.parametrize("text", ["forget=0@", "forget=0@,", "forget=0@so,", "forget=0@ ,so"])
def test_a_place_that_is_left_open(text):
    with pytest.raises(LensError, match="names no word after the @ or between commas"):
        parse_clamp(text)


def test_a_number_that_is_a_word_of_the_text_is_asked_about():
    words = ["⏎", "i", "want", "5", "pizzas"]
    with pytest.raises(LensError, match="5 is a position and a word of the text: write '5'"):
        parse_clamp("forget=0@5", words)
    assert parse_clamp("forget=0@'5'", words).at == ["5"]
    assert parse_clamp("forget=0@5-5", words).at == [5]
    assert parse_clamp("forget=0@4", words).at == [4]
