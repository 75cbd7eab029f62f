"""The library for C cuts text into the ids that Python cuts it into."""

import unicodedata
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carousel.storage.config import Config
from carousel.storage.model_folder import write_folder
from carousel.text.tokenizer import (
    END_OF_LINE,
    FIRST_WORD,
    UNKNOWN,
    WORD,
    Tokenizer,
    make_tokenizer,
)
from carousel.text.vocabulary import train_tokenizer
from cpp.c_model import CError, opened
from odd_texts import ODD, TEXT, texts

JOINED = [
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family, joined
    "\U0001f44d\U0001f3fd",  # a thumb with a colour of skin
    "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea\U0001f1f5",  # two flags and a half
    "\u2764\ufe0f\u200d\U0001f525",
    "\u2764\u200d\u2139",  # a joiner before a letter that is a pictograph
    "l\u00b7l",
    "a\u0387\u0301b",
    "\u05e6\u05d4\u05f4\u05dc",
    "\u05f3a",
    "a\u05f3\u05f3",
    "o'\u0301clock",
    "'tis'",
    "rock''n",
    "a\u2027",
    "\u0915\u094d\u200d\u0937",
    "3\u03013\u200d",
    "\ufffd\ufffdx",
    "\u0301\u0301a",
    "a\u200bb",
    "\u200b\u0301",
    "$\u0301\u200d",
    "1\ufe0f\u20e3",
]
MODES = [(kind, lowercase) for kind in ("words", "whitespace", "chars") for lowercase in (0, 1)]
odd_texts = st.lists(
    st.one_of(texts, st.lists(st.sampled_from([*JOINED, *ODD])).map("".join)),
    min_size=20,
    max_size=40,
)


@pytest.fixture(scope="module")
def open_tokenizer(c_library, tmp_path_factory):
    """A function that opens a model with no more than a tokenizer to it."""

    @contextmanager
    def open_(tokenizer):
        config = Config("rnn", tokenizer.vocab_size, 1, 1, 1, tied=True)
        weights = {
            name: np.zeros(shape, np.float32) for name, shape in config.weight_shapes().items()
        }
        folder = tmp_path_factory.mktemp("tokenizer") / "model"
        write_folder(folder, config, weights, tokenizer)
        with opened(c_library, folder) as model:
            yield model

    return open_


def known(text):
    """What of a text Python's own table of Unicode knows: that is older than the libraries'."""
    return "".join(c for c in text if unicodedata.category(c) not in ("Cn", "Cs") and c != "\0")


@given(samples=odd_texts)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize(("kind", "lowercase"), MODES)
def test_odd_texts(open_tokenizer, kind, lowercase, samples):
    samples = [known(text) for text in (*samples, *JOINED, TEXT)]
    # Every second text is in the vocabulary, so that ids tell where words end.
    tokenizer = train_tokenizer(kind, samples[::2], lowercase=bool(lowercase))
    with open_tokenizer(tokenizer) as model:
        for text in samples:
            assert model.encode(text) == tokenizer.encode(text), ascii(text)


@given(samples=odd_texts)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_words_of_models_made_before(open_tokenizer, samples):
    samples = [known(text) for text in (*samples, *JOINED, TEXT)]
    trained = train_tokenizer("words", samples[::2])
    tokenizer = with_pattern(trained, FIRST_WORD)
    tokens = sorted({piece for text in samples[::2] for piece in pieces(tokenizer, text)})
    first = [UNKNOWN, END_OF_LINE]
    tokenizer = with_pattern(
        make_tokenizer("words", [*first, *(t for t in tokens if t not in first)], lowercase=True),
        FIRST_WORD,
    )
    with open_tokenizer(tokenizer) as model:
        for text in samples:
            assert model.encode(text) == tokenizer.encode(text), ascii(text)


def with_pattern(tokenizer, pattern):
    import json

    table = json.loads(tokenizer.to_json())
    assert table["pre_tokenizer"]["pattern"]["Regex"] == WORD
    table["pre_tokenizer"]["pattern"]["Regex"] = pattern
    return Tokenizer.from_json(json.dumps(table))


def pieces(tokenizer, text):
    cutter = tokenizer._library.pre_tokenizer
    for line in text.split("\n"):
        yield from (piece for piece, _ in cutter.pre_tokenize_str(tokenizer.normalize(line)))


# Every character that Unicode 3.2 had, and most emoji: what these are does not change any more.
CHARACTERS = [
    c
    for c in map(chr, [*range(1, 0xD800), *range(0xE000, 0x30000)])
    if unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Co") or "\U0001f300" <= c < "\U0001f6d0"
]


def test_every_character_ends_words_where_it_should(open_tokenizer):
    tokens = [UNKNOWN, END_OF_LINE, "a", "b", "7", "8", "\U0001f468", "\U0001f469", "\u0301", "'"]
    tokenizer = make_tokenizer("words", tokens)
    around = [
        ("a", "b"),
        ("7", "8"),
        ("a'", "b"),
        ("\U0001f468\u200d", "\U0001f469"),
        (" ", "\u0301"),
    ]
    with open_tokenizer(tokenizer) as model:
        for before, after in around:
            text = "\n".join(before + c + after for c in CHARACTERS if c != "\n")
            assert differing_lines(model.encode(text), tokenizer.encode(text)) == []


@pytest.mark.parametrize("lowercase", [False, True])
def test_every_character_is_normalized_alike(open_tokenizer, lowercase):
    everything = sorted({d for c in CHARACTERS for d in c + unicodedata.normalize("NFC", c)})
    tokens = [UNKNOWN, END_OF_LINE, *(c for c in everything if c != "\n")]
    tokenizer = make_tokenizer("chars", tokens, lowercase=lowercase)
    with open_tokenizer(tokenizer) as model:
        for mark in ("", "\u0301", "\u0323\u0307", "\u3099", "\u0338"):
            text = "\n".join(c + mark for c in CHARACTERS if c != "\n")
            assert differing_lines(model.encode(text), tokenizer.encode(text)) == []


def differing_lines(found, expected):
    """The lines, as ids, that differ; far fewer to look at than all of them."""
    split = [
        "".join("\n" if id == 1 else f" {id}" for id in ids).split("\n")
        for ids in (found, expected)
    ]
    assert len(split[0]) == len(split[1])
    return [pair for pair in zip(*split, strict=True) if pair[0] != pair[1]]


def test_a_normalizer_of_someone_else_is_refused(open_tokenizer):
    import json

    table = json.loads(make_tokenizer("words", [UNKNOWN, END_OF_LINE, "a"]).to_json())
    table["normalizer"]["normalizers"].append({"type": "StripAccents"})
    with (
        pytest.raises(CError, match=r"UNSUPPORTED: .*tokenizer\.json changes text"),
        open_tokenizer(Tokenizer.from_json(json.dumps(table))),
    ):
        pass
