"""A run's splits: what is held out, and how the same text is found again when a run goes on."""

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from carousel.errors import SettingsError, TextError
from carousel.text.vocabulary import train_tokenizer
from carousel.training.data.splits import (
    MIN_TRAIN_TOKENS,
    CachedIds,
    find_sources,
    prepare_splits,
    reopen_splits,
)
from carousel.training.settings import Settings

WORDS = ["".join(pair) for pair in product("abcdefghijk", repeat=2)]
LINES = [f"{WORDS[n]} and {WORDS[n + 1]}" for n in range(100)]
PER_LINE = 4  # three words and the line's end


class Bars:
    def __init__(self):
        self.shown = []

    def progress_bar(self, description):
        self.shown.append(description)
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
    return prepare_splits(sources, Settings(**settings), Bars())


def words(splits, ids):
    return [splits.tokenizer.token(int(number)) for number in ids]


@pytest.mark.parametrize(
    ("valid", "test"), [(0.05, 0.0), (0.1, 0.2), (0.0, 0.25), (1 / 3, 0.1), (0.013, 0.017)]
)
def test_shares_are_taken_from_the_end_and_nothing_is_lost(folder, valid, test):
    named = () if valid else [write(folder / "valid.txt", LINES[:5])]
    sources = find_sources([folder / "text.txt"], named)
    splits = prepare(sources, valid_fraction=valid, test_fraction=test)
    whole = [*splits.train]
    if valid:
        whole += [*splits.valid]
        assert len(splits.valid) == round(valid * PER_LINE * len(LINES))
    if test:
        whole += [*splits.test]
        assert len(splits.test) == round(test * PER_LINE * len(LINES))
    else:
        assert splits.test is None
    known = splits.tokenizer.encode("\n".join(LINES) + "\n")
    np.testing.assert_array_equal(whole, known)
    assert splits.cached.keys() == ({"train"} if valid else {"train", "valid"})


def test_the_held_out_end_decides_nothing_of_the_vocabulary(folder):
    sources = find_sources([folder / "text.txt"])
    splits = prepare(sources, valid_fraction=0.1, test_fraction=0.1)
    first, last = splits.tokenizer.id(WORDS[10]), splits.tokenizer.id(WORDS[99])
    assert first is not None
    assert last is None
    # The line in which the training part ends is learned as a whole, and not the one after it.
    assert splits.tokenizer.id(WORDS[80]) is not None
    assert splits.tokenizer.id(WORDS[83]) is None
    assert set(splits.train.tolist()) <= set(range(splits.tokenizer.vocab_size))
    assert splits.tokenizer.unknown_id in splits.test


def test_files_of_their_own_leave_the_text_whole(folder):
    valid, test = write(folder / "v.txt", LINES[:7]), write(folder / "t.txt", ["new words"] * 3)
    sources = find_sources([folder / "text.txt"], [valid], [test])
    # Shares that are set all the same cut nothing off.
    splits = prepare(sources, valid_fraction=0.2, test_fraction=0.2)
    assert len(splits.train) == PER_LINE * len(LINES)
    assert len(splits.valid) == PER_LINE * 7
    assert splits.tokenizer.id(WORDS[99]) is not None
    assert splits.tokenizer.id("new") is None
    assert splits.test.tolist().count(splits.tokenizer.unknown_id) == 6
    assert splits.cached.keys() == {"train", "valid", "test"}
    # A file that validates and a share that tests: the share is of the text.
    splits = prepare(replace(sources, test=()), valid_fraction=0.2, test_fraction=0.2)
    assert len(splits.train) == 0.8 * PER_LINE * len(LINES)
    assert len(splits.test) == 0.2 * PER_LINE * len(LINES)
    assert len(splits.valid) == PER_LINE * 7
    # And the other way round.
    splits = prepare(replace(sources, valid=()), valid_fraction=0.1, test_fraction=0.2)
    assert len(splits.train) == 0.9 * PER_LINE * len(LINES)
    assert len(splits.valid) == 0.1 * PER_LINE * len(LINES)


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
    needed = MIN_TRAIN_TOKENS if what == "train" else 2
    with pytest.raises(
        TextError, match=rf"too little text to {what} on: \d tokens, .* must be {needed}"
    ):
        prepare(find_sources([path]), **settings)


