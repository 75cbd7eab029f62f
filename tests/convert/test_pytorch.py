"""A PyTorch model, taken over, predicts what it predicted."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from carousel.convert.pytorch import import_pytorch
from carousel.model import LanguageModel

TEXT = "the cat sat on a mat\nand the dog ran to the cat\n\nhe likes pizza so she likes pie\n"
WORDS = sorted(set(TEXT.split()))
# Special tokens stand where other people have them: in the middle and at the end.
VOCAB = [*WORDS[:5], "<eos>", *WORDS[5:], "<unk>"]
SIZE = len(VOCAB)


class Model(nn.Module):
    """Embedding, recurrent layers, linear decoder, and all that may stand between."""

    def __init__(self, kind="LSTM", *, layers=1, tied=False, bias=True, hidden=6, middle=0,
                 middle_bias=True, decoder_bias=True, vocab=SIZE, **more):  # fmt: skip
        super().__init__()
        read = middle or more.get("proj_size") or hidden
        self.encoder = nn.Embedding(vocab, read if tied else 5)
        width = self.encoder.embedding_dim
        self.rnn = getattr(nn, kind)(width, hidden, layers, bias=bias, **more)
        if middle:
            self.middle = nn.Linear(more.get("proj_size") or hidden, middle, bias=middle_bias)
        self.decoder = nn.Linear(read, vocab, bias=decoder_bias)
        if tied:
            self.decoder.weight = self.encoder.weight
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.6)

    def forward(self, ids):
        x, _ = self.rnn(self.encoder(ids))
        return self.decoder(self.middle(x) if hasattr(self, "middle") else x)


def perplexity(model, vocab=VOCAB, text=TEXT, cut=str.split, eol="<eos>", start="<eos>"):
    """PyTorch's own perplexity on the stream that Carousel reads: a line end, then the text."""
    stream = [start]
    for line in text.splitlines():
        stream += [*cut(line), eol]
    ids = torch.tensor([vocab.index(token) for token in stream])
    with torch.no_grad():
        scores = model.double()(ids[:-1, None])[:, 0]
        loss = nn.functional.cross_entropy(scores, ids[1:])
    model.float()
    return math.exp(loss)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    return tmp_path


def take_over(model, vocab="vocab.txt", **how):
    torch.save(model.state_dict(), "model.pt")
    return import_pytorch("model.pt", vocab, "out", force=True, **how)


def same(found, expected):
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no-biases"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_round_trip(place, kind, layers, tied, bias):
    model = Model(kind, layers=layers, tied=tied, bias=bias)
    ours, notes = take_over(model)
    config = ours.config
    assert (config.cell, config.layers) == (kind.lower(), layers)
    assert (config.tied, config.biases) == (tied, bias)
    assert any("relu" in note for note in notes) == (kind == "RNN")
    same(ours.evaluate(["text.txt"]).perplexity, perplexity(model))


@pytest.mark.parametrize(
    "how",
    [
        {"middle": 4},
        {"middle": 4, "middle_bias": False, "decoder_bias": False},
        {"middle": 4, "tied": True},
        {"proj_size": 3, "layers": 3},
        {"proj_size": 3, "layers": 2, "bias": False, "tied": True},
        {"proj_size": 3, "layers": 2, "middle": 4},
        {"decoder_bias": False},
        {"decoder_bias": False, "tied": True},
    ],
    ids=str,
)
def test_projections_and_decoders_without_bias(place, how):
    model = Model(**how)
    ours, notes = take_over(model)
    assert any("no bias" in note for note in notes) == (how.get("decoder_bias") is False)
    same(ours.evaluate(["text.txt"]).perplexity, perplexity(model))


def logits_after(model, ids):
    session = model.session()
    session.feed(ids)
    return session.logits


