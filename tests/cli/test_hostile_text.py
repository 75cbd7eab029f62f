"""Text from models, files and arguments reaches no screen raw, whatever command shows it."""

import json

import numpy as np
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import fragment_list_to_text, to_formatted_text
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from safetensors.numpy import save_file

from carousel.cli import COMMANDS, run
from carousel.cli.prompt import Suggester, SuggestionCompleter, run_prompt

HOSTILE = [
    "clear\x1b[2J", "red\x9b31m", "bell\x07\x08", "title\x1b]0;owned\x07", "order\u202eabc\u2066",
    "cut\x00short", "[bold]markup[/bold]", "[/nothing]", "<b>&amp;</i>", "zero\u200bwidth", "plain",
]  # fmt: skip
TEXT = " ".join(HOSTILE)
FOLDER = "mo\x1b[31mdel"


def walks():
    """Every command, as it shows what a model, a text or a name holds."""
    yield "predict", ["predict", FOLDER, TEXT]
    yield "predict", ["predict", FOLDER, TEXT, "--json"]
    yield "predict", ["predict", FOLDER, f"plain {HOSTILE[0]}x\x1b[2J"]
    yield "predict", ["predict", FOLDER, "--input", "text.txt"]
    yield "generate", ["generate", FOLDER, TEXT, "--seed", "1"]
    yield "generate", ["generate", FOLDER, TEXT, "--seed", "1", "--json"]
    yield "evaluate", ["evaluate", FOLDER, "text.txt"]
    yield "info", ["info", FOLDER]
    yield "info", ["info", FOLDER, "--json"]
    yield "info", ["info", FOLDER, "--words"]
    yield "info", ["info", FOLDER, "--words", "--json"]
    yield "explain", ["explain", FOLDER, TEXT, "--html", "a.html", "--svg", "a.svg"]
    yield "explain", ["explain", FOLDER, TEXT, "--json"]
    yield "explain", ["explain", FOLDER, TEXT, f"{HOSTILE[0]} plain {HOSTILE[1]}"]
    yield "explain", ["explain", FOLDER, TEXT, "--clamp", f"forget=1@{HOSTILE[0]}"]
    yield "explain", ["explain", FOLDER, TEXT, "--compare", f"{HOSTILE[0]},{HOSTILE[1]}"]
    yield "compare", ["compare", FOLDER, "other", TEXT, "--html", "b.html"]
    yield "compare", ["compare", FOLDER, "other", TEXT, "--json"]
    search = ["phrases", FOLDER, TEXT, "--words", "1:2", "--in", "text.txt", "--threshold", "0.05"]
    yield "phrases", search
    yield "phrases", [*search, "--json"]
    yield (
        "quantize",
        ["quantize", FOLDER, "--to", "int8", "--out", "int8\x1b[31m", "--on", "text.txt"],
    )
    yield "train", ["train", "text.txt", "--out", "new\x1b[31m", "--tokenizer", "whitespace",
                    "--epochs", "1", "--hidden-size", "8", "--embedding-size", "8"]  # fmt: skip
    yield "import", ["import", "pytorch", "m.safetensors", "--vocab", "vocab.json", "--out",
                     "imported\x1b[31m", "--tokenizer", "whitespace"]  # fmt: skip
    yield "score", ["score", FOLDER, "text.txt"]
    yield "score", ["score", FOLDER, "text.txt", "--words", "--json"]
    yield "tune", ["tune", FOLDER, "text.txt", "--adapt", "cache"]
    yield "export", ["export", "pytorch", FOLDER, "--out", "state\x1b[31m.safetensors"]
    yield "stories", ["stories", "--out", "stories\x1b[31m.txt"]
    yield "check", ["check", FOLDER]
    yield "check", ["check", FOLDER, "--json"]
    yield "cache", ["cache"]
    yield "cache", ["cache", "--clear", "--json"]
    # What fails names what it was given.
    yield "demo", ["demo", "--out", "taken\x1b[31m", "--keep"]
    yield "study", ["study", TEXT.replace("\0", "")]
    yield "explain", ["explain", FOLDER, TEXT, "--compare", "no\x1b[31m,plain"]
    yield "train", ["train", "missing\x1b[31m", "--out", "x"]


WALKS = list(walks())


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_model):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "text.txt").write_text(f"{TEXT.replace(chr(0), '')}\n" * 40)
    for name, cell in ((FOLDER, "lstm"), ("other", "gru")):
        model = make_model(cell, kind="whitespace", text=TEXT)
        model.save(folder / name)
    for cell in ("rnn", "gru", "lstm"):
        (folder / "taken\x1b[31m" / f"stories-{cell}").mkdir(parents=True)
        (folder / "taken\x1b[31m" / f"stories-{cell}" / "file").touch()
    vocab = ["<unk>", "<eos>", *HOSTILE]
    (folder / "vocab.json").write_text(json.dumps(vocab))
    rng = np.random.default_rng(0)
    shapes = {
        "emb.weight": (len(vocab), 3),
        "rnn.weight_ih_l0": (20, 3),
        "rnn.weight_hh_l0": (20, 5),
        "out.weight": (len(vocab), 5),
    }
    save_file(
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()},
        folder / "m.safetensors",
    )
    return folder


def check_shown(shown):
    acting = [at for at, c in enumerate(shown) if not c.isprintable() and c not in "\n\t"]
    assert not acting, repr(shown[max(0, acting[0] - 60) : acting[0] + 20])


def test_every_command_is_walked():
    # The page shows texts in a browser, whose tests bring hostile ones of their own.
    assert {name for name, _ in WALKS} | {"page", "serve"} == set(COMMANDS)


@pytest.mark.parametrize(
    "arguments", [arguments for _, arguments in WALKS], ids=lambda value: repr(value)[:60]
)
def test_nothing_acts_on_the_terminal(place, arguments, monkeypatch, capsys):
    monkeypatch.chdir(place)
    code = run(arguments)
    said = capsys.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in said.err
    assert "this is a bug" not in said.err
    drawn = {path: path.read_text() for path in (*place.glob("*.html"), *place.glob("*.svg"))}
    for path in drawn:
        path.unlink()
    for shown in (said.out, said.err, *drawn.values()):
        check_shown(shown)


def test_json_gives_back_what_the_model_holds(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert run(["info", FOLDER, "--words", "--json"]) == 0
    assert set(HOSTILE) <= set(json.loads(capsys.readouterr().out))


def test_the_prompt_shows_every_suggestion(make_model, capsys):
    model = make_model(kind="whitespace", text=TEXT)
    suggester = Suggester(model, len(HOSTILE))
    check_shown(fragment_list_to_text(suggester.describe("unknown\x1b[2J ")))
    completer = SuggestionCompleter(suggester)
    completions = list(completer.get_completions(Document("plain "), None))
    assert len(completions) == sum(word[0].isalpha() for word in HOSTILE)
    for completion in completions:
        check_shown(completion.text + fragment_list_to_text(to_formatted_text(completion.display)))
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("plain \t\tcle\t\n\x04")
        run_prompt(model, 5)
    check_shown(capsys.readouterr().out)
