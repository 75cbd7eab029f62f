"""Lines in batches, from files and from a stream."""

import io
import os
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.errors import SettingsError, TextError
from carousel.text import lines as module
from carousel.text.lines import read_line_batches


def flat(batches):
    return [line for batch in batches for line in batch]


def give(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))


@given(
    lines=st.lists(st.text("aé漢 ", max_size=30), min_size=1, max_size=40), full=st.integers(1, 50)
)
def test_the_lines_of_a_file_come_in_order(tmp_path_factory, lines, full):
    path = tmp_path_factory.mktemp("lines") / "text.txt"
    path.write_text("".join(f"{line}x\n" for line in lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(module, "BATCH_CHARACTERS", full)
        batches = list(read_line_batches([path]))
        give(monkeypatch, path.read_bytes())
        assert flat(read_line_batches(["-"])) == flat(batches)
    assert flat(batches) == [line + "x" for line in lines]
    assert all(sum(map(len, batch[:-1])) < full for batch in batches)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"one\r\ntwo\rthree", ["one", "two", "three"]),
        (b"\xef\xbb\xbfone\n\n\ntwo\n", ["one", "", "", "two"]),
        ("ein schöner\nTag".encode("utf-16"), ["ein schöner", "Tag"]),
        (b"", []),
    ],
)
def test_standard_input(monkeypatch, data, expected):
    give(monkeypatch, data)
    assert flat(read_line_batches(["-"])) == expected


def test_a_line_is_handed_on_before_the_next_one_comes(monkeypatch):
    read_end, write_end = os.pipe()
    with open(read_end, encoding="utf-8") as stream, open(write_end, "wb", buffering=0) as writer:
        monkeypatch.setattr("sys.stdin", stream)
        batches = read_line_batches(["-"])
        writer.write(b"the cat\nso ")
        assert next(batches) == ["the cat"]
        threading.Timer(0.05, writer.write, [b"on\n"]).start()
        assert next(batches) == ["so on"]


def test_what_can_not_be_read(monkeypatch, tmp_path):
    give(monkeypatch, b"one\n\xff\xfftwo")
    with pytest.raises(TextError, match="standard input is not UTF-8 text: byte 4"):
        flat(read_line_batches(["-"]))
    give(monkeypatch, b"one\n\xfftwo")
    assert flat(read_line_batches(["-"], encoding_errors="replace")) == ["one", "\ufffdtwo"]
    with pytest.raises(TextError, match="nowhere is not there"):
        flat(read_line_batches([tmp_path / "nowhere"]))
    with pytest.raises(SettingsError, match="not an encoding"):
        flat(read_line_batches(["-"], encoding="latin-99"))
    monkeypatch.setattr(module, "LONGEST_LINE", 20)
    (tmp_path / "long.txt").write_text("short\n" + "word " * 9)
    with pytest.raises(TextError, match="more than 20 characters after line 1"):
        flat(read_line_batches([tmp_path / "long.txt"]))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TextError, match="no standard input"):
        flat(read_line_batches(["-"]))
