"""PyTorch models as people keep them: nested, in other shapes, with other vocabularies."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from carousel.convert.pytorch import import_pytorch
from carousel.errors import ConvertError

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "to", "he", "likes", "pizza"]
VOCAB = [*WORDS, "<eos>", "<unk>"]
V = len(VOCAB)
TEXT = [VOCAB.index(word) for word in ["<eos>", "the", "cat", "sat", "on", "a", "mat"]]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    (tmp_path / "vocab.json").write_text(json.dumps(VOCAB))


class Model(nn.Module):
    def __init__(self, kind="LSTM", hidden=6):
        super().__init__()
        self.encoder = nn.Embedding(V, 5)
        self.rnn = getattr(nn, kind)(5, hidden)
        self.decoder = nn.Linear(hidden, V)

    def forward(self, ids):
        return self.decoder(self.rnn(self.encoder(ids))[0])


def same(ours, expected, vocab=VOCAB):
    """Our logits after the text are ``expected [V]``, by the foreign vocabulary's rows."""
    session = ours.session()
    session.feed([ours.tokenizer.id(vocab[id]) for id in TEXT[1:]])
    rows = [ours.tokenizer.id(token) for token in vocab]
    expected = expected.detach().numpy()
    np.testing.assert_allclose(session.logits[rows], expected, rtol=1e-4, atol=1e-5)


def logits(model):
    return model(torch.tensor(TEXT)[:, None])[-1, 0]


def take_over(held, vocab="vocab.json", **options):
    torch.save(held, "model.pt")
    return import_pytorch("model.pt", vocab, "out", force=True, **options)


# 20: wherever the tensors are


def lightning(state):
    return {
        "epoch": 3,
        "state_dict": {**{f"model.{name}": w for name, w in state.items()},
                       "criterion.weight": torch.ones(V)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(V, 5)}}}],
        "lr_schedulers": [{"last_epoch": 3}],
        "callbacks": {"best": {"score": torch.ones(1)}},
    }  # fmt: skip


HELD = {
    "under a name": lambda state: {"net": state},
    "in a list": lambda state: [state, {"epoch": 3}],
    "in a list in a dict": lambda state: {"models": [state], "args": {"lr": 0.1}},
    "Lightning's": lightning,
    "beside an optimizer's": lambda state: {
        "generator": state, "optim": {"state": {"m": torch.ones(V, 5)}}},
    "deep": lambda state: {"a": {"b": {"c": {"d": state}}}},
}  # fmt: skip


