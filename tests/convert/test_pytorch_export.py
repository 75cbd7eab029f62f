"""State dicts for PyTorch: the module beside them gives our logits, and they come back."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from carousel.cells import CELLS
from carousel.cli import run
from carousel.convert.pytorch import import_pytorch
from carousel.convert.pytorch_export import export_pytorch
from carousel.errors import ConvertError, FolderError
from convert.variants import VARIANTS, make_variant

TOKENS = np.random.default_rng(0).integers(0, 20, (6, 3))


def load_module(path):
    """What ``load_model`` in the Python file gives."""
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load_model()


def logits(model, tokens=TOKENS):
    reading = model.model.read(tokens, model.model.initial_state(tokens.shape[1]))
    return model.model.logits(reading.hidden)


@pytest.mark.parametrize(("cell", "layers", "decoder"), VARIANTS)
def test_both_ways(cell, layers, decoder, make_model, tmp_path):
    model = make_variant(make_model, cell, layers, decoder)
    model.save(tmp_path / "m")
    export_pytorch(tmp_path / "m", tmp_path / "x.safetensors")
    theirs = load_module(tmp_path / "x.py")
    lines = (tmp_path / "x.py").read_text().splitlines()
    # Standard layers and decoders take 20 lines; clusters five more. Cells that PyTorch has no
    # layer for are written out.
    written_out = "peephole" in cell or cell == "gru-reset-before"
    most = 20 + 22 * written_out + 5 * ("adaptive" in decoder)
    assert sum(bool(line.strip()) for line in lines) <= most
    assert all(len(line) <= 100 for line in lines)
    with torch.no_grad():
        first, state = theirs(torch.tensor(TOKENS[:2]))
        second, state = theirs(torch.tensor(TOKENS[2:]), state)
    expected = logits(model)
    np.testing.assert_allclose(torch.cat([first, second]), expected, rtol=0, atol=1e-5)
    reading = model.model.read(TOKENS, model.model.initial_state(3))
    parts = state if isinstance(state, tuple) else (state,)
    for ours, part in zip(reading.state, parts, strict=True):
        np.testing.assert_allclose(part, ours, rtol=0, atol=1e-5)

    named = cell if cell == "gru-reset-before" else None
    vocab = tmp_path / "x.tokenizer.json"
    back, _ = import_pytorch(tmp_path / "x.safetensors", vocab, tmp_path / "back", cell=named)
    assert back.tokenizer.to_json() == model.tokenizer.to_json()
    config, given = back.config, model.config
    # Coupled gates are an LSTM in PyTorch; a tied adaptive softmax is one that is not.
    assert config.cell == cell.replace("cifg", "lstm")
    assert config.tied == (given.tied and not given.cutoffs)
    assert (config.layers, config.cutoffs) == (layers, given.cutoffs)
    np.testing.assert_allclose(logits(back), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_each_line_may_be_a_text_of_its_own(cell, make_model, tmp_path):
    model = make_model(cell, layers=2, scale=0.5, carry_state=False)
    model.save(tmp_path / "m")
    export_pytorch(tmp_path / "m", tmp_path / "x.safetensors")
    theirs = load_module(tmp_path / "x.py")
    tokens = np.array([[1, 5], [7, 9], [1, 3], [1, 1], [2, 8], [6, 1], [4, 4]])
    with torch.no_grad():
        first, state = theirs(torch.tensor(tokens[:2]))
        second, _ = theirs(torch.tensor(tokens[2:]), state)
    expected = logits(model, tokens)
    np.testing.assert_allclose(torch.cat([first, second]), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_pytorchs_own_format_and_no_biases(cell, make_model, tmp_path):
    model = make_model(cell, biases=False, layers=2, scale=0.5)
    model.save(tmp_path / "m")
    export_pytorch(tmp_path / "m", tmp_path / "x.pt")
    with torch.no_grad():
        theirs, _ = load_module(tmp_path / "x.py")(torch.tensor(TOKENS))
    np.testing.assert_allclose(theirs, logits(model), rtol=0, atol=1e-5)
    assert all(type(w) is torch.Tensor for w in torch.load(tmp_path / "x.pt").values())


def test_a_tied_matrix_is_stored_once(make_model, tmp_path):
    model = make_model(tied=True, embedding_size=6)
    model.save(tmp_path / "m")
    export_pytorch(tmp_path / "m", tmp_path / "x.safetensors")
    assert "decoder.weight" not in load_file(tmp_path / "x.safetensors")


def test_the_command(make_model, tmp_path, capsys, monkeypatch):
    make_model().save(tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    assert run(["export", "pytorch", "m", "--out", "x.safetensors", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    size = (tmp_path / "x.safetensors").stat().st_size
    assert told == {"file": "x.safetensors", "format": "pytorch", "bytes": size}
    assert run(["export", "pytorch", "m", "--out", "x.safetensors"]) == 2
    assert "x.safetensors exists and is kept" in capsys.readouterr().err
    assert run(["export", "pytorch", "m", "--out", "x.safetensors", "--force"]) == 0
    assert "Saved in x.safetensors" in capsys.readouterr().out
    assert run(["export", "pytorch", "m", "--out", "y.pt", "--gates"]) == 2
    assert "pytorch has no option --gates" in capsys.readouterr().err
    assert run(["export", "onnx", "stories-gru", "--out", "g.onnx", "--gates"]) == 0
    assert run(["export", "onnx", "stories-gru", "--out", "i.onnx", "--to", "int8"]) == 0
    assert (tmp_path / "i.onnx").stat().st_size < (tmp_path / "g.onnx").stat().st_size


def test_what_is_beside_is_kept(make_model, tmp_path):
    make_model().save(tmp_path / "m")
    (tmp_path / "x.py").write_text("mine")
    with pytest.raises(FolderError, match=r"x\.py exists and is kept"):
        export_pytorch(tmp_path / "m", tmp_path / "x.safetensors")
    assert (tmp_path / "x.py").read_text() == "mine"
    assert not (tmp_path / "x.safetensors").exists()


def test_other_files_are_refused(make_model, tmp_path):
    make_model().save(tmp_path / "m")
    with pytest.raises(ConvertError, match=r"must end in \.safetensors, or in \.pt"):
        export_pytorch(tmp_path / "m", tmp_path / "x.bin")
