"""Whatever is given as a file: pipes, devices and folders are refused at once, in one line."""

import os
from pathlib import Path

import pytest

from carousel.cli import run
from carousel.convert.foreign_file import read_file, read_text
from carousel.errors import ConvertError

MODELS = {
    "pytorch": ("m.pt", "m.safetensors"),
    "keras": ("m.keras", "m.h5"),
    "onnx": ("m.onnx",),
    "transformers": ("m",),
}
KINDS = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "broken link": lambda path: path.symlink_to("nothing"),
    "link to itself": lambda path: path.symlink_to(path),
    "empty": lambda path: path.touch(),
}


def refused(capsys, *line):
    assert run([str(part) for part in line]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("carousel: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("library", "name"), [(library, name) for library, names in MODELS.items() for name in names]
)
def test_a_model_that_is_no_regular_file(library, name, kind, tmp_path, capsys):
    path = tmp_path / name
    KINDS[kind](path)
    options = [] if library == "transformers" else ["--vocab", path]
    error = refused(capsys, "import", library, path, *options, "--out", tmp_path / "out")
    if kind in ("pipe", "device") and library != "transformers":
        assert "it is not a regular file" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["v.txt", "v.json"])
def test_a_vocabulary_that_is_no_regular_file(name, kind, make_model, tmp_path, capsys):
    make_model().save(tmp_path / "m")
    assert run(["export", "pytorch", str(tmp_path / "m"), "--out", str(tmp_path / "m.pt")]) == 0
    assert run(["export", "onnx", str(tmp_path / "m"), "--out", str(tmp_path / "m.onnx")]) == 0
    capsys.readouterr()
    vocab = tmp_path / name
    KINDS[kind](vocab)
    for library in ("pytorch", "onnx"):
        model = tmp_path / f"m.{'pt' if library == 'pytorch' else 'onnx'}"
        line = ("import", library, model, "--vocab", vocab, "--out", tmp_path / "out")
        assert name in refused(capsys, *line)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_of_transformers_with_no_regular_file(name, kind, tmp_path, capsys):
    pytest.importorskip("transformers")
    from carousel.convert.transformers_folder import export_transformers
    from carousel.pretrained import PRETRAINED

    export_transformers(PRETRAINED / "stories-lstm", tmp_path / "m")
    (tmp_path / "m" / name).unlink()
    KINDS[kind](tmp_path / "m" / name)
    line = ("import", "transformers", tmp_path / "m", "--out", tmp_path / "out")
    assert name in refused(capsys, *line)


@pytest.mark.parametrize("library", ["onnx", "pytorch"])
def test_exports_replace_files_alone(library, tmp_path, capsys):
    out = tmp_path / "m.pt"
    os.mkfifo(out)
    error = refused(capsys, "export", library, "stories-gru", "--out", out, "--force")
    assert "m.pt is not a regular file, and is kept" in error
    assert out.is_fifo()


def test_text_and_its_size(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfthe")
    assert read_text(path, 10) == "the"
    with pytest.raises(ConvertError, match="too large to be true: 6 bytes, 5 at most"):
        read_file(path, 5)
    path.write_bytes(b"caf\xe9")
    with pytest.raises(ConvertError, match="not UTF-8 text: byte 3"):
        read_text(path, 10)
    with pytest.raises(ConvertError, match="not a regular file"):
        read_file(Path("/dev/zero"))
