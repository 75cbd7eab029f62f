"""Decoding id by id: the pieces joined are the text that all ids decode to at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.text.byte_level import byte_of_letter, split_partial, token_bytes
from carousel.text.decode_stream import DecodeStream
from carousel.text.vocabulary import train_tokenizer

TEXT = (
    "she said 'yes' and 'no' in the '90s, 'tis rock 'n' roll; the dogs' bowls cost $5 at 3.14\n"
    "see https://a.example.com/x?y=1. „hallo“ ‘x’ anna@example.com p.m. किताब 👍🏽 the 3rd 1990s\n"
)
TOKENIZERS = {
    kind: train_tokenizer(kind, [TEXT], vocab_size=300 if kind == "bpe" else None)
    for kind in ("words", "whitespace", "chars", "bpe")
}


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_pieces_joined_are_the_text(kind, data):
    tokenizer = TOKENIZERS[kind]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=90))
    skipped = data.draw(st.integers(0, len(ids)))
    stream = DecodeStream(tokenizer)
    pieces = [stream.step(id) for id in ids]
    assert "".join(pieces) + stream.finish() == tokenizer.decode(ids)
    if kind != "bpe":  # a piece of byte pairs may be a part of a character
        stream = DecodeStream(tokenizer)
        stream.skip(ids[:skipped])
        shown = "".join(stream.step(id) for id in ids[skipped:]) + stream.finish()
        assert tokenizer.decode(ids).endswith(shown)
        assert bool(shown) or skipped == len(ids) or not any(tokenizer.decode(ids))


def test_a_copy_goes_its_own_way():
    tokenizer = TOKENIZERS["words"]
    stream = DecodeStream(tokenizer)
    stream.skip(tokenizer.encode("she said '"))
    other = stream.copy()
    assert [other.step(id) for id in tokenizer.encode("yes'")] == ["", ""]
    assert other.finish() == "yes'"
    assert [stream.step(id) for id in tokenizer.encode("no said")] == ["", ""]
    assert stream.finish() == " no said"


def test_a_mark_that_decides_nothing_holds_nothing_back():
    tokenizer = TOKENIZERS["words"]
    stream = DecodeStream(tokenizer)
    words = tokenizer.encode("she said yes and no in the")
    assert all(stream.step(id) for id in words)


def test_the_alphabet_of_bytes_is_that_of_tokenizers():
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = byte_of_letter()
    assert sorted(alphabet) == sorted(ByteLevel.alphabet())
    assert sorted(alphabet.values()) == list(range(256))
    for text in ("a b", "né", "किताब", "我爱", "👍"):
        ((cut, _),) = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
        assert token_bytes(cut) == text.encode()


@given(text=st.text(max_size=6), cut=st.integers(0, 24))
def test_bytes_are_whole_characters_and_a_part_of_one(text, cut):
    data = text.encode("utf-8", "ignore")[:cut]
    whole, partial = split_partial(data)
    assert whole.encode() + partial == data
    assert len(partial) < 4


@pytest.mark.parametrize("data", [b"\xff", b"a\x80", b"\xc0\xaf", b"\xed\xa0", b"\xe4\x41"])
def test_bytes_that_are_no_text(data):
    assert split_partial(data) is None
