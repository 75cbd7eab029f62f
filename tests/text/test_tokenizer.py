"""Tokenizers: round trips, spacing, what is saved, and the counts of real corpora."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.errors import FolderError, SettingsError, TextError
from carousel.text.files import find_files, read_pieces
from carousel.text.tokenizer import (
    END_OF_LINE,
    KINDS,
    UNKNOWN,
    Tokenizer,
    make_tokenizer,
    untrained_tokenizer,
)
from carousel.text.vocabulary import train_tokenizer
from odd_texts import ODD_SPACES, texts
from odd_texts import TEXT as ODD_TEXT

TEXT = """Krish likes pizza, but he doesn't like burger.
"On sunday I want to eat 3.14 pies!" said Zoë (twice).
the well-known and/or e-mail costs $5 at 12:30; naïve, हिन्दी भाषा <unk> <eos>
"""
LINES = TEXT.splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_come_first_and_text_can_not_spell_them(kind):
    tokenizer = train_tokenizer(kind, LINES)
    assert tokenizer.tokens()[:2] == [UNKNOWN, END_OF_LINE]
    assert tokenizer.encode("\n") == [tokenizer.eol_id]
    ids = tokenizer.encode("<eos>")
    if kind == "whitespace":  # texts that come tokenized spell them on purpose
        assert ids == [tokenizer.eol_id]
    else:
        assert tokenizer.eol_id not in ids


@pytest.mark.parametrize("kind", ["chars", "bpe"])
@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=sorted(set(TEXT)), max_size=60))
def test_characters_and_byte_pairs_are_lossless(kind, text):
    import unicodedata

    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=40).filter(lambda t: "\0" not in t))
def test_byte_pairs_spell_any_text(text):
    import unicodedata

    tokenizer = TOKENIZERS["bpe"]
    ids = tokenizer.encode(text)
    assert tokenizer.unknown_id not in ids
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


@settings(max_examples=150, deadline=None)
@given(words=st.lists(st.sampled_from(sorted({w for li in LINES for w in li.split()})), max_size=9))
def test_words_survive_natural_spacing(words):
    tokenizer = TOKENIZERS["words"]
    ids = tokenizer.encode(" ".join(words))
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


TOKENIZERS = {kind: train_tokenizer(kind, LINES) for kind in KINDS}


@pytest.mark.parametrize(
    "text",
    [
        "krish likes pizza, but he doesn't like burger.",
        '"on sunday i want to eat," said krish (twice).',
        "the well-known and/or costs $5 at 12:30; 3.14 pies!",
    ],
)
def test_natural_spacing(text):
    tokenizer = train_tokenizer("words", [text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_line_ends_in_its_token():
    tokenizer = TOKENIZERS["words"]
    joined = [i for line in LINES for i in [*tokenizer.encode(line), tokenizer.eol_id]]
    assert tokenizer.encode(TEXT) == joined


def test_case_and_apostrophes():
    lower, cased = TOKENIZERS["words"], train_tokenizer("words", LINES, lowercase=False)
    assert lower.encode("KRISH") == lower.encode("krish")
    assert cased.id("Krish") is not None
    assert cased.id("krish") is None
    assert lower.encode("doesn\N{RIGHT SINGLE QUOTATION MARK}t") == lower.encode("doesn't")
    assert lower.id("हिन्दी") is not None, "vowel signs are part of a word"


def test_vocabulary_by_count_then_alphabet():
    tokenizer = train_tokenizer("words", ["b b a a c", "d c b"])
    assert tokenizer.tokens()[2:] == ["b", "a", "c", "d"]
    assert train_tokenizer("words", ["b b a a c"], min_count=2).tokens()[2:] == ["a", "b"]
    assert train_tokenizer("words", ["b b a a c"], vocab_size=3).tokens()[2:] == ["a"]
    assert tokenizer.encode("zebra") == [tokenizer.unknown_id]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_opened_again(kind):
    tokenizer = TOKENIZERS[kind]
    again = Tokenizer.from_json(tokenizer.to_json())
    assert (again.kind, again.lowercase) == (kind, tokenizer.lowercase)
    assert again.tokens() == tokenizer.tokens()
    assert again.encode(TEXT) == tokenizer.encode(TEXT)


@pytest.mark.parametrize("kind", ["words", "whitespace", "chars"])
def test_made_of_a_vocabulary_that_is_known(kind):
    trained = TOKENIZERS[kind]
    made = make_tokenizer(kind, trained.tokens(), lowercase=trained.lowercase)
    assert made.to_json() == trained.to_json()
    assert made.encode(TEXT) == trained.encode(TEXT)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": "1.0"}', "not json", "null"])
def test_what_is_no_tokenizer_is_refused(text):
    with pytest.raises(FolderError):
        Tokenizer.from_json(text)


def test_foreign_tokenizers_are_refused():
    table = json.loads(TOKENIZERS["words"].to_json())
    for change in (
        {"pre_tokenizer": {"type": "BertPreTokenizer"}},
        {"model": table["model"] | {"vocab": {"<unk>": 0, "a": 1}}},
    ):
        with pytest.raises(FolderError, match=r"not one that Carousel made|not a tokenizer"):
            Tokenizer.from_json(json.dumps(table | change))


def test_nonsense_settings():
    with pytest.raises(SettingsError, match="tokens must be one of"):
        train_tokenizer("letters", LINES)
    with pytest.raises(SettingsError, match="258"):
        train_tokenizer("bpe", LINES, vocab_size=100)
    with pytest.raises(TextError, match="lower min_count"):
        train_tokenizer("words", LINES, min_count=99)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("i like pi", ("i like ", "pi")),
        ("i like ", ("i like ", "")),
        ("he doesn'", ("he ", "doesn'")),
        ("", ("", "")),
        ("well, ", ("well, ", "")),
    ],
)
def test_half_typed_words(text, parts):
    assert TOKENIZERS["words"].split_prefix(text) == parts


@pytest.mark.parametrize(
    ("corpus", "kind", "min_count", "kinds"),
    [
        ("wikitext-2", "whitespace", 1, 33_278),
        # The README counts words; the two special tokens come on top.
        ("self-dialogue", "words", 3, 18_984 + 2),
        ("novels", "words", 3, 24_718 + 2),
    ],
)
def test_vocabularies_of_real_corpora(data, corpus, kind, min_count, kinds):
    files = find_files([data / corpus / "train.txt"])
    assert train_tokenizer(kind, read_pieces(files), min_count=min_count).vocab_size == kinds


ODD_TOKENIZERS = {
    (kind, lowercase): train_tokenizer(kind, [ODD_TEXT] * 3, lowercase=lowercase)
    for kind in KINDS
    for lowercase in (False, True)
}


@pytest.mark.parametrize("kind", list(ODD_TOKENIZERS), ids=str)
@settings(max_examples=120, deadline=None)
@given(text=texts)
def test_the_ids_are_the_library_s_line_after_line(kind, text):
    tokenizer = ODD_TOKENIZERS[kind]
    library = tokenizer._library
    expected = []
    for line in text.split("\n"):
        expected += [*library.encode(line, add_special_tokens=False).ids, tokenizer.eol_id]
    assert tokenizer.encode(text) == expected[:-1]


@pytest.mark.parametrize("kind", KINDS)
def test_many_threads_use_one_tokenizer(kind):
    tokenizer = ODD_TOKENIZERS[kind, False]
    given = [f"{number} {ODD_TEXT}" for number in range(24)]
    expected = [tokenizer.encode(text) for text in given]
    fresh = Tokenizer.from_json(tokenizer.to_json())
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(fresh.encode, given)) == expected


def test_white_space_is_the_same_to_python_and_to_the_library():
    spaces = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    assert spaces == {" ", "\n", *ODD_SPACES}
    library = {
        kind: {
            space
            for space in spaces
            if not untrained_tokenizer(kind, False).pre_tokenizer.pre_tokenize_str(space)
        }
        for kind in ("words", "whitespace")
    }
    assert library == dict.fromkeys(library, spaces - set("\x1c\x1d\x1e\x1f"))


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "NFD"}},
        {"normalizer": None},
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                           "use_regex": True}},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_tokenizer_of_other_ways_reads_the_whole_text(change):
    kind = "bpe" if "pre_tokenizer" in change else "words"
    table = json.loads(ODD_TOKENIZERS[kind, False].to_json())
    tokenizer = Tokenizer.from_json(json.dumps(table | change))
    lines = ODD_TEXT.split("\n")
    library = tokenizer._library
    by_line = [[*library.encode(line, add_special_tokens=False).ids, 1] for line in lines]
    assert tokenizer.encode(ODD_TEXT) == [id for ids in by_line for id in ids][:-1]
    whole = len(ODD_TOKENIZERS[kind, False].encode(ODD_TEXT))
    assert len(tokenizer.encode(ODD_TEXT)) >= whole


@pytest.mark.parametrize("kind", KINDS)
def test_whole_words_is_a_fact_of_the_tokenizer(kind):
    assert TOKENIZERS[kind].whole_words == (kind in ("words", "whitespace"))