def test_something_must_validate(folder):
    with pytest.raises(SettingsError, match="valid_fraction is 0 and no validation file"):
        prepare(find_sources([folder / "text.txt"]), valid_fraction=0.0)


@pytest.fixture
def begun(folder):
    """A run that was begun: its sources, settings and splits, and a function that reopens them."""
    sources = find_sources([folder / "text.txt"], [write(folder / "valid.txt", LINES[40:60])])
    settings = Settings(test_fraction=0.1)
    splits = prepare_splits(sources, settings, Bars())
    # Copies: what is done to the cache is not to be seen in what is wanted of it.
    wanted = {part: getattr(splits, part).copy() for part in ("train", "valid", "test")}

    def again(bars=None, cached=None):
        actual = reopen_splits(
            sources, settings, bars or Bars(), splits.tokenizer, cached or splits.cached
        )
        for part, ids in wanted.items():
            np.testing.assert_array_equal(getattr(actual, part), ids)
        return actual

    return splits, again


def test_a_text_is_found_again_in_the_cache_even_when_its_files_are_gone_or_others(begun, folder):
    splits, again = begun
    (folder / "valid.txt").unlink()
    write(folder / "text.txt", ["something else"] * 50)
    bars = Bars()
    assert again(bars).cached == splits.cached
    assert bars.shown == []  # nothing was tokenized


def test_without_its_cache_a_text_is_made_anew_from_the_same_files(begun, folder, monkeypatch):
    splits, again = begun
    shutil.rmtree(folder / "cache")
    monkeypatch.setenv("CAROUSEL_CACHE", str(folder / "other"))
    bars = Bars()
    actual = again(bars)
    assert bars.shown == ["tokenizing", "tokenizing"]
    assert {part: cached.digest for part, cached in actual.cached.items()} == {
        part: cached.digest for part, cached in splits.cached.items()
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
    splits, again = begun
    damage(Path(splits.cached["train"].path))
    (folder / "text.txt").unlink()
    with pytest.raises(TextError, match=r"text\.txt is not there any more"):
        again()


def test_a_cache_that_rotted_is_made_anew_from_the_text(begun, folder):
    splits, again = begun
    damage_ids(Path(splits.cached["train"].path))
    assert again().cached == splits.cached


def test_of_several_files_the_error_tells_how_many(folder):
    files = [write(folder / f"{n}.txt", LINES) for n in range(3)]
    sources = find_sources(files)
    splits = prepare(sources)
    shutil.rmtree(folder / "cache")
    write(files[2], ["other"])
    with pytest.raises(TextError, match=r"0\.txt with the 2 after it is not the text"):
        reopen_splits(sources, Settings(), Bars(), splits.tokenizer, splits.cached)


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
    splits, again = begun
    odd = {part: replace(cached, **change) for part, cached in splits.cached.items()}
    if "tokens" in change:  # the digest is that of the text: it is the same one
        odd = {
            part: CachedIds(k.path, k.dtype, k.tokens, splits.cached[part].digest)
            for part, k in odd.items()
        }
    assert again(cached=odd).cached == splits.cached


def test_the_tokenizer_is_not_learned_a_second_time(begun, folder):
    splits, _ = begun
    sources = find_sources([folder / "text.txt"])
    other = train_tokenizer("words", ["ab and"])
    actual = reopen_splits(sources, Settings(), Bars(), other, {})
    assert actual.tokenizer is other
    assert len(set(actual.train.tolist())) == 4  # ab, and, the line's end, the unknown word
    assert splits.tokenizer.vocab_size > other.vocab_size