def test_logits_and_states_row_by_row(place):
    model = Model("GRU", layers=2)
    ours, _ = take_over(model)
    ids = [ours.tokenizer.id(word) for word in ("the", "cat", "ran")]
    theirs = torch.tensor([[VOCAB.index(w)] for w in ["<eos>", "the", "cat", "ran"]])
    expected = model(theirs)[-1, 0].detach().numpy()
    logits = logits_after(ours, ids)
    back = [ours.tokenizer.id(token) for token in VOCAB]
    np.testing.assert_allclose(logits[back], expected, rtol=1e-4, atol=1e-5)


def test_the_layout_of_pytorchs_word_language_model(place):
    """``RNNModel`` of pytorch/examples: ``encoder``, ``rnn``, ``decoder``; ``<eos>`` ends lines."""
    lines = [[*line.split(), "<eos>"] for line in TEXT.splitlines()]
    # In the order of their first use, as its Dictionary fills up; it has no unknown word.
    vocab = list(dict.fromkeys(word for line in lines for word in line))
    (place / "vocab.json").write_text(json.dumps(vocab))
    model = Model("LSTM", layers=2, tied=True, vocab=len(vocab))
    assert next(iter(model.state_dict())) == "encoder.weight"
    assert list(model.state_dict())[-2:] == ["decoder.weight", "decoder.bias"]
    ours, notes = take_over(model, "vocab.json")
    assert ours.config.vocab_size == len(vocab) + 1
    assert "the unknown word is added: it reads as nothing and is never predicted" in notes
    same(ours.evaluate(["text.txt"]).perplexity, perplexity(model, vocab))
    probabilities = ours.next_words("the", k=5)
    assert "<unk>" not in [found.word for found in probabilities]


def test_characters(place):
    vocab = sorted(set(TEXT))
    (place / "chars.json").write_text(json.dumps({char: id for id, char in enumerate(vocab)}))
    model = Model("LSTM", vocab=len(vocab))
    ours, notes = take_over(model, "chars.json")
    assert ours.tokenizer.kind == "chars"
    assert r"the end of a line is '\n'" in notes
    same(
        ours.evaluate(["text.txt"]).perplexity,
        perplexity(model, vocab, cut=list, eol="\n", start="\n"),
    )


def test_an_end_of_line_that_is_added_reads_as_nothing_and_is_never_predicted(place):
    vocab = [*WORDS, "<unk>"]
    (place / "vocab.txt").write_text("\n".join(vocab))
    model = Model("LSTM", vocab=len(vocab))
    ours, notes = take_over(model, add_eol=True)
    assert "the end of a line is added: it reads as nothing and is never predicted" in notes
    words = ["the", "cat", "sat"]
    with torch.no_grad():
        x = torch.cat([torch.zeros(1, 5), model.encoder.weight[[vocab.index(w) for w in words]]])
        expected = model.decoder(model.rnn(x)[0])[-1].softmax(0).numpy()
    logits = logits_after(ours, [ours.tokenizer.id(word) for word in words])
    powers = np.exp(logits - logits.max())
    assert powers[ours.tokenizer.eol_id] == 0
    back = [ours.tokenizer.id(token) for token in vocab]
    np.testing.assert_allclose((powers / powers.sum())[back], expected, rtol=1e-4)


def nested(state):
    return {"epoch": 3, "model_state_dict": state, "optimizer": {"lr": 0.1}}


