"""Each command does what its help says."""

import gzip
import io
import json
import subprocess
import sys

import pytest

import carousel
from carousel.cli import COMMANDS, run
from carousel.model import LanguageModel
from carousel.pretrained import PRETRAINED

TEXT = "the cat sat on the mat and the dog ran to the cat\n"
SHORT = "--epochs 1 --hidden-size 8 --embedding-size 6 --set batch=2 --set bptt=8"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, make_model):
    """Run a command in a folder with a text and a model; its standard output."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT * 20)
    model = make_model()
    model.save(tmp_path / "model")

    def call(*arguments):
        assert run(list(arguments)) == 0
        return capsys.readouterr().out

    return call


def give(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))


def test_train_predict_generate_evaluate_info(call, tmp_path):
    said = call("train", "text.txt", "--out", "new", *SHORT.split())
    assert "Next:\n  carousel predict new" in said
    assert "Done: validation" in said
    assert "%" in call("predict", "new", "the")
    assert call("generate", "new", "the", "--seed", "1").startswith("the")
    assert "perplexity per word" in call("evaluate", "new", "text.txt")
    assert "lstm" in call("info", "new")


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(call, command, flag):
    assert "Usage:" in call(*command.split(), flag)


def test_no_command_shows_help_and_version_the_version(call):
    assert "Usage:" in call()
    assert call("--version") == f"carousel {carousel.__version__}\n"


def test_sources_of_text(call, tmp_path, monkeypatch):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text(TEXT * 10)
    (tmp_path / "more" / "b.txt.gz").write_bytes(gzip.compress((TEXT * 10).encode()))
    give(monkeypatch, TEXT * 20)
    sizes = set()
    for number, source in enumerate(("text.txt", "more", "more/*", "-")):
        out = call("train", source, "--out", f"m{number}", *SHORT.split(), "--json")
        sizes.add(json.loads(out)["metrics"][-2]["tokens"])
    assert len(sizes) == 1


def test_json(call):
    told = json.loads(call("train", "text.txt", "--out", "new", *SHORT.split(), "--json"))
    assert told["model"] == "new"
    assert told["metrics"][-2]["valid_loss"] > 0
    assert json.loads(call("info", "new", "--json"))["recipe"]["hidden_size"] == 8
    assert json.loads(call("evaluate", "new", "text.txt", "--json"))["tokens"] == 20 * 14
    found = json.loads(call("predict", "new", "the", "-k", "2", "--json"))
    assert found["text"] == "the"
    assert len(found["predictions"]) == 2
    assert json.loads(call("generate", "new", "the", "--json", "--max-tokens", "3"))["generated"]


def test_text_from_standard_input(call, monkeypatch):
    given = call("predict", "model", "the cat")
    give(monkeypatch, "the cat\n")
    assert call("predict", "model") == given
    give(monkeypatch, "the cat\n")
    assert call("generate", "model", "--temperature", "0").startswith("the cat ")


def test_a_half_typed_word(call):
    for arguments in (("the", "--prefix", "pi"), ("the pi", "--complete")):
        found = json.loads(call("predict", "model", *arguments, "-k", "3", "--json"))
        words = [row["word"] for row in found["predictions"]]
        assert sorted(words) == ["pie", "pita", "pizza"]
    assert call("predict", "model", "the", "--prefix", "zq") == "no known word starts so\n"


def test_the_pretrained_models_answer_where_none_is_named(call):
    question = "krish likes pizza but his friend likes burger so his friend orders"
    found = json.loads(call("predict", question, "--json"))
    assert found["predictions"][0]["word"] == "burger"
    assert found["predictions"][0]["probability"] > 0.9
    for name in ("stories-rnn", "stories-gru", "stories-lstm"):
        assert json.loads(call("info", name, "--json"))["path"] == str(PRETRAINED / name)
    assert "stories-lstm" in call("info")


def test_quantize(call):
    told = call("quantize", "model", "--to", "int8", "--out", "small", "--on", "text.txt")
    for name in ("size of the weights", "perplexity", "single steps", "saved in"):
        assert name in told
    assert json.loads(call("info", "small", "--json"))["dtype"] == "int8"
    found = call("quantize", "model", "--to", "bf16", "--out", "half", "--json", "--on", "text.txt")
    found = json.loads(found)
    assert found["model"] == "half"
    assert found["bytes_after"] < found["bytes_before"]
    evaluated = json.loads(call("evaluate", "half", "text.txt", "--json"))
    assert found["perplexity_after"] == evaluated["perplexity"]
    assert call("predict", "half", "the", "--json") == call("predict", "half", "the", "--json")


def test_a_command_loads_no_other():
    code = (
        "import sys; from carousel.cli import COMMANDS, run; run(['predict', 'the']);"
        "heavy = {'torch', 'array_api_compat', 'safetensors', 'prompt_toolkit', 'rich', 'typer'}"
        "    | {f'carousel.cli.{name}' for name in COMMANDS if name != 'predict'};"
        "loaded = heavy & set(sys.modules); sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_model_and_a_terminal_open_the_prompt(call, monkeypatch, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    opened = []
    monkeypatch.setattr(
        "carousel.cli.prompt.run_prompt",
        lambda model, k, session, bad_words: opened.append((model, k, bad_words)),
    )
    (tmp_path / "b.txt").write_text("Cat\n")
    call("predict", "model", "-k", "4", "--block", "b.txt")
    assert opened[0][0].config == LanguageModel.load("model").config
    assert opened[0][1:] == (4, ["cat"])


def test_a_reader_that_has_gone_is_no_error(call, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return self.file.fileno()

    with open("sink", "w") as file:  # stands for the pipe that dup2 points to nowhere
        gone = Gone()
        gone.file = file
        monkeypatch.setattr(sys, "stdout", gone)
        assert run(["generate", "model", "the"]) == 0
