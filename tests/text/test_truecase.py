"""Capitals put back: learned from a text, written token by token."""

from hypothesis import given
from hypothesis import strategies as st

from carousel.text.decode_stream import DecodeStream
from carousel.text.tokenizer import END_OF_LINE, UNKNOWN, make_tokenizer
from carousel.text.truecase import TruecasedLine, count_forms, lowered, written_tokens
from carousel.text.vocabulary import train_tokenizer

TEXT = [
    "Yesterday I met Anna in New York. Anna’s cat is called McNab.",
    "Is NASA in the U.S.A.? Yes! She says so... no",
    "met Anna, met anna, met Anna",
]


def truecase(text, forms=None):
    """A lower-case text as the stream writes it after reading ``TEXT``."""
    tokenizer = train_tokenizer("words", TEXT)
    tokenizer.forms = count_forms(tokenizer, TEXT) if forms is None else forms
    stream = DecodeStream(tokenizer)
    return "".join(map(stream.step, tokenizer.encode(text))) + stream.finish()


def test_the_commonest_form_within_sentences_counts():
    forms = count_forms(train_tokenizer("words", TEXT), TEXT)
    assert (forms["anna"], forms["mcnab"], forms["nasa"]) == ("Anna", "McNab", "NASA")
    assert "anna's" not in forms  # it begins a sentence only
    assert not forms.keys() & {"yesterday", "is", "yes", "she", "met", "the"}


def test_words_names_and_sentences_get_their_capitals():
    assert truecase("i met anna. she is in new york!\nyes, i says so") == (
        "I met Anna. She is in New York!\nYes, I says so"
    )


def test_full_stops_of_abbreviations_end_no_sentence():
    assert truecase("the u.s.a. is called so. is it") == "The U.S.A. is called so. Is <unk>"


def test_a_quotation_mark_does_not_end_the_beginning():
    assert TruecasedLine({}).write('"') == '"'
    line = TruecasedLine({})
    assert [line.write(token) for token in ("(", "she", "said")] == ["(", "She", "said"]


def test_without_forms_nothing_is_changed():
    assert truecase("i met anna. she", {}) == "i met anna. she"


def test_what_was_read_before_decides_on_the_first_capital():
    tokenizer = train_tokenizer("words", TEXT)
    tokenizer.forms = {"i": "I"}
    for before, written in (("she met", " yes"), ("she met.", " Yes"), ("", "Yes")):
        stream = DecodeStream(tokenizer)
        stream.skip(tokenizer.encode(before))
        copied = stream.copy()
        for one in (stream, copied):
            shown = one.step(tokenizer.encode("yes")[0]) + one.finish()
            assert shown == written


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=6))
def test_the_written_text_has_the_same_tokens(words):
    text = " ".join([*words, "Some letters ß ŉ ǆ İ ı ΟΔΟΣ McNab"])
    tokenizer = train_tokenizer("words", [text])
    tokenizer.forms = count_forms(tokenizer, text.split("\n"))
    ids = tokenizer.encode(text)
    stream = DecodeStream(tokenizer)
    assert tokenizer.encode("".join(map(stream.step, ids)) + stream.finish()) == ids


def test_letters_without_a_capital_of_their_own_stay():
    for word in ("ß", "ŉ", "ı", "ςa"):
        written = TruecasedLine({}).write(word)
        assert lowered(written) == word


def test_written_tokens_are_cut_as_the_model_reads():
    tokenizer = make_tokenizer("words", [UNKNOWN, END_OF_LINE, "don't"], lowercase=True)
    assert written_tokens(tokenizer, "DON’T Stop") == [("don't", "DON'T"), (UNKNOWN, "Stop")]
