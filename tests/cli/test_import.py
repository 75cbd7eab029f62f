"""``carousel import``: what it prints, and one line for whatever can't be taken over."""

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

import carousel
from carousel.cli import run
from carousel.model import LanguageModel
from carousel.storage.number_formats import to_float32

TOKENS = ["the", "cat", "<eos>", "sat"]


class Bomb:
    def __reduce__(self):
        return open, ("marker", "w")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a checkpoint, its vocabulary and bad ones beside them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    shapes = {
        "emb.weight": (4, 3),
        "rnn.weight_ih_l0": (15, 3),
        "rnn.weight_hh_l0": (15, 5),
        "out.weight": (4, 5),
    }
    weights = {n: rng.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    save_file(weights, "model.safetensors")
    save_file(weights | {"norm": np.ones(2, np.float32)}, "more.safetensors")
    both = {"rnn.weight_ih_l0_reverse": weights["rnn.weight_ih_l0"]}
    save_file(weights | both, "both.safetensors")
    save_file({"a": np.array([np.nan], np.float32)}, "nan.safetensors")
    save_file({"a": np.ones(2, np.int8)}, "small.safetensors")
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS))
    (tmp_path / "short.txt").write_text("the\ncat\n<eos>")
    (tmp_path / "broken.json").write_text("[")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    return tmp_path


def test_a_model_is_taken_over(place, capsys):
    line = "import pytorch model.safetensors --vocab vocab.txt --out out"
    assert run(line.split()) == 0
    said = capsys.readouterr().out
    assert "- the end of a line is '<eos>'" in said
    assert "- the decoder has no bias: zeros" in said
    assert "Saved in out: LanguageModel(gru, 1 x 5 units" in said
    assert run([*line.split(), "--force", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["cell"], told["biases"]) == ("out", "gru", False)
    assert LanguageModel.load("out").tokenizer.tokens() == ["<unk>", "<eos>", "the", "cat", "sat"]


GOOD = "import pytorch model.safetensors --vocab vocab.txt --out out"
BAD = [
    ("import", "FORMAT"),
    ("import gguf model.gguf --vocab vocab.txt --out out", "'gguf' is not one of 'pytorch'"),
    ("import keras none.h5 --vocab vocab.txt --out out", "none.h5 is not there"),
    ("import keras model.safetensors --vocab vocab.txt --out out", "is neither a .keras"),
    ("import keras model.h5 --vocab vocab.txt --out out --decoder fc", "no option --decoder"),
    ("import onnx none.onnx --vocab vocab.txt --out out", "none.onnx is not there"),
    ("import onnx vocab.txt --vocab vocab.txt --out out", "vocab.txt is not an ONNX graph"),
    ("import onnx model.onnx --out out --tokenizer words --rnn rnn", "onnx has no option --rnn"),
    ("import pytorch model.safetensors --vocab vocab.txt --out out --cell lstm", "'lstm' is not"),
    ("import pytorch model.safetensors --out out", "--vocab"),
    ("import pytorch model.safetensors --vocab vocab.txt", "--out"),
    ("import pytorch none.pt --vocab vocab.txt --out out", "none.pt is not there"),
    ("import pytorch bomb.pt --vocab vocab.txt --out out", "bomb.pt holds more than weights"),
    ("import pytorch vocab.txt --vocab vocab.txt --out out", "vocab.txt is not a PyTorch"),
    ("import pytorch more.safetensors --vocab vocab.txt --out out", "more.safetensors: there is"),
    ("import pytorch both.safetensors --vocab vocab.txt --out out", "rnn is bidirectional"),
    ("import pytorch nan.safetensors --vocab vocab.txt --out out", "not finite"),
    ("import pytorch small.safetensors --vocab vocab.txt --out out", "type I8"),
    ("import pytorch model.safetensors --vocab none.txt --out out", "none.txt is not there"),
    ("import pytorch model.safetensors --vocab short.txt --out out",
     "the vocabulary has 3 tokens, but emb.weight has 4 rows"),
    ("import pytorch model.safetensors --vocab broken.json --out out", "broken.json is not JSON"),
    (f"{GOOD}/deeper --eol nothing", "--eol: 'nothing' is not in the vocabulary"),
    (f"{GOOD} --rnn lstm", "no recurrent layers named 'lstm'"),
    (f"{GOOD} --embedding encoder", "--embedding encoder: no such matrix among"),
    (f"{GOOD} --tokens bpe", "--tok"),
    ("import pytorch model.safetensors --vocab vocab.txt --out there", "not a model folder"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), BAD, ids=[line for line, _ in BAD])
def test_one_line_and_exit_code_2(place, capsys, line, said):
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert run(line.split()) == 2
    out, error = capsys.readouterr()
    assert error.startswith("carousel: ")
    assert said in error
    assert error.count("\n") == 1
    assert "Traceback" not in out + error
    after = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert after == before, "nothing is written, and nothing in a file was run"


def test_transformers_out_and_in(place, capsys):
    pytest.importorskip("transformers")
    assert run(["export", "transformers", "stories-gru", "--out", "theirs", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["file"]) == ("transformers", "theirs")
    assert run(["export", "transformers", "stories-gru", "--out", "theirs"]) == 2
    assert "theirs exists and is kept" in capsys.readouterr().err
    assert run(["import", "transformers", "theirs", "--out", "again"]) == 0
    assert "Saved in again: LanguageModel(gru" in capsys.readouterr().out
    ours, back = LanguageModel.load("again"), carousel.load("stories-gru")
    for name, weight in back.model.weights.items():
        np.testing.assert_allclose(ours.model.weights[name], to_float32(weight), atol=1e-6)
    for line, said in {
        "import transformers theirs --out again": "again exists and is kept",
        "import transformers theirs --vocab vocab.txt --out new": "leave --vocab out",
        "import transformers theirs --rnn rnn --out new": "transformers has no option --rnn",
        "import transformers there --out new": "config.json is not there",
        "import transformers model.safetensors --out new": "can't be read: Not a directory",
        "export transformers theirs --out new": "theirs",
        "export transformers stories-gru --out new --gates": "no option --gates",
        "export transformers stories-gru --out there": "there exists and is not a model folder",
    }.items():
        assert run(line.split()) == 2, line
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert not (place / "new").exists()