@pytest.mark.parametrize("hold", HELD.values(), ids=HELD)
def test_the_tensors_are_found_wherever_they_are(hold):
    model = Model("GRU")
    ours, notes = take_over(hold(model.state_dict()))
    same(ours, logits(model))
    left = [note for note in notes if "belongs to the training" in note]
    assert left == (
        ["left out, as it belongs to the training: criterion.weight"] if hold is lightning
        else []
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("m.pt", b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
        ("m.bin", b"\n<html>404</html>", "a web page"),
        ("m.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        ("m.h5", b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file"),
        ("m.onnx", b"\x08\x07\x12\x07pytorch", "an ONNX graph"),
        ("m.gguf", b"GGUF\x03\0\0\0", "a GGUF file"),
        ("config.json", b'{"hidden_size": 3}', "JSON"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConvertError) as error:
        import_pytorch(name, "vocab.json", "out")
    assert f"{name} is " in str(error.value)
    assert kind in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tensor", ["meta", "float8", "aliases"])
def test_tensors_that_claim_or_hold_other_things(tensor):
    state = Model().state_dict()
    if tensor == "meta":
        state["decoder.weight"] = torch.empty(V, 6, device="meta")
    elif tensor == "float8":
        state["decoder.weight"] = state["decoder.weight"].to(torch.float8_e4m3fn)
    else:
        large = torch.ones(1000, 50)
        state |= {f"x{number}": large for number in range(300)}
    with pytest.raises(ConvertError, match=r"not an ordinary float|a meta tensor|times the file"):
        take_over(state)


# 21: other shapes


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_one_hot_inputs(kind):
    rnn, decoder = getattr(nn, kind)(V, 6), nn.Linear(6, V)
    x = nn.functional.one_hot(torch.tensor(TEXT), V).float()[:, None]
    state = {**{f"rnn.{n}": w for n, w in rnn.state_dict().items()},
             **{f"fc.{n}": w for n, w in decoder.state_dict().items()}}  # fmt: skip
    ours, notes = take_over(state)
    assert any("one-hot" in note for note in notes)
    same(ours, decoder(rnn(x)[0])[-1, 0])


@pytest.mark.parametrize("copy", ["alone", "beside", "in a module beside"])
def test_weight_drop(copy):
    model = Model()
    state = model.state_dict()
    raw = state.pop("rnn.weight_hh_l0")
    state["rnn.weight_hh_l0_raw"] = raw
    if copy != "alone":
        dropped = nn.functional.dropout(raw, 0.5)
        state["rnn.module.weight_hh_l0" if "module" in copy else "rnn.weight_hh_l0"] = dropped
    same(take_over(state)[0], logits(model))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("names", ["cells.0 cells.1", "cell1 cell2"])
def test_stacks_of_cells(kind, names):
    cells = [getattr(nn, f"{kind}Cell")(width, 6) for width in (5, 6)]
    stacked = Model(kind)
    stacked.rnn = getattr(nn, kind)(5, 6, 2)
    state = {n: w for n, w in stacked.state_dict().items() if not n.startswith("rnn.")}
    for layer, (cell, name) in enumerate(zip(cells, names.split(), strict=True)):
        for weight, value in cell.state_dict().items():
            state[f"{name}.{weight}"] = value
            stacked.rnn.state_dict()[f"{weight}_l{layer}"].copy_(value)
    ours, _ = take_over(state)
    assert ours.config.layers == 2
    same(ours, logits(stacked))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("sizes", [(7, 9, 5), (4, 3), (3, 8)])
@pytest.mark.parametrize("tied", [True, False])
def test_layers_of_different_sizes(kind, sizes, tied):
    widths = (sizes[-1] if tied else 5, *sizes)
    layers = [getattr(nn, kind)(a, b) for a, b in zip(widths, sizes, strict=False)]
    embedding, decoder = nn.Embedding(V, widths[0]), nn.Linear(sizes[-1], V)
    if tied:
        decoder.weight = embedding.weight
    x = embedding(torch.tensor(TEXT))[:, None]
    state = {"embedding.weight": embedding.weight,
             **{f"decoder.{n}": w for n, w in decoder.state_dict().items()}}  # fmt: skip
    for number, layer in enumerate(layers):
        x = layer(x)[0]
        state |= {f"rnns.{number}.{name}": w for name, w in layer.state_dict().items()}
    ours, notes = take_over(state)
    assert any("filled up" in note for note in notes)
    assert ours.config.tied == tied
    same(ours, decoder(x)[-1, 0])


def test_an_embedding_with_a_row_more():
    model = Model()
    expected = logits(model)
    state = model.state_dict()
    state["encoder.weight"] = torch.cat([state["encoder.weight"], torch.zeros(1, 5)])
    ours, notes = take_over(state)
    assert any("last row of encoder.weight is left out" in note for note in notes)
    same(ours, expected)


# 22: vocabularies

FORMS = {
    "ids to tokens": {str(id): token for id, token in enumerate(VOCAB)},
    "word2idx": {"word2idx": {token: id for id, token in enumerate(VOCAB)}},
    "both ways": {"idx2word": VOCAB, "word2idx": {token: id for id, token in enumerate(VOCAB)}},
    "itos": {"itos": VOCAB},
    "under a name": {"dictionary": 1, "vocab": {"itos": VOCAB}},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_forms_of_vocabularies(tmp_path, form):
    (tmp_path / "v.json").write_text(json.dumps(form))
    model = Model()
    same(take_over(model.state_dict(), "v.json")[0], logits(model))


@pytest.mark.parametrize("gap", [" ", "\t", "   "])
def test_counts_after_the_tokens(tmp_path, gap):
    lines = [f"{token}{gap}{1000 - 7 * id}" for id, token in enumerate(VOCAB)]
    (tmp_path / "v.txt").write_text("\n".join(lines) + "\n")
    model = Model()
    ours, notes = take_over(model.state_dict(), "v.txt")
    assert any("its count" in note for note in notes)
    same(ours, logits(model))


@pytest.mark.parametrize(
    "form",
    [
        {"vocab": VOCAB},
        {"hparams": {"word2idx": {token: id for id, token in enumerate(VOCAB)}}},
        {"dictionary": {"idx2word": dict(enumerate(VOCAB))}},
    ],
)
def test_the_vocabulary_in_the_checkpoint_itself(form):
    model = Model()
    ours, _ = take_over({"state_dict": model.state_dict(), **form}, vocab=None)
    same(ours, logits(model))


@pytest.mark.parametrize(
    "form", [VOCAB, tuple(VOCAB), {token: id for id, token in enumerate(VOCAB)}, FORMS["itos"]]
)
def test_vocabularies_that_torch_saved(form):
    torch.save(form, "vocab.pt")
    model = Model()
    same(take_over(model.state_dict(), "vocab.pt")[0], logits(model))


class Vocab:
    """A vocabulary of a library's own class, as torchtext pickles it."""

    def __init__(self):
        self.itos = VOCAB


def test_vocabularies_that_are_objects_are_not_unpickled():
    torch.save(Vocab(), "vocab.pt")
    Path("vocab.pkl").write_bytes(pickle.dumps(Vocab()))
    for name in ("vocab.pt", "vocab.pkl"):
        with pytest.raises(ConvertError, match=f"{name} is a pickle of objects.*get_itos"):
            take_over(Model().state_dict(), name)


def test_a_checkpoint_without_a_vocabulary():
    with pytest.raises(ConvertError, match="holds no vocabulary: name a file with --vocab"):
        take_over(Model().state_dict(), vocab=None)
