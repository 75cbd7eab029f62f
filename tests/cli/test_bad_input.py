"""Bad input ends in one clear line on standard error, exit code 2, and nothing lost."""

import gzip
import io
import json
import subprocess
import sys
from itertools import permutations

import pytest

from carousel.cli import run

TEXT = "the cat sat on the mat and the dog ran to the cat\n" * 20


@pytest.fixture
def place(tmp_path, monkeypatch, make_model):
    """A working folder with a text and a model in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary.txt").write_bytes(b"abc\x00\x01\x02" * 50)
    (tmp_path / "latin.txt").write_bytes(b"the caf\xe9 is open\n" * 20)
    (tmp_path / "broken.gz").write_bytes(gzip.compress(TEXT.encode())[:40])
    (tmp_path / "few.txt").write_text("two words")
    (tmp_path / "rare.txt").write_text(" ".join("".join(p) for p in permutations("abcdef", 4)))
    (tmp_path / "unknown.txt").write_text("zyx wvu tsr\n" * 30)
    (tmp_path / "folder").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "typo.toml").write_text("hiddn_size = 3")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 10**5)
    model = make_model()
    model.save(tmp_path / "model")
    model.save(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    return tmp_path


BAD = [
    ("train nothing.txt --out new", "nothing.txt is not there"),
    ("train empty.txt --out new", "empty.txt is empty"),
    ("train folder --out new", "folder is a folder without any text"),
    ("train *.md --out new", "no file matches *.md"),
    ("train binary.txt --out new", "binary.txt is not a text file: byte 3"),
    ("train latin.txt --out new", "latin.txt is not UTF-8 text: byte 7"),
    ("train broken.gz --out new", "broken.gz"),
    ("train few.txt --out new", "too little text to train on"),
    ("train rare.txt --out new --set min_count=2", "only unknown words"),
    ("train text.txt --out new --layers 0", "layers must be between 1 and 64, not 0"),
    ("train text.txt --out new --dropout 2", "dropout must be between 0 and 0.95, not 2"),
    ("train text.txt --out new --cell transformer", "cell must be one of"),
    ("train text.txt --out new --set hiden_size=3", "did you mean 'hidden_size'"),
    ("train text.txt --out new --set batch", "--set wants key=value"),
    ("train text.txt --out new --recipe typo.toml", "did you mean 'hidden_size'"),
    ("train text.txt --out new --recipe none", "no recipe 'none'"),
    ("train text.txt --out new --epochs many", "'--epochs'"),
    ("train text.txt --out new --epochs 1 --minutes 1", "can't both be set"),
    ("train text.txt --out new --valid none.txt", "none.txt is not there"),
    ("train text.txt --out new --no-such-flag", "--no-such-flag"),
    ("train text.txt", "--out"),
    ("train --out new", "FILE"),
    ("train text.txt --out model", "--force"),
    ("train text.txt --out text.txt --force", "text.txt"),
    ("predict model the -k 0", "k must be"),
    ("predict cut the", "model.safetensors"),
    ("predict foreign the", "foreign"),
    ("predict folder the", "folder"),
    ("predict no/such the", "no/such is not there: give a model folder, or one of"),
    ("predict model two words", "quotation marks"),
    ("predict model the --prefix zq --complete", "not both"),
    ("generate model the --temperature -1", "temperature"),
    ("generate model the --top-p 3", "top_p"),
    ("generate model the --seed -1", "seed must be 0 or more, not -1"),
    ("train text.txt --out new --hidden-size 1000000", "choose a smaller hidden_size"),
    ("train text.txt --out new --recipe deep.toml", "nested too deeply"),
    (f"train text.txt --out {'x' * 300}", "File name too long"),
    ("train text.txt --out new --seed -1", "seed must be between 0"),
    ("check folder", "folder"),
    ("check cut", "model.safetensors is cut short"),
    ("generate model the --max-tokens -1", "max_tokens"),
    ("evaluate model none.txt", "none.txt is not there"),
    ("evaluate model empty.txt", "empty.txt is empty"),
    ("evaluate model unknown.txt", "every word of the text is unknown"),
    ("evaluate none text.txt", "none is not there"),
    ("info folder", "folder"),
    ("quantize none --to int8 --out new", "none is not there"),
    ("quantize cut --to int8 --out new", "model.safetensors"),
    ("quantize model --to int4 --out new", "'--to'"),
    ("quantize model --to int8 --out model", "--force"),
    ("quantize model --to int8 --out new --on none.txt", "none.txt is not there"),
    ("demo --seed -1", "--seed"),
    ("explode", "explode"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[line[:80] for line, _ in BAD])
def test_one_line_and_exit_code_2(place, capsys, line, said):
    before = contents(place)
    assert run(line.split()) == 2
    out, error = capsys.readouterr()
    assert error.startswith("carousel: ")
    assert said in error
    assert error.count("\n") == 1
    assert "Traceback" not in out + error
    assert contents(place) == before


def contents(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_the_process_itself_ends_with_2_and_no_traceback(place):
    done = subprocess.run(
        [sys.executable, "-m", "carousel", "predict", "cut", "the"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("carousel: ")
    assert done.stderr.count("\n") == 1


def test_bytes_that_are_not_utf_8_can_be_passed_over(place, capsys):
    more = "--encoding-errors replace"
    assert run(f"train latin.txt --out n {more} --epochs 1".split()) == 0
    assert run(f"evaluate n latin.txt {more}".split()) == 0


def test_bytes_on_standard_input(place, capsys, monkeypatch):
    for bad, said in ((b"the \xff", "byte 4"), (b"\xff", "byte 0")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bad), encoding="utf-8"))
        assert run(["predict", "model"]) == 2
        error = capsys.readouterr().err
        assert "standard input is not UTF-8" in error
        assert said in error


def test_errors_about_standard_input_name_it(place, capsys, monkeypatch):
    for bad, said in ((b"", "standard input is empty"), (b"a\0b", "standard input is not a text"),
                      (b"caf\xe9 x", "standard input is not UTF-8 text: byte 3")):  # fmt: skip
        for line in ("evaluate model -", "train - --out new"):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bad), encoding="utf-8"))
            assert run(line.split()) == 2
            assert capsys.readouterr().err.startswith(f"carousel: {said}")


def test_an_empty_text_predicts_the_start_of_a_line(place, capsys):
    assert run(["predict", "model", "", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 5


def test_an_unwritable_folder(place, capsys, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "new")

    monkeypatch.setattr("carousel.storage.model_folder.os.mkdir", refuse)
    assert run(["train", "text.txt", "--out", "new", "--epochs", "1"]) == 2
    error = capsys.readouterr().err
    assert "Permission denied" in error
    assert error.count("\n") == 1


def test_interrupted_commands_end_with_130(place, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("carousel.model.LanguageModel.next_words", interrupt)
    assert run(["predict", "model", "the"]) == 130
    assert capsys.readouterr().err == "carousel: interrupted\n"
