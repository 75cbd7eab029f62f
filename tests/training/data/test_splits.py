"""A run's texts: what is held out, and how the same text is found again when a run goes on."""

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from carousel.errors import SettingsError, TextError
from carousel.text.vocabulary import train_tokenizer
from carousel.training.data.splits import (
    FEWEST_TOKENS,
    Kept,
    find_sources,
    prepare_texts,
    reopen_texts,
)
from carousel.training.settings import Settings

WORDS = ["".join(pair) for pair in product("abcdefghijk", repeat=2)]
LINES = [f"{WORDS[n]} and {WORDS[n + 1]}" for n in range(100)]
PER_LINE = 4  # three words and the line's end


class Bars:
    def __init__(self):
        self.shown = []

    def tick(self, what):
        self.shown.append(what)
        return lambda done, total: None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CAROUSEL_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "text.txt", LINES)
    return tmp_path


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines))
    return path


def prepare(sources, **settings):
    return prepare_texts(sources, Settings(**settings), Bars())


def words(texts, ids):
    return [texts.tokenizer.token(int(number)) for number in ids]


@pytest.mark.parametrize(
    ("valid", "test"), [(0.05, 0.0), (0.1, 0.2), (0.0, 0.25), (1 / 3, 0.1), (0.013, 0.017)]
)
def test_shares_are_taken_from_the_end_and_nothing_is_lost(folder, valid, test):
    named = () if valid else [write(folder / "valid.txt", LINES[:5])]
    sources = find_sources([folder / "text.txt"], named)
    texts = prepare(sources, valid_fraction=valid, test_fraction=test)
    whole = [*texts.train]
    if valid:
        whole += [*texts.valid]
        assert len(texts.valid) == round(valid * PER_LINE * len(LINES))
    if test:
        whole += [*texts.test]
        assert len(texts.test) == round(test * PER_LINE * len(LINES))
    else:
        assert texts.test is None
    known = texts.tokenizer.encode("\n".join(LINES) + "\n")
    np.testing.assert_array_equal(whole, known)
    assert texts.kept.keys() == ({"train"} if valid else {"train", "valid"})


def test_the_held_out_end_decides_nothing_of_the_vocabulary(folder):
    sources = find_sources([folder / "text.txt"])
    texts = prepare(sources, valid_fraction=0.1, test_fraction=0.1)
    first, last = texts.tokenizer.id(WORDS[10]), texts.tokenizer.id(WORDS[99])
    assert first is not None
    assert last is None
    # The line in which the training part ends is learned as a whole, and not the one after it.
    assert texts.tokenizer.id(WORDS[80]) is not None
    assert texts.tokenizer.id(WORDS[83]) is None
    assert set(texts.train.tolist()) <= set(range(texts.tokenizer.vocab_size))
    assert texts.tokenizer.unknown_id in texts.test


def test_files_of_their_own_leave_the_text_whole(folder):
    valid, test = write(folder / "v.txt", LINES[:7]), write(folder / "t.txt", ["new words"] * 3)
    sources = find_sources([folder / "text.txt"], [valid], [test])
    # Shares that are set all the same cut nothing off.
    texts = prepare(sources, valid_fraction=0.2, test_fraction=0.2)
    assert len(texts.train) == PER_LINE * len(LINES)
    assert len(texts.valid) == PER_LINE * 7
    assert texts.tokenizer.id(WORDS[99]) is not None
    assert texts.tokenizer.id("new") is None
    assert texts.test.tolist().count(texts.tokenizer.unknown_id) == 6
    assert texts.kept.keys() == {"train", "valid", "test"}
    # A file that validates and a share that tests: the share is of the text.
    texts = prepare(replace(sources, test=()), valid_fraction=0.2, test_fraction=0.2)
    assert len(texts.train) == 0.8 * PER_LINE * len(LINES)
    assert len(texts.test) == 0.2 * PER_LINE * len(LINES)
    assert len(texts.valid) == PER_LINE * 7
    # And the other way round.
    texts = prepare(replace(sources, valid=()), valid_fraction=0.1, test_fraction=0.2)
    assert len(texts.train) == 0.9 * PER_LINE * len(LINES)
    assert len(texts.valid) == 0.1 * PER_LINE * len(LINES)


def test_paths_hold_wherever_the_run_is_gone_on_with(folder, monkeypatch):
    monkeypatch.chdir(folder)
    sources = find_sources(["text.txt"], [Path("text.txt")])
    assert sources.train == sources.valid == (folder / "text.txt",)
    with pytest.raises(TextError, match=r"nope\.txt is not there"):
        find_sources(["text.txt"], ["nope.txt"])
    with pytest.raises(TextError, match="no text was named"):
        find_sources([])


@pytest.mark.parametrize(
    ("lines", "settings", "what"),
    [
        (1, {"valid_fraction": 0.05}, "train"),
        (5, {"valid_fraction": 0.05}, "validate"),
        (10, {"valid_fraction": 0.1, "test_fraction": 0.01}, "test"),
    ],
)
def test_too_little_text_is_told_with_the_numbers(folder, lines, settings, what):
    path = write(folder / "few.txt", ["a b c"] * lines)
    needed = FEWEST_TOKENS if what == "train" else 2
    with pytest.raises(
        TextError, match=rf"too little text to {what} on: \d tokens, .* must be {needed}"
    ):
        prepare(find_sources([path]), **settings)


