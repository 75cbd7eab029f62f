"""Colours: one for each word, and text on them that can be read."""

from hypothesis import given
from hypothesis import strategies as st

from carousel.draw.palette import COLOURS, text_colour_on, word_colours


def test_words_in_focus_have_their_colours_to_themselves():
    words = ["⏎", *(f"w{k}" for k in range(20)), "pizza", "pizza"]
    by_word = word_colours(words, ("pizza", "w3", "absent"))
    assert by_word["pizza"] == "luggage-0"
    assert by_word["w3"] == "luggage-1"
    rest = [by_word[word] for word in words if word not in ("pizza", "w3")]
    assert not {"luggage-0", "luggage-1", "luggage-2"} & set(rest)
    assert len(set(word_colours(words).values())) == 7


@given(words=st.lists(st.text(max_size=3)), focus=st.lists(st.text(max_size=3)))
def test_every_word_has_one_colour_wherever_it_stands(words, focus):
    by_word = word_colours(words, focus)
    assert set(words) <= set(by_word)
    assert set(by_word.values()) <= set(COLOURS)
    assert word_colours(words + words, focus) == by_word


def test_text_on_every_colour_has_the_contrast_that_wcag_asks_for():
    def luminance(colour):
        parts = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name, colour in COLOURS.items():
        dark, light = sorted((luminance(colour), luminance(text_colour_on(name))))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, name
