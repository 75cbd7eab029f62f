"""The corpus on disk: the same ids as at once, a cache that can be trusted."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from carousel.errors import TextError
from carousel.text import corpus, decoding
from carousel.text.cache import clear_cache
from carousel.text.corpus import build_corpus
from carousel.text.files import find_files, read_pieces
from carousel.text.vocabulary import train_tokenizer

TEXT = "the cat sat\non the mat , twice\n\nthe end\n"


@pytest.fixture
def setup(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(TEXT)
    return [path], train_tokenizer("words", TEXT.splitlines(), min_count=2), tmp_path / "cache"


def test_streamed_equals_at_once(setup, monkeypatch):
    files, tokenizer, cache = setup
    monkeypatch.setattr(decoding, "CHUNK", 5)
    made = build_corpus(files, tokenizer, cache=cache)
    assert made.ids.tolist() == tokenizer.encode(TEXT)
    assert made.ids.dtype == np.uint16
    assert not made.ids.flags.writeable
    counts = made.counts
    assert (counts.lines, counts.words, counts.characters) == (4, 10, len(TEXT))
    assert counts.unknown == sum(i == 0 for i in tokenizer.encode(TEXT)) > 0
    assert counts.tokens == len(made.ids)


def test_the_cache_is_used_and_a_damaged_entry_is_made_anew(setup, monkeypatch):
    files, tokenizer, cache = setup
    made = build_corpus(files, tokenizer, cache=cache)
    (entry,) = cache.glob("*.ids")
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "encode_pieces", lambda *a: pytest.fail("tokenized again"))
        assert build_corpus(files, tokenizer, cache=cache).ids.tolist() == made.ids.tolist()
    expected = made.ids.tolist()
    flipped = bytearray(entry.read_bytes())
    flipped[4] ^= 1
    beyond = b"\xff\xff" * (len(flipped) // 2)
    for damage in (b"", entry.read_bytes()[:-2], bytes(flipped), beyond, None):
        if damage is None:
            entry.with_suffix(".json").write_text("{}")
        else:
            entry.unlink()
            entry.write_bytes(damage)
        assert build_corpus(files, tokenizer, cache=cache).ids.tolist() == expected


def test_counts_that_were_changed_are_made_anew(setup):
    files, tokenizer, cache = setup
    made = build_corpus(files, tokenizer, cache=cache)
    (about,) = cache.glob("*.json")
    about.write_text(about.read_text().replace('"words": 10', '"words": 11'))
    assert build_corpus(files, tokenizer, cache=cache).counts == made.counts


def test_many_threads_from_an_empty_cache_get_the_same_ids(setup):
    files, tokenizer, cache = setup
    files[0].write_text(TEXT * 500)
    expected = tokenizer.encode(TEXT * 500)
    for empty in (cache / str(number) for number in range(5)):
        with ThreadPoolExecutor(8) as threads:
            corpora = threads.map(lambda to: build_corpus(files, tokenizer, cache=to), [empty] * 8)
            assert all(corpus.ids.tolist() == expected for corpus in corpora)
        assert sorted(entry.suffix for entry in empty.iterdir()) == [".ids", ".json"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_what_another_process_with_the_same_id_writes_is_not_mixed_in(setup, monkeypatch):
    files, tokenizer, cache = setup
    monkeypatch.setattr(corpus.os, "getpid", lambda: 1)  # as in two containers
    names = set()
    open_real = corpus.Path.open

    def remember(path, mode="r", **options):
        if "w" in mode:
            names.add(path.name)
        return open_real(path, mode, **options)

    monkeypatch.setattr(corpus.Path, "open", remember)
    for _ in range(3):
        for entry in cache.glob("*"):
            entry.unlink()
        build_corpus(files, tokenizer, cache=cache)
    assert len(names) == 3


def test_a_text_that_changes_while_it_is_read_is_not_kept(setup, monkeypatch):
    files, tokenizer, cache = setup

    def pieces(*_, **__):
        files[0].write_text(TEXT + "more\n")
        return iter([TEXT])

    monkeypatch.setattr(corpus, "read_pieces", pieces)
    with pytest.raises(TextError, match="changed while it was read"):
        build_corpus(files, tokenizer, cache=cache)
    assert list(cache.iterdir()) == []


def test_a_text_that_is_gone_is_one_line(setup):
    files, tokenizer, cache = setup
    files[0].unlink()
    with pytest.raises(TextError, match=r"t\.txt can't be read: No such file"):
        build_corpus(files, tokenizer, cache=cache)


def test_other_content_and_other_tokenizers_are_other_entries(setup):
    files, tokenizer, cache = setup
    build_corpus(files, tokenizer, cache=cache)
    files[0].write_text(TEXT + "more\n")
    build_corpus(files, tokenizer, cache=cache)
    build_corpus(files, train_tokenizer("chars", TEXT.splitlines()), cache=cache)
    assert len(list(cache.glob("*.ids"))) == 3
    assert not list(cache.glob("*.part*"))


def test_a_failing_disk_is_one_line_and_leaves_no_half_entry(setup, monkeypatch):
    files, tokenizer, cache = setup

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corpus.os, "fsync", full)
    with pytest.raises(TextError, match="No space left on device"):
        build_corpus(files, tokenizer, cache=cache)
    assert list(cache.iterdir()) == []


def test_wikitext_is_counted_as_the_literature_does(data, tmp_path):
    tokenizer = train_tokenizer(
        "whitespace", read_pieces(find_files([data / "wikitext-2" / "train.txt"]))
    )
    counts = [
        build_corpus(find_files([data / "wikitext-2" / name]), tokenizer, cache=tmp_path).counts
        for name in ("train.txt", "valid.txt")
    ]
    assert [c.tokens for c in counts] == [2_088_628, 217_646]


def test_a_cache_that_is_cleared_all_the_time_gives_the_ids(tmp_path, monkeypatch):
    """`carousel cache --clear` beside a reading: the reading gets its ids all the same."""
    text, cache = tmp_path / "text.txt", tmp_path / "cache"
    text.write_text("the cat sat on the mat\n" * 9)
    tokenizer = train_tokenizer("words", ["the cat sat on the mat"])
    expected = build_corpus([text], tokenizer, cache=tmp_path / "other")
    replace, cleared = os.replace, []

    def clear_first(source, target):
        cleared.append(clear_cache(cache))
        replace(source, target)

    monkeypatch.setattr("carousel.text.corpus.os.replace", clear_first)
    corpus = build_corpus([text], tokenizer, cache=cache)
    np.testing.assert_array_equal(corpus.ids, expected.ids)
    assert corpus.counts == expected.counts
    assert cleared
    assert not list(cache.iterdir())
