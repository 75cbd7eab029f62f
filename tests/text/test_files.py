"""Reading: every kind of source, and every way in which it can be bad."""

import gzip
import io
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.errors import TextError
from carousel.text import decoding
from carousel.text import files as files_module
from carousel.text.files import find_files, read_pieces


def read(*sources, **options):
    """The lines of the sources, each with its end."""
    return [
        line + "\n"
        for piece in read_pieces(find_files(sources), **options)
        for line in piece.removesuffix("\n").split("\n")
    ]


def test_files_folders_globs_and_gzip(tmp_path):
    (tmp_path / "b.txt").write_text("two\n")
    (tmp_path / "a.txt").write_text("one\nand more")
    (tmp_path / "sub").mkdir()
    with gzip.open(tmp_path / "sub" / "c.txt.gz", "wt") as file:
        file.write("three\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    (tmp_path / ".hidden").write_text("no\n")
    (tmp_path / "empty.txt").write_text("")
    assert read(tmp_path) == ["one\n", "and more\n", "two\n", "three\n"]
    assert read(str(tmp_path / "sub" / "*.gz"), tmp_path / "b.txt") == ["three\n", "two\n"]


def test_standard_input_is_read_once_and_kept(monkeypatch, tmp_path):
    class Input:
        buffer = io.BytesIO(b"from\nstdin\n")

    monkeypatch.setattr("sys.stdin", Input)
    files = find_files(["-"])
    assert list(read_pieces(files)) == list(read_pieces(files)) == ["from\nstdin\n"]


def test_line_breaks_and_byte_order_mark(tmp_path):
    (tmp_path / "dos.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\x0bstill three\n")
    assert read(tmp_path / "dos.txt") == ["one\n", "two\n", "three\x0bstill three\n"]


@settings(max_examples=50, deadline=None)
@given(
    text=st.text(alphabet="ab \né€😀", min_size=1, max_size=50).filter(str.strip),
    chunk=st.integers(1, 7),
    longest=st.integers(1, 9),
)
def test_pieces_do_not_depend_on_chunks(tmp_path_factory, text, chunk, longest):
    path = tmp_path_factory.mktemp("chunks") / "t.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "CHUNK", chunk)
        patch.setattr(files_module, "MAX_PIECE", longest)
        pieces = list(read_pieces([path]))
    expected = text if text.endswith("\n") else text + "\n"
    assert "".join(pieces) == expected
    # A piece that ends inside a line ends before a space, or is as long as may be.
    for piece, after in pairwise(pieces):
        assert piece.endswith("\n") or after.startswith(" ") or len(piece) == longest


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b" \n\n", "is empty"),
        ("binary.txt", b"abc\0def", "not a text file: byte 3 is 0"),
        ("latin.txt", b"caf\xe9 au lait", "not UTF-8 text: byte 3"),
        ("cut.txt", "caf\u00e9".encode()[:-1], "not UTF-8 text: byte 3"),
        ("bad.txt.gz", b"not gzip", "not a whole .gz file"),
        ("cut.txt.gz", gzip.compress(b"hello hello", mtime=0)[:-9], "not a whole .gz file"),
    ],
)
def test_bad_files_name_themselves_and_the_byte(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TextError) as error:
        read(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_byte_is_right_far_into_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "CHUNK", 5)
    (tmp_path / "t.txt").write_bytes("äöü".encode() * 7 + b"x\xff")
    with pytest.raises(TextError, match=f"byte {6 * 7 + 1} "):
        read(tmp_path / "t.txt")


def test_replacing_goes_on(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait\n")
    assert read(tmp_path / "latin.txt", encoding_errors="replace") == ["caf\ufffd au lait\n"]


def test_missing_sources(tmp_path):
    for source, message in (
        (tmp_path / "nothing.txt", "is not there"),
        (tmp_path / "*.none", "no file matches"),
        (tmp_path, "without any text file"),
    ):
        with pytest.raises(TextError, match=message):
            find_files([source])
    with pytest.raises(TextError, match="no text was named"):
        find_files([])


def test_progress_ends_at_the_total(tmp_path):
    (tmp_path / "t.txt").write_text("hello\n" * 100)
    seen = []
    read(tmp_path / "t.txt", on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (600, 600)