def test_something_must_validate(folder):
    with pytest.raises(SettingsError, match="valid_fraction is 0 and no validation file"):
        prepare(find_sources([folder / "text.txt"]), valid_fraction=0.0)


@pytest.fixture
def begun(folder):
    """A run that was begun: its sources, settings and texts, and a function that reopens them."""
    sources = find_sources([folder / "text.txt"], [write(folder / "valid.txt", LINES[40:60])])
    settings = Settings(test_fraction=0.1)
    texts = prepare_texts(sources, settings, Bars())
    # Copies: what is done to the cache is not to be seen in what is wanted of it.
    wanted = {part: getattr(texts, part).copy() for part in ("train", "valid", "test")}

    def again(bars=None, kept=None):
        found = reopen_texts(sources, settings, bars or Bars(), texts.tokenizer, kept or texts.kept)
        for part, ids in wanted.items():
            np.testing.assert_array_equal(getattr(found, part), ids)
        return found

    return texts, again


def test_a_text_is_found_again_in_the_cache_even_when_its_files_are_gone_or_others(begun, folder):
    texts, again = begun
    (folder / "valid.txt").unlink()
    write(folder / "text.txt", ["something else"] * 50)
    bars = Bars()
    assert again(bars).kept == texts.kept
    assert bars.shown == []  # nothing was tokenized


def test_without_its_cache_a_text_is_made_anew_from_the_same_files(begun, folder, monkeypatch):
    texts, again = begun
    shutil.rmtree(folder / "cache")
    monkeypatch.setenv("CAROUSEL_CACHE", str(folder / "other"))
    bars = Bars()
    found = again(bars)
    assert bars.shown == ["tokenizing", "tokenizing"]
    assert {part: kept.digest for part, kept in found.kept.items()} == {
        part: kept.digest for part, kept in texts.kept.items()
    }


def test_a_text_that_is_gone_from_both_is_told_of(begun, folder):
    _, again = begun
    shutil.rmtree(folder / "cache")
    (folder / "valid.txt").unlink()
    with pytest.raises(TextError, match=r"valid\.txt is not there any more, .* put one of them"):
        again()


@pytest.mark.parametrize("lines", [LINES[:-1], [*LINES, "more"], [*LINES[:-1], "aa and aa"]])
def test_a_text_that_has_changed_is_told_of(begun, folder, lines):
    _, again = begun
    shutil.rmtree(folder / "cache")
    write(folder / "text.txt", lines)
    with pytest.raises(TextError, match=r"text\.txt is not the text that the run began with"):
        again()


def damage_ids(path):
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [damage_ids, lambda path: path.write_bytes(path.read_bytes()[:-2]), Path.unlink],
    ids=["a bit", "cut short", "gone"],
)
def test_a_damaged_cache_is_never_believed(begun, folder, damage):
    texts, again = begun
    damage(Path(texts.kept["train"].path))
    (folder / "text.txt").unlink()
    with pytest.raises(TextError, match=r"text\.txt is not there any more"):
        again()


def test_a_cache_that_rotted_is_made_anew_from_the_text(begun, folder):
    texts, again = begun
    damage_ids(Path(texts.kept["train"].path))
    assert again().kept == texts.kept


def test_of_several_files_the_error_tells_how_many(folder):
    files = [write(folder / f"{n}.txt", LINES) for n in range(3)]
    sources = find_sources(files)
    texts = prepare(sources)
    shutil.rmtree(folder / "cache")
    write(files[2], ["other"])
    with pytest.raises(TextError, match=r"0\.txt with the 2 after it is not the text"):
        reopen_texts(sources, Settings(), Bars(), texts.tokenizer, texts.kept)


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": 10**30},
        {"tokens": -1},
        {"tokens": 0},
        {"path": "\0"},
        {"path": "."},
        {"path": ""},
    ],
    ids=str,
)
def test_what_can_not_be_opened_is_made_anew(begun, change):
    texts, again = begun
    odd = {part: replace(kept, **change) for part, kept in texts.kept.items()}
    if "tokens" in change:  # the digest is that of the text: it is the same one
        odd = {
            part: Kept(k.path, k.dtype, k.tokens, texts.kept[part].digest)
            for part, k in odd.items()
        }
    assert again(kept=odd).kept == texts.kept


def test_the_tokenizer_is_not_learned_a_second_time(begun, folder):
    texts, _ = begun
    sources = find_sources([folder / "text.txt"])
    other = train_tokenizer("words", ["ab and"])
    found = reopen_texts(sources, Settings(), Bars(), other, {})
    assert found.tokenizer is other
    assert len(set(found.train.tolist())) == 4  # ab, and, the line's end, the unknown word
    assert texts.tokenizer.vocab_size > other.vocab_size
