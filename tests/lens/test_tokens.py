"""Tokens as they are shown: text, nothing that acts on a screen."""

from hypothesis import given

from carousel.lens.tokens import display_words, likeliest_tokens, likeliest_tokens_at
from drawn import WORDS, make_trace


def test_control_marks_become_signs():
    words = ["⏎", "a\x1b[31m", "\t", "  ", "\x9b", "naïve 漢字"]
    shown = ["⏎", "a\N{REPLACEMENT CHARACTER}[31m", "⇥", "␣␣", "\N{REPLACEMENT CHARACTER}"]
    assert display_words(make_trace(words)) == [*shown, "naïve 漢字"]


@given(words=WORDS)
def test_nothing_that_acts_on_a_screen_is_left(words):
    for shown in display_words(make_trace(words)):
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_byte_pairs_are_read_as_text(make_model):
    lm = make_model(kind="bpe", text="the café is open\n" * 9, vocab=300)
    trace = lm.trace("the café")
    shown = display_words(trace)
    assert "".join(shown[1:]).replace("␣", " ") == "the café"
    assert all("Ġ" not in best.word for row in likeliest_tokens(trace, 5) for best in row)


def test_guesses_are_the_trace_s(make_model):
    trace = make_model().trace("the cat sat")
    assert likeliest_tokens(trace, 3) == trace.next_words(3)
    assert likeliest_tokens_at(trace, -1, 2) == trace.next_words(2)[-1]
    assert likeliest_tokens(make_trace(["⏎", "a"]), 3) == [[], []]
