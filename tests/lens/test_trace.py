"""Traces: what the reference cell makes, by every name, and back from a file."""

import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from carousel.cells import CELLS, sigmoid
from carousel.errors import FolderError, LensError, TextError
from carousel.lens.trace import Trace, trace_texts
from front_door import parts, read_logits

TEXT = "the cat likes pizza but the dog likes pie"


@pytest.mark.parametrize("layers", [1, 3])
def test_the_lstms_values_are_those_of_its_equations(make_model, layers):
    model = make_model(layers=layers)
    trace = model.trace(TEXT)
    for layer in range(layers):
        i, f, g, o, c, h = (trace[name, layer].astype(np.float64) for name in "ifgoch")
        before = np.vstack([np.zeros_like(c[:1]), c[:-1]])
        np.testing.assert_allclose(c, f * before + i * g, atol=1e-6)
        np.testing.assert_allclose(h, o * np.tanh(c), atol=1e-6)
        np.testing.assert_allclose(trace["keep", layer], f * before, atol=1e-6)
        np.testing.assert_allclose(trace["write", layer], i * g, atol=1e-6)
        w = model.model.layers[layer]
        x = trace["h", layer - 1] if layer else model.model.weights["embedding.weight"][trace.ids]
        h_before = np.vstack([np.zeros_like(h[:1]), h[:-1]])
        pre = x @ w.weight_ih.T + w.bias_ih + h_before @ w.weight_hh.T + w.bias_hh
        np.testing.assert_allclose(i, sigmoid(pre[:, :6]), atol=1e-5)
        np.testing.assert_allclose(f, sigmoid(pre[:, 6:12]), atol=1e-5)


