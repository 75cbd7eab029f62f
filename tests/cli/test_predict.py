"""``carousel predict``: many texts, few words, unknown words."""

import io
import json

import pytest

from carousel.cli import run

LINES = "the cat\nzyx wvu\n\nthe dog ran to the piza"


@pytest.fixture
def place(tmp_path, monkeypatch, make_model):
    monkeypatch.chdir(tmp_path)
    for name, text in (("model", None), ("tiny", "ja nein\n")):
        model = make_model(**({} if text is None else {"text": text}))
        model.save(tmp_path / name)
    (tmp_path / "lines.txt").write_text(LINES)
    return tmp_path


def give(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))


def test_an_answer_a_line(place, capsys, monkeypatch):
    assert run(["predict", "model", "--input", "lines.txt", "-k", "2"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert len(lines) == 4
    assert [line.count("%") for line in lines] == [2, 0, 2, 2]
    assert "line 2: none of the words of 'zyx wvu' is known" in said.err
    assert "piza (it knows pizza, pita)" in said.err
    assert run(["predict", "model", "the cat", "-k", "2", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert lines[0] == "  ".join(
        f"{row['word']} {row['probability']:.1%}" for row in alone["predictions"]
    )
    give(monkeypatch, LINES)
    assert run(["predict", "model", "--input", "-", "-k", "2"]) == 0
    assert capsys.readouterr().out == said.out


def test_an_object_a_line(place, capsys):
    assert run(["predict", "model", "--input", "lines.txt", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == LINES.split("\n")
    assert [len(row["predictions"]) for row in rows] == [5, 0, 5, 5]
    assert "is known" in rows[1]["error"]
    assert rows[3]["unknown"] == [
        {"word": "piza", "start": 19, "end": 23, "nearest": ["pizza", "pita"]}
    ]


def test_fewer_words_than_five_are_given(place, capsys):
    assert run(["predict", "tiny", "ja", "--json"]) == 0
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    assert {row["word"] for row in predictions} == {"ja", "nein"}
    assert run(["predict", "tiny", "ja"]) == 0
    assert run(["predict", "tiny", "ja", "-k", "7"]) == 0
    assert len(capsys.readouterr().out.splitlines()[-2:]) == 2


def test_unknown_words_are_said(place, capsys):
    typed = "the piza sat on zzz"
    for command in ("predict", "generate", "explain"):
        assert run([command, "model", typed, "--json"]) == 0
        said = capsys.readouterr()
        assert said.err == "carousel: not known to this model: piza (it knows pizza, pita), zzz\n"
        unknown = json.loads(said.out)["unknown"]
        words = unknown[typed] if command == "explain" else unknown
        assert [(word["word"], word["start"]) for word in words] == [("piza", 4), ("zzz", 16)]
    assert run(["predict", "model", "the piz", "--complete", "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out)["unknown"] == []
    assert run(["predict", "model", "the " + " ".join(f"u{n}x" for n in "abcdefgh")]) == 0
    assert capsys.readouterr().err.endswith(" and 3 more\n")


def test_the_text_that_is_a_dash(place, capsys, monkeypatch):
    give(monkeypatch, "the cat\n")
    assert run(["predict", "model", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "the cat"


def test_words_that_a_model_knows(place, capsys):
    assert run(["info", "tiny", "--words"]) == 0
    assert capsys.readouterr().out.split() == ["<unk>", "<eos>", "ja", "nein"]
    assert run(["info", "tiny", "--words", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["<unk>", "<eos>", "ja", "nein"]
