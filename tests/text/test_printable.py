"""What may be shown: nothing that acts on a terminal, and all that belongs to words."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.text.printable import JOINERS, MARKS, printable_text, printable_word, to_json

WORDS = [
    "pizza", "café", "क\u093fताब", "می\N{ZERO WIDTH NON-JOINER}خواهم", "👩\N{ZERO WIDTH JOINER}🚀",
    "soft\N{SOFT HYPHEN}ware", "❤\ufe0f", "한국어", "מילה\N{RIGHT-TO-LEFT MARK}",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_words_of_every_script_are_shown_as_they_are(word):
    assert printable_word(word) == word
    assert printable_text(word) == word


@pytest.mark.parametrize(
    ("token", "shown"),
    [(" ", "␣"), ("   ", "␣␣␣"), ("\n", "⏎"), ("\t", "⇥"), ("a b", "a b"), ("", ""),
     ("\x1b[31m", "�[31m"), ("a\u202eb", "a�b"), ("\x9b", "�"), ("\udc80", "�")],
)  # fmt: skip
def test_tokens(token, shown):
    assert printable_word(token) == shown


@given(st.text(st.characters()))
def test_nothing_shown_is_a_control_or_an_override(text):
    for shown in (printable_word(text), printable_text(text), to_json([text])):
        for character in shown:
            harmless = character in JOINERS + MARKS + "\n\t"
            assert harmless or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl")


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner)))
def test_json_reads_back_as_it_was(data):
    assert json.loads(to_json(data)) == data
    assert json.loads(to_json(data, ascii_only=True)) == data
    assert to_json(data, ascii_only=True).isascii()


def test_running_text_keeps_its_lines():
    assert printable_text("one\ttwo\n\nthree  four\r") == "one\ttwo\n\nthree  four�"
