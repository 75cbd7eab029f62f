"""The fast encoders against the library, on every kind of odd text."""

import json
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings

from carousel.text import encoder
from carousel.text.encoder import (
    ODD_SPACES,
    SEPARATORS,
    BytePairEncoder,
    CharacterEncoder,
    LibraryEncoder,
    WordEncoder,
    is_plain,
)
from carousel.text.tokenizer import KINDS, Tokenizer, train_tokenizer
from odd_texts import TEXT, texts

TOKENIZERS = {
    (kind, lowercase): train_tokenizer(kind, [TEXT] * 3, lowercase=lowercase)
    for kind in KINDS
    for lowercase in (False, True)
}
KIND_AND_CASE = pytest.mark.parametrize("kind", list(TOKENIZERS), ids=str)


def test_each_kind_has_its_encoder():
    expected = {
        "words": WordEncoder,
        "whitespace": WordEncoder,
        "chars": CharacterEncoder,
        "bpe": BytePairEncoder,
    }
    for (kind, _), tokenizer in TOKENIZERS.items():
        assert type(tokenizer.encoder) is expected[kind]


@KIND_AND_CASE
@settings(max_examples=120, deadline=None)
@given(text=texts)
def test_the_ids_are_the_library_s(kind, text):
    tokenizer = TOKENIZERS[kind]
    ids, words = tokenizer.encoder.encode(text)
    assert ids.tolist() == tokenizer.encode(text)
    assert ids.dtype == np.uint32
    assert words == len(text.split())


@KIND_AND_CASE
def test_large_texts_are_cut_and_the_dictionary_starts_anew(kind, monkeypatch):
    tokenizer = Tokenizer.from_json(TOKENIZERS[kind].to_json())
    monkeypatch.setattr(encoder, "STRETCH", 7)
    monkeypatch.setattr(encoder, "KINDS_KEPT", 4)
    for text in (TEXT, TEXT[::-1], "no line end", ""):
        ids, words = tokenizer.encoder.encode(text)
        assert (ids.tolist(), words) == (tokenizer.encode(text), len(text.split()))


def test_white_space_is_the_same_to_python_and_to_the_library():
    spaces = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    assert spaces == {" ", "\n", *ODD_SPACES}
    library = {
        kind: {
            c
            for c in spaces
            if not TOKENIZERS[kind, False]._backend.pre_tokenizer.pre_tokenize_str(c)
        }
        for kind in ("words", "whitespace")
    }
    assert library == dict.fromkeys(library, spaces - set(SEPARATORS))
    normalizer = TOKENIZERS["words", True]._backend.normalizer
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if not 0xD800 <= code < 0xE000 and not character.isascii():
            made = normalizer.normalize_str(character)
            assert any(map(str.isspace, made)) == character.isspace(), hex(code)


def test_plain_characters_never_join():
    backend = TOKENIZERS["chars", False]._backend
    for code in range(0x300, sys.maxunicode + 1):
        character = chr(code)
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and "<" not in parts[0] and unicodedata.is_normalized("NFC", character):
            assert not is_plain(chr(int(parts[1], 16)), backend), hex(code)
        if unicodedata.combining(character):
            assert not is_plain(character, backend), hex(code)


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "NFD"}},
        {"normalizer": None},
        {
            "truncation": {
                "max_length": 2,
                "strategy": "LongestFirst",
                "stride": 0,
                "direction": "Right",
            }
        },
        {
            "pre_tokenizer": {
                "type": "ByteLevel",
                "add_prefix_space": True,
                "trim_offsets": True,
                "use_regex": True,
            }
        },
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_tokenizer_of_other_ways_is_left_to_the_library(change):
    kind = "bpe" if "pre_tokenizer" in change else "words"
    table = json.loads(TOKENIZERS[kind, False].to_json())
    tokenizer = Tokenizer.from_json(json.dumps(table | change))
    assert type(tokenizer.encoder) is LibraryEncoder
    assert tokenizer.encoder.encode(TEXT).ids.tolist() == tokenizer.encode(TEXT)
