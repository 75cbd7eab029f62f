"""A tokenizer.json is built anew: what is not known is refused, and nothing hangs or aborts."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.errors import FolderError
from carousel.text.tokenizer import KINDS, Tokenizer, make_tokenizer
from carousel.text.vocabulary import train_tokenizer

TEXT = "Krish likes pizza, but he doesn’t like burger.\nthe lowest café"
TOKENIZERS = {
    (kind, lowercase): train_tokenizer(kind, [TEXT] * 3, lowercase=lowercase)
    for kind in KINDS
    for lowercase in (False, True)
}


def table_of(kind, lowercase=False):
    return json.loads(TOKENIZERS[kind, lowercase].to_json())


@pytest.mark.parametrize(("kind", "lowercase"), TOKENIZERS)
def test_built_anew_it_is_the_same(kind, lowercase):
    tokenizer = TOKENIZERS[kind, lowercase]
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.to_json() == tokenizer.to_json()
    assert again.encode(TEXT) == tokenizer.encode(TEXT)
    assert again.decode(again.encode(TEXT)) == tokenizer.decode(tokenizer.encode(TEXT))


FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


@pytest.mark.parametrize("filter_to", [" ", ""])
@pytest.mark.parametrize("kind", ["whitespace", "chars"])
def test_characters_that_are_taken_out(kind, filter_to):
    words = ["<unk>", "<eos>", "cat", "dog", "a", "b", " ", "^", "-"]
    tokenizer = make_tokenizer(kind, words, lowercase=True, filters=FILTERS, filter_to=filter_to)
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.to_json() == tokenizer.to_json()
    bare = make_tokenizer(kind, words, lowercase=True)
    for text in ("Cat, [dog]^- a\\b", "cat-dog", FILTERS.replace("\n", "")):
        cut = text.lower().translate({ord(c): filter_to for c in FILTERS})
        assert again.encode(text) == bare.encode(cut)


def step(pattern, content=" "):
    filtering = {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}
    return {"normalizer": {"type": "Sequence", "normalizers": [filtering]}}


@pytest.mark.parametrize(
    "change",
    [step("(a+)+b"), step("[a]b"), step("[a-z]"), step("[a]", "aa"), step("[[a]]"), step("[]"),
     step("[" + "a" * 2000 + "]"), step("[a]+"), step(5)],
)  # fmt: skip
def test_only_single_characters_are_taken_out(change):
    with pytest.raises(FolderError, match="not a tokenizer that Carousel made"):
        Tokenizer.from_json(json.dumps(table_of("whitespace") | change))


def replacement(pattern, content):
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


DOUBLING = [replacement("a", "aa") for _ in range(60)]
"""A text of one letter would become one of 2^60."""
HOSTILE = {
    "a chain of replacements": {"normalizer": {"type": "Sequence", "normalizers": DOUBLING}},
    "one replacement": {"normalizer": replacement("pizza", "burger")},
    "a pattern": {"normalizer": {"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": ""}},
    "many steps": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 9}},
    "a step in a step": {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": []}]}
    },
    "a prefix": {"normalizer": {"type": "Prepend", "prepend": "x"}},
    "padding": {
        "padding": {
            "strategy": {"Fixed": 2**40},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<unk>",
        }
    },
    "truncation": {
        "truncation": {
            "max_length": 2,
            "strategy": "LongestFirst",
            "stride": 0,
            "direction": "Right",
        }
    },
    "a post-processor": {
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
    },
    "an added token": {
        "added_tokens": [
            {"id": 0, "content": "<unk>", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
        ]
    },
    "another part": {"model2": {}},
}  # fmt: skip
HOSTILE_MODELS = {
    "dropout": ("bpe", {"dropout": 0.5}),
    "a suffix": ("bpe", {"end_of_word_suffix": "</w>"}),
    "a merge of no tokens": ("bpe", {"merges": [["q", "zzzzz"]]}),
    "merges without end": ("bpe", {"merges": [["a", "b"]] * 10**5}),
    "merges of numbers": ("bpe", {"merges": [[1, 2]]}),
    "another unknown word": ("words", {"unk_token": "krish"}),
    "an id of 2^60": ("words", {"vocab": {"<unk>": 0, "<eos>": 1, "a": 2**60}}),
    "an id twice": ("words", {"vocab": {"<unk>": 0, "<eos>": 1, "a": 1}}),
    "half a character": ("words", {"vocab": {"<unk>": 0, "<eos>": 1, "\ud800": 2}}),
    "an id that is no number": ("words", {"vocab": {"<unk>": False, "<eos>": True}}),
    "no vocabulary": ("words", {"vocab": []}),
    "another model": ("words", {"type": "Unigram"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_known_is_refused(kind, name):
    with pytest.raises(FolderError, match="not a tokenizer that Carousel made") as error:
        Tokenizer.from_json(json.dumps(table_of(kind) | HOSTILE[name]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", HOSTILE_MODELS)
def test_what_is_not_known_of_a_model_is_refused(name):
    kind, change = HOSTILE_MODELS[name]
    table = table_of(kind)
    table["model"] |= change
    with pytest.raises(FolderError, match="not a tokenizer that Carousel made"):
        Tokenizer.from_json(json.dumps(table))


def test_a_panic_of_the_library_is_an_error(monkeypatch):
    class PanicException(BaseException):
        pass

    def panic(*arguments, **options):
        raise PanicException("index out of bounds")

    monkeypatch.setattr("tokenizers.models.WordLevel", panic)
    with pytest.raises(FolderError, match="the library can't build it: index out of bounds"):
        Tokenizer.from_json(TOKENIZERS["words", False].to_json())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def paths_of(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(KINDS), junk=JSON)
def test_any_part_replaced_by_anything_is_an_error_or_a_tokenizer(data, kind, junk):
    table = table_of(kind)
    places = [path for path in paths_of(table) if path and path[:2] != ("model", "vocab")]
    *path, last = data.draw(st.sampled_from(places))
    inner = table
    for key in path:
        inner = inner[key]
    inner[last] = junk
    try:
        tokenizer = Tokenizer.from_json(json.dumps(table))
    except FolderError:
        return
    ids = tokenizer.encode(TEXT)
    assert all(0 <= id < tokenizer.vocab_size for id in ids)
    tokenizer.decode(ids)
