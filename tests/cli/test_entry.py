"""At the door: every end is an exit code and at most one line, whatever the streams are like."""

import os
import shutil
import subprocess
import sys
import warnings

import pytest

from carousel import cli
from carousel.cli import run
from carousel.errors import FolderError
from carousel.pretrained import PRETRAINED

COMMAND = [sys.executable, "-m", "carousel"]
QUESTION = "krish likes pizza but his friend likes burger so his friend orders"


def call(*arguments, shell=None, env=None, **options):
    """Run carousel in a process of its own; bytes in, bytes out."""
    words = shell if shell else [*COMMAND, *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONIOENCODING"} | (env or {})
    return subprocess.run(
        words, capture_output=True, env=environment, shell=shell is not None, check=False, **options
    )


def raising(error):
    def fail(*arguments, **options):
        raise error

    return fail


ENDS = [
    (FolderError("no model here"), 2, "carousel: no model here\n"),
    (MemoryError(), 2, "carousel: there is not enough memory for this\n"),
    (PermissionError(13, "Permission denied", "a.txt"), 2, "carousel: a.txt: Permission denied\n"),
    (OSError(28, "No space left on device"), 2,
     "carousel: reading or writing failed: No space left on device\n"),
    (OSError(36, "File name too long", "x" * 300), 2,
     f"carousel: {'x' * 120}...: File name too long\n"),
    (KeyboardInterrupt(), 130, "carousel: interrupted\n"),
    (BrokenPipeError(), 0, ""),
]  # fmt: skip


@pytest.mark.parametrize(("error", "code", "said"), ENDS, ids=lambda value: type(value).__name__)
def test_each_error_has_its_end(error, code, said, monkeypatch, capsys):
    monkeypatch.setattr("carousel.model.LanguageModel.load", raising(error))
    assert run(["info"]) == code
    assert capsys.readouterr().err == said


def test_a_bug_is_one_line_that_says_how_to_report_it(monkeypatch, capsys):
    monkeypatch.setattr("carousel.model.LanguageModel.load", raising(KeyError("what\nelse")))
    assert run(["info"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    for part in ("this is a bug in Carousel: KeyError", "test_entry.py", "CAROUSEL_DEBUG=1"):
        assert part in line
    monkeypatch.setenv("CAROUSEL_DEBUG", "1")
    assert run(["info"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_warning_is_one_line(monkeypatch, capsys):
    def warn(*arguments):
        warnings.warn("no compiler:\nNumPy is used", stacklevel=2)
        raise FolderError("no model here")

    monkeypatch.setattr("carousel.model.LanguageModel.load", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run(["info"]) == 2
    expected = "carousel: warning: no compiler: NumPy is used\ncarousel: no model here\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "koi8-r", "utf-16"])
@pytest.mark.parametrize("words", [["predict"], ["explain"], ["predict", "--json"], ["generate"]])
def test_every_output_encoding_shows_what_it_can(encoding, words):
    command, *flags = words
    done = call(command, QUESTION, *flags, env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode(encoding)
    assert "burger" in shown
    if encoding == "ascii" and words == ["predict"]:
        assert "burger 100.0% " + "#" * 30 in shown


@pytest.mark.parametrize("bad", [b"the caf\xe9", b"\xff", b"\xf0\x9f\x8d"])
def test_bytes_that_are_not_utf_8(bad):
    texts = (["predict", bad], ["explain", bad], ["phrases", "stories-lstm", bad, "--words", "1",
             "--in", "x"], ["compare", "stories-lstm", "stories-gru", bad])  # fmt: skip
    for arguments in texts:
        done = call(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(b"carousel: the text is not UTF-8: byte ")
        assert done.stderr.count(b"\n") == 1
    for arguments in (["predict", "krish", "--prefix", bad], ["generate", "--stop", bad],
                      ["explain", "x", "--clamp", bad], ["train", "x", "--cell", bad]):  # fmt: skip
        done = call(*arguments)
        assert done.returncode == 2
        assert done.stderr.endswith(b": it is not UTF-8\n")
    for command in ("predict", "generate", "explain"):
        for environment in ({}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}):
            done = call(command, "-", input=bad, env=environment)
            assert done.returncode == 2
            assert done.stderr.startswith(b"carousel: standard input is not UTF-8")
            assert done.stderr.count(b"\n") == 1


def test_standard_input_in_the_encoding_that_was_named():
    done = call("predict", "-", "--json", input="pizza caf\xe9".encode("latin-1"),
                env={"PYTHONIOENCODING": "latin-1"})  # fmt: skip
    assert done.returncode == 0
    assert '"text": "pizza caf' in done.stdout.decode("latin-1")


def test_a_reader_that_stops_reading_is_no_error():
    python = f'"{sys.executable}" -m carousel'
    for command in (
        f"{python} generate stories-lstm krish --max-tokens 20000 | head -c 10",
        f"{python} explain '{QUESTION}' | head -1",
        f"{python} info --words | head -1",
    ):
        done = call(shell=f"bash -c 'set -o pipefail; {command.replace(chr(39), chr(34))}'")
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_standard_output():
    for command in ("predict krish", "info", "info --json", "generate krish", "--help"):
        done = call(shell=f'"{sys.executable}" -m carousel {command} > /dev/full')
        assert done.returncode == 2
        assert done.stderr == (b"carousel: reading or writing failed: No space left on device\n"), (
            command
        )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_standard_error_leaves_the_exit_code():
    python = f'"{sys.executable}" -m carousel'
    assert call(shell=f"{python} info nothing 2> /dev/full").returncode == 2
    assert call(shell=f"{python} predict krish 2> /dev/full").returncode == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("can't start new thread"), "the system allows no more threads"),
        (RuntimeError("you tried to allocate memory"), "there is not enough memory"),
    ],
)
def test_a_system_without_threads_or_memory_is_no_bug(error, said, monkeypatch, capsys):
    monkeypatch.setattr("carousel.model.LanguageModel.load", raising(error))
    assert run(["info"]) == 2
    assert said in capsys.readouterr().err


def test_a_panic_of_a_library_is_a_bug_in_one_line(monkeypatch, capsys):
    panic = type("PanicException", (BaseException,), {})("index out of bounds")
    monkeypatch.setattr("carousel.model.LanguageModel.load", raising(panic))
    assert run(["info"]) == 1
    assert "this is a bug in Carousel: PanicException: index" in capsys.readouterr().err


def test_closed_streams():
    python = f'"{sys.executable}" -m carousel'
    done = call(shell=f"{python} predict krish >&-")
    assert done.returncode == 2
    assert done.stderr == b"carousel: standard output is closed: there is nowhere to print to\n"
    done = call(shell=f"{python} predict <&-")
    assert done.returncode == 0
    assert done.stderr == b"carousel: english answers (--model chooses another)\n"
    done = call(shell=f"{python} predict qqzzqq 2>&-")
    assert done.returncode == 2


def test_the_console_script_and_the_module_are_one():
    assert cli.main is not None
    assert call("--version").stdout.startswith(b"carousel ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    script = call(env={"_CAROUSEL_COMPLETE": f"{shell}_source"}).stdout.decode()
    assert "carousel" in script


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("carousel ex", "explain"), ("carousel train --tok", "--tokenizer"),
     ("carousel train --cell g", "gru"), ("carousel predict stories-g", "stories-gru"),
     ("carousel quantize --to i", "int8")],
)  # fmt: skip
def test_completion_offers_commands_flags_values_and_models(typed, offered):
    words = typed.split()
    environment = {
        "_CAROUSEL_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = call(env=environment)
    assert offered in {line.split(",")[-1] for line in done.stdout.decode().splitlines()}


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_names_that_are_not_utf_8(tmp_path):
    text, model, small = (os.fsencode(tmp_path) + b"/caf\xe9" + end for end in (b".txt", b"", b"8"))
    with open(text, "wb") as file:
        file.write(b"krish likes pizza but he does not like burger\n" * 40)
    shutil.copytree(PRETRAINED / "stories-lstm", os.fsdecode(model))
    for arguments in (
        ["info", model],
        ["info", model, "--json"],
        ["predict", model, "krish likes"],
        ["evaluate", model, text],
        ["quantize", model, "--to", "int8", "--out", small],
        ["explain", model, "krish likes", "--svg", model + b".svg"],
    ):
        done = call(*arguments)
        assert done.returncode == 0, done.stderr
    for arguments in (
        ["info", b"nothing\xe9"],
        ["train", text, "--out", small + b"x"],
        ["train", "--resume", model],
    ):
        done = call(*arguments)
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