WRAPPED = {
    "plain": lambda state: state,
    "nested": nested,
    "twice": lambda state: {"model": nested(state)},
    "module": lambda state: {f"module.{name}": w for name, w in state.items()},
    "compiled": lambda state: {"state_dict": {f"_orig_mod.{name}": w for name, w in state.items()}},
    "inside": lambda state: {f"net.lm.{name}": w for name, w in state.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_nests_and_prefixes(place, wrap):
    model = Model("GRU", layers=2)
    torch.save(wrap(model.state_dict()), "model.pt")
    ours, _ = import_pytorch("model.pt", "vocab.txt", "out")
    same(ours.evaluate(["text.txt"]).perplexity, perplexity(model))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_types_of_floats_in_both_formats(place, dtype):
    model = Model().to(dtype)
    save_file(model.state_dict(), "model.safetensors")
    one, _ = import_pytorch("model.safetensors", "vocab.txt", "one")
    two, _ = take_over(model)
    for name, weight in one.model.weights.items():
        np.testing.assert_array_equal(weight, two.model.weights[name])
    same(one.evaluate(["text.txt"]).perplexity, perplexity(model.float()))


def test_shared_weights_that_are_saved_once(place):
    model = Model(tied=True)
    state = model.state_dict()
    del state["decoder.weight"]
    save_file(state, "model.safetensors")
    ours, notes = import_pytorch("model.safetensors", "vocab.txt", "out")
    assert any("tied" in note for note in notes)
    same(ours.evaluate(["text.txt"]).perplexity, perplexity(model))


@pytest.mark.parametrize("names", ["rnns.0 rnns.1", "lstm1 lstm2", "layers.0.cell layers.1.cell"])
def test_layers_that_are_modules_of_their_own(place, names):
    model = Model(layers=2)
    first, second = names.split()
    torch.save(
        {
            name.replace("rnn.", f"{first}." if "_l0" in name else f"{second}.")
            .replace("_l1", "_l0"): weight
            for name, weight in model.state_dict().items()
        },
        "model.pt",
    )  # fmt: skip
    ours, _ = import_pytorch("model.pt", "vocab.txt", "out")
    assert ours.config.layers == 2
    same(ours.evaluate(["text.txt"]).perplexity, perplexity(model))


def test_parts_that_the_user_names(place):
    """Nothing but the user's word tells two matrices of one shape and no bias apart."""
    model = Model(hidden=5, decoder_bias=False)
    names = {"encoder.weight": "a.weight", "decoder.weight": "b.weight"}
    state = {names.get(name, name): weight for name, weight in model.state_dict().items()}
    more = {f"aside.{name}": w for name, w in nn.LSTM(2, 2).state_dict().items()}
    torch.save(state | more, "model.pt")
    with pytest.raises(Exception, match="--rnn"):
        import_pytorch("model.pt", "vocab.txt", "out")
    with pytest.raises(Exception, match=r"more than .* aside.weight_ih_l0"):
        import_pytorch("model.pt", "vocab.txt", "out", rnn="rnn", embedding="a", decoder="b")
    torch.save(state, "model.pt")
    with pytest.raises(Exception, match="--embedding"):
        import_pytorch("model.pt", "vocab.txt", "out")
    ours, _ = import_pytorch("model.pt", "vocab.txt", "out", embedding="a", decoder="b.weight")
    same(ours.evaluate(["text.txt"]).perplexity, perplexity(model))


def test_a_square_projection_is_only_taken_when_named(place):
    model = Model(middle=6)
    torch.save(model.state_dict(), "model.pt")
    with pytest.raises(Exception, match=r"more than .* middle\.bias, middle\.weight"):
        import_pytorch("model.pt", "vocab.txt", "out")
    ours, _ = import_pytorch("model.pt", "vocab.txt", "out", projection="middle")
    same(ours.evaluate(["text.txt"]).perplexity, perplexity(model))


def test_safetensors_are_taken_over_without_pytorch(place):
    save_file(Model().state_dict(), "model.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", """
import sys
sys.modules["torch"] = None  # as if it were not there
from carousel.cli import run
assert run("import pytorch model.safetensors --vocab vocab.txt --out out".split()) == 0
open("model.pt", "wb").close()
sys.exit(run("import pytorch model.pt --vocab vocab.txt --out out --force".split()))
"""], capture_output=True, text=True)  # fmt: skip
    assert "only PyTorch reads this format: pip install" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2
    assert LanguageModel.load("out").config.cell == "lstm"
