"""Tokens with what was typed, its start and end, and whether it is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.text.token_span import TokenSpan, find_token_spans
from carousel.text.tokenizer import KINDS
from carousel.text.vocabulary import train_tokenizer

TEXT = "krish likes pizza but his friend likes burger 🙂 é अ"
TOKENIZERS = {
    kind: train_tokenizer(kind, [TEXT, *TEXT], vocab_size=300 if kind == "bpe" else None)
    for kind in KINDS
}


def test_what_was_typed_stays_as_typed():
    spans = find_token_spans(TOKENIZERS["words"], "KRISH eats,\n  Pizza")
    assert spans == [
        TokenSpan("KRISH", 0, 5, True),
        TokenSpan("eats", 6, 10, False),
        TokenSpan(",", 10, 11, False),
        TokenSpan("\n", 11, 12, True),
        TokenSpan("Pizza", 14, 19, True),
    ]


def test_a_decomposed_letter_is_one_character_of_two():
    (span,) = find_token_spans(TOKENIZERS["words"], "e\u0301")
    assert span == TokenSpan("e\u0301", 0, 2, True)


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(alphabet="kris pza\n\t🙂éअ\u0301'’,A", max_size=40))
def test_a_span_for_each_id(kind, text):
    tokenizer = TOKENIZERS[kind]
    spans, ids = find_token_spans(tokenizer, text), tokenizer.encode(text)
    assert [span.known for span in spans] == [id != tokenizer.unknown_id for id in ids]
    assert all(text[span.start : span.end] == span.typed != "" for span in spans)
    assert [span.start for span in spans] == sorted(span.start for span in spans)