def test_hidden_states_equal_pytorchs(make_model):
    model = make_model("gru", layers=2)
    trace = model.trace(TEXT)
    net = torch.nn.GRU(5, 6, 2)
    for layer, weights in enumerate(model.model.layers):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            value = torch.from_numpy(getattr(weights, name))
            getattr(net, f"{name}_l{layer}").data = value
    with torch.no_grad():
        y, _ = net(torch.from_numpy(model.model.weights["embedding.weight"][trace.ids]))
    np.testing.assert_allclose(trace["hidden", 1], y.numpy(), atol=1e-5)
    z, n, h = trace["z", 0], trace["n", 0], trace["h", 0]
    before = np.vstack([np.zeros_like(h[:1]), h[:-1]])
    np.testing.assert_allclose(trace["keep", 0], z * before, atol=1e-6)
    np.testing.assert_allclose(trace["write", 0], (1 - z) * n, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_the_last_distribution_is_the_models_own(make_model, cell):
    model = make_model(cell, layers=2)
    trace = model.trace(TEXT)
    logits, _ = read_logits(model, model.tokenizer.encode(TEXT))
    np.testing.assert_allclose(trace.logits[-1], logits, atol=1e-5)
    np.testing.assert_allclose(trace.probabilities.sum(1), 1, rtol=1e-9)
    assert len(trace) == len(trace.words) == len(TEXT.split()) + 1
    assert trace.words[:2] == ["⏎", "the"]
    assert [len(row) for row in trace.next_words(2)] == [2] * len(trace)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_batch_is_its_texts_one_by_one(make_model, cell):
    model = make_model(cell, layers=2)
    texts = ["the cat", TEXT, "", "pizza and pie"]
    for text, trace in zip(texts, trace_texts(*parts(model), texts), strict=True):
        alone = model.trace(text)
        assert trace.words == alone.words
        for point, values in alone.values.items():
            np.testing.assert_allclose(trace.values[point], values, atol=1e-6)
    assert trace_texts(*parts(model), []) == []


def test_names_long_and_short(make_model):
    model = make_model()
    trace = model.trace(TEXT)
    for name in ("layers.0.forget", "layers.0.f", "forget", "f", ("forget", 0), ("f", -1)):
        np.testing.assert_array_equal(trace[name], trace.values["layers.0.f"])
    gru = make_model("gru").trace(TEXT)
    np.testing.assert_array_equal(gru["update"], gru["z"])
    np.testing.assert_array_equal(gru["candidate"], gru["n"])


@pytest.mark.parametrize(
    ("cell", "name", "said"),
    [
        ("lstm", "reset", r"the lstm cell has no 'reset'; there are forget \(f\), input \(i\)"),
        ("gru", "forget", r"the gru cell has no 'forget'; there are reset \(r\)"),
        ("rnn", "keep", r"the rnn cell has no 'keep'; there are hidden \(h\)$"),
        ("lstm", ("f", 2), "no layer 2; there are 0 to 1"),
        ("lstm", "layers.7.f", "no layer 7"),
        ("lstm", "layers.x.f", "gates are named like layers.0.f"),
        ("lstm", "forget", "which layer's forget"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(make_model, cell, name, said):
    with pytest.raises(LensError, match=said):
        make_model(cell, layers=2).trace("the cat")[name]


def test_a_filter_records_nothing_else(make_model):
    model = make_model(layers=2)
    trace = model.trace(TEXT, only=["forget", "layers.1.c"], logits=False)
    assert set(trace.values) == {"layers.0.f", "layers.1.f", "layers.1.c"}
    with pytest.raises(LensError, match=r"layers.0.c was not recorded; there are layers.0.f"):
        trace["c", 0]
    with pytest.raises(LensError, match="made without the distribution"):
        trace.next_words()
    with pytest.raises(LensError, match="no 'forgte'"):
        model.trace(TEXT, only=["forgte"])


def test_there_and_back_from_a_file(make_model, tmp_path):
    model = make_model()
    trace = model.trace(TEXT)
    trace.save(tmp_path / "t.safetensors")
    again = Trace.load(tmp_path / "t.safetensors")
    assert again.words == trace.words
    assert again.config == trace.config
    np.testing.assert_array_equal(again.logits, trace.logits)
    for point, values in trace.values.items():
        np.testing.assert_array_equal(again[point], values)
    with pytest.raises(LensError, match="give load"):
        again.next_words()
    assert Trace.load(tmp_path / "t.safetensors", *parts(model)).next_words() == trace.next_words()


def test_files_that_are_no_traces(make_model, tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "t.safetensors"
    with pytest.raises(FolderError, match="can't be read"):
        Trace.load(path)
    path.write_bytes(b"not at all")
    with pytest.raises(FolderError, match="can't be read as a trace"):
        Trace.load(path)
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(FolderError, match="not a trace"):
        Trace.load(path)
    trace = make_model().trace(TEXT)
    trace.values["layers.0.f"] = trace.values["layers.0.f"][:-1]
    trace.save(path)
    with pytest.raises(FolderError, match=r"layers.0.f .* does not belong"):
        Trace.load(path)


@pytest.mark.parametrize(("name", "dtype"), [("layers.0.f", np.float64), ("ids", np.int32)])
def test_a_trace_with_another_type_is_refused(make_model, tmp_path, name, dtype):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = tmp_path / "t.safetensors"
    make_model().trace(TEXT).save(path)
    with safe_open(path, framework="np") as file:
        about = file.metadata()
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(arrays | {name: arrays[name].astype(dtype)}, path, about)
    with pytest.raises(FolderError, match=f"{name} is of type {np.dtype(dtype).name}"):
        Trace.load(path)


def test_a_table_for_pandas(make_model, monkeypatch):
    trace = make_model().trace("the cat")
    pandas = pytest.importorskip("pandas")
    table = trace.to_dataframe()
    assert len(table) == 3 * 6 * 6
    row = table[(table.name == "f") & (table.position == 2) & (table.unit == 4)]
    assert row.value.item() == trace["f"][2, 4]
    assert row.word.item() == "cat"
    assert isinstance(table, pandas.DataFrame)


def test_without_pandas_it_says_so(make_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LensError, match="pip install pandas"):
        make_model().trace("the cat").to_dataframe()


def test_tokens_say_what_was_typed(make_model, tmp_path):
    lm = make_model("lstm")
    text = "The dog\nZYX likes"
    trace = lm.trace(text)
    tokens = trace.tokens
    assert [token.typed for token in tokens] == ["", "The", "dog", "\n", "ZYX", "likes"]
    assert [text[token.start : token.end] for token in tokens] == [token.typed for token in tokens]
    assert [token.known for token in tokens] == [word != "<unk>" for word in trace.words]
    assert not tokens[4].known

    trace.save(tmp_path / "trace.safetensors")
    loaded = Trace.load(tmp_path / "trace.safetensors")
    assert loaded.tokens == tokens
    assert loaded.text == text


@pytest.mark.parametrize(
    "tokens", ["[]", "3", "[[0,1]]", "[[0,0,true],[5,4,true]]", "[[0,0,true],[0,99,true]]"]
)
def test_saved_tokens_are_checked(make_model, tmp_path, tokens):
    trace = make_model("lstm").trace("the")
    trace.save(tmp_path / "trace.safetensors")
    with safe_open(tmp_path / "trace.safetensors", framework="np") as file:
        about, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(arrays, tmp_path / "wrong.safetensors", metadata=about | {"tokens": tokens})
    with pytest.raises(FolderError, match="tokens are not 2 places"):
        Trace.load(tmp_path / "wrong.safetensors")


def test_a_trace_without_its_text_says_so(make_model):
    trace = make_model("lstm").trace("the dog")
    bare = Trace(trace.config, trace.words, trace.ids, trace.values, None)
    assert not bare.knows_text
    with pytest.raises(LensError, match="does not know its text"):
        _ = bare.tokens


def test_what_is_no_text_and_no_name_is_refused_in_one_line(make_model):
    model = make_model()
    with pytest.raises(TextError, match="a text is a string, not NoneType"):
        model.trace(None)
    with pytest.raises(LensError, match=r"named like trace\['forget'\], not trace\[0\]"):
        model.trace(TEXT)[0]
