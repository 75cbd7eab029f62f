"""``carousel phrases``: what it prints, and what it says to a stretch that is none."""

import json

import pytest

from carousel.cli import run

TEXT = "the cat sat on the mat and the dog ran to the cat\n"


@pytest.fixture
def folder(make_model, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    model = make_model(hidden_size=24)
    model.save(tmp_path / "model")
    (tmp_path / "text.txt").write_text(TEXT * 20)
    return tmp_path


def arguments(folder, words, *more):
    files = ["--in", str(folder / "text.txt"), "--threshold", "0.1"]
    return ["phrases", str(folder / "model"), "the cat sat on", "--words", words, *files, *more]


def test_places_for_people_and_for_programs(folder, capsys):
    assert run(arguments(folder, "2:3", "--json", "-k", "3")) == 0
    found = json.loads(capsys.readouterr().out)
    assert 1 <= len(found["places"]) <= 3
    assert run(arguments(folder, "2:3", "-k", "3")) == 0
    said = capsys.readouterr().out
    assert f"{len(found['units'])} units of layers.0.h above 0.1" in said
    assert f"All on together at {found['together']:,} of 280 tokens" in said
    place = found["places"][0]
    assert f"line {place['line']:>7}" in said
    assert f"{place['before']} {place['text']} {place['after']}".strip() in said
    longest = max(found["places"], key=lambda place: place["length"])
    assert len(longest["text"]) > 120
    assert longest["text"] not in said
    assert f"{longest['text'][:60]} ... {longest['text'][-60:]}" in said


def test_one_word_is_a_stretch_and_the_cell_can_be_looked_at(folder, capsys):
    assert run(arguments(folder, "2", "--name", "cell", "--off-before", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["units"]


@pytest.mark.parametrize("words", ["a:b", "3:", ":2", "2:3:4", "-1:2", "2:1", "0:2", "3:9", ""])
def test_no_stretch(folder, words, capsys):
    assert run(arguments(folder, words)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
