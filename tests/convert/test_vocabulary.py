"""Vocabularies of other people: forms, special tokens, ways to cut text, refusals."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from carousel.convert.vocabulary import ABSENT, read_vocabulary
from carousel.errors import CarouselError
from carousel.text.tokenizer import END_OF_LINE, UNKNOWN

TOKENS = ["the", "cat", "</s>", "sat", "[UNK]", "mat"]


def write(folder, data, name="vocab.json"):
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


FORMS = {
    "lines": ("\n".join(TOKENS) + "\n", "vocab.txt"),
    "lines of Windows": ("\ufeff" + "\r\n".join(TOKENS), "vocab.txt"),
    "list": (TOKENS, "vocab.json"),
    "table": ({token: id for id, token in reversed(list(enumerate(TOKENS)))}, "vocab.JSON"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same(tmp_path, form):
    found = read_vocabulary(write(tmp_path, *form))
    assert found.tokenizer.tokens() == [UNKNOWN, END_OF_LINE, "the", "cat", "sat", "mat"]
    assert found.rows == (4, 2, 0, 1, 3, 5)
    assert found.size == 6
    assert found.notes == (
        "the unknown word is '[UNK]'",
        "the end of a line is '</s>'",
        "text is cut into whitespace",
    )


@given(tokens=st.lists(st.text("abc-", min_size=1, max_size=4), min_size=1, unique=True),
       unk=st.integers(0, 9), eol=st.integers(0, 9))  # fmt: skip
def test_every_token_keeps_its_row(tmp_path_factory, tokens, unk, eol):
    tokens.insert(unk, "<unk>")
    tokens.insert(eol, "<eos>")
    path = write(tmp_path_factory.mktemp("v"), tokens)
    found = read_vocabulary(path)
    assert [tokens[row] for row in found.rows] == found.tokenizer.tokens()
    text = " ".join(tokens)
    assert [tokens[found.rows[id]] for id in found.tokenizer.encode(text)] == tokens


def test_tokens_that_are_added(tmp_path):
    path = write(tmp_path, ["a", "b"])
    found = read_vocabulary(path, add_eol=True)
    assert found.rows == (ABSENT, ABSENT, 0, 1)
    assert found.size == 2


def test_tokens_that_are_named(tmp_path):
    path = write(tmp_path, ["a", ".", "?", "b", "</s>"])
    found = read_vocabulary(path, eol=".", unk="?")
    assert found.rows == (2, 1, 0, 3, 4)
    assert found.tokenizer.tokens() == [UNKNOWN, END_OF_LINE, "a", "b", "</s>"]


def test_how_text_is_cut(tmp_path):
    chars = [*"helo wrd", "\n", "<pad>"]
    assert read_vocabulary(write(tmp_path, chars)).tokenizer.kind == "chars"
    letters = read_vocabulary(write(tmp_path, ["a", "b", "<eos>"]))
    assert letters.tokenizer.kind == "whitespace", "no space among them: words of one letter"
    path = write(tmp_path, ["don't", "well-known", "Cat", ",", "cat", "<eos>"])
    words = read_vocabulary(path, tokens="words", lowercase=True)
    assert words.notes[-1] == "tokens that no text cut so can lead to: 2, such as 'well-known'"
    assert words.tokenizer.decode(words.tokenizer.encode("CAT, don't")) == "cat, don't"


def hugging_face(model, pre, normalizer=None, specials=()):
    """A tokenizer as other people train and save one."""
    backend = Backend(model)
    backend.pre_tokenizer = pre
    if normalizer is not None:
        backend.normalizer = normalizer
    lines = ["the Cat sat on the mat the cat", "low lower lowest the newest widest"] * 3
    kind = trainers.BpeTrainer if isinstance(model, models.BPE) else trainers.WordLevelTrainer
    more = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
    backend.train_from_iterator(
        lines,
        kind(
            special_tokens=list(specials),
            show_progress=False,
            **(more if kind is trainers.BpeTrainer else {}),
        ),
    )
    return backend


def assert_same_cut(found, backend, line):
    theirs = backend.encode(line, add_special_tokens=False).ids
    assert [found.rows[id] for id in found.tokenizer.encode(line)] == theirs


def test_byte_pairs_of_a_tokenizer_json(tmp_path):
    backend = hugging_face(
        models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False), specials=["<|endoftext|>"]
    )
    backend.decoder = decoders.ByteLevel()
    backend.enable_truncation(3)
    path = write(tmp_path, backend.to_str(), "tokenizer.json")
    backend.no_truncation()
    found = read_vocabulary(path)
    assert found.tokenizer.kind == "bpe"
    assert found.rows[0] == ABSENT
    assert found.rows[1] == backend.token_to_id("<|endoftext|>")
    line = "the lowest Cat sat on the naïve mat"
    assert_same_cut(found, backend, line)
    assert found.tokenizer.decode(found.tokenizer.encode(line)) == line


def test_byte_pairs_whose_line_breaks_are_tokens(tmp_path):
    backend = hugging_face(models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False))
    found = read_vocabulary(write(tmp_path, backend.to_str(), "tokenizer.json"))
    assert found.rows[1] == backend.token_to_id("Ċ")
    ids = found.tokenizer.encode("the cat\nsat")
    assert [found.rows[id] for id in ids] == backend.encode("the cat\nsat").ids


def test_words_of_a_tokenizer_json(tmp_path):
    backend = hugging_face(
        models.WordLevel(unk_token="[UNK]"),
        pre_tokenizers.WhitespaceSplit(),
        normalizers.Lowercase(),
        ["[UNK]", "[EOS]"],
    )
    found = read_vocabulary(write(tmp_path, backend.to_str(), "tokenizer.json"))
    assert (found.tokenizer.kind, found.tokenizer.lowercase) == ("whitespace", True)
    assert found.rows[:2] == (0, 1)
    assert_same_cut(found, backend, "the CAT sat on a newest mat")


def test_a_way_to_cut_that_is_not_ours_is_refused_and_can_be_a_list(tmp_path):
    backend = hugging_face(
        models.WordLevel(unk_token="[UNK]"), pre_tokenizers.Whitespace(), None, ["[UNK]", "[EOS]"]
    )
    path = write(tmp_path, backend.to_str(), "tokenizer.json")
    with pytest.raises(CarouselError, match=r"WordLevel after Whitespace.*--tokens whitespace"):
        read_vocabulary(path)
    assert read_vocabulary(path, tokens="whitespace").size == backend.get_vocab_size()
    prefixed = hugging_face(models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=True))
    with pytest.raises(CarouselError, match="cuts text as Carousel does not"):
        read_vocabulary(write(tmp_path, prefixed.to_str()))


BAD = {
    "nothing": ("", "v.txt", {}, "line 1 is empty"),
    "an empty line": ("a\n\nb\n", "v.txt", {}, "line 2 is empty"),
    "not JSON": ("[1, ", "v.json", {}, "not JSON"),
    "a number": ("3", "v.json", {}, "must be a list of tokens"),
    "an empty list": ([], "v.json", {}, "must be a list of tokens"),
    "no texts": ([1, 2], "v.json", {}, "must be a list of tokens"),
    "ids that are true": ({"a": True}, "v.json", {}, "must be a list of tokens"),
    "a gap": ({"a": 0, "b": 2}, "v.json", {}, "'b' has 2 where 1 is due"),
    "a shared id": ({"a": 0, "b": 0}, "v.json", {}, "'b' has 0 where 1 is due"),
    "the same twice": (["a", "b", "a"], "v.json", {}, "'a' is there twice, as 0 and 2"),
    "the same key twice": ('{"a": 0, "a": 1}', "v.json", {}, "names the same thing twice"),
    "an empty token": (["a", ""], "v.json", {}, "token 1 is empty"),
    "half a character": ('["\\ud800"]', "v.json", {}, "half a character"),
    "no end of line": (["a"], "v.json", {}, "no token for the end of a line"),
    "two ends of line": (["<eos>", "</s>"], "v.json", {}, "choose with --eol"),
    "two unknown words": (["<unk>", "<oov>", "<eos>"], "v.json", {}, "choose with --unk"),
    "a name that is not there": (["a"], "v.json", {"eol": "b"}, "--eol: 'b' is not in"),
    "one for both": (["a", "b"], "v.json", {"eol": "a", "unk": "a"}, "can't be both"),
    "a name in use": (["<eos>", "."], "v.json", {"eol": "."}, "rename it in the file"),
    "pairs without merges": (["a", "<eos>"], "v.json", {"tokens": "bpe"}, "need their merges"),
    "an unknown way": (["a", "<eos>"], "v.json", {"tokens": "lines"}, "must be one of"),
    "no pairs": ({"model": {"vocab": [0, 1]}}, "v.json", {}, "that can be read"),
    "pairs of lists": ({"model": {"vocab": [[[], 1]]}}, "v.json", {}, "that can be read"),
    "no tokenizer": ({"model": {"vocab": 3}}, "v.json", {}, "that can be read"),
    "bad merges": (
        {"model": {"type": "BPE", "vocab": {"Ċ": 0}, "merges": [3]},
         "pre_tokenizer": {"type": "ByteLevel"}}, "v.json", {}, "not pairs"),
    "a tokenizer that is none": (
        {"model": {"type": "BPE", "vocab": {"Ċ": 0}}, "pre_tokenizer": {"type": "ByteLevel"}},
        "v.json", {}, "is not a tokenizer"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "name", "how", "said"), BAD.values(), ids=BAD)
def test_what_is_no_vocabulary_is_refused(tmp_path, data, name, how, said):
    with pytest.raises(CarouselError) as caught:
        read_vocabulary(write(tmp_path, data, name), **how)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_can_not_be_read(tmp_path):
    with pytest.raises(CarouselError, match="is not there"):
        read_vocabulary(tmp_path / "none.txt")
    with pytest.raises(CarouselError, match="can't be read"):
        read_vocabulary(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(CarouselError, match="byte 3"):
        read_vocabulary(tmp_path / "latin.txt")
