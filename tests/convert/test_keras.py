"""Keras models, made by Keras itself on PyTorch: the same probabilities; bad files in one line."""

import contextlib
import io
import json
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest

from carousel.cli import run
from carousel.convert.keras import import_keras
from carousel.errors import CarouselError
from carousel.softmax import softmax

h5py = pytest.importorskip("h5py")
# Keras's variables do not know NumPy 2's "copy" yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    """Keras 3 with its settings in a folder of the test's own."""
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ["KERAS_HOME"] = str(tmp_path_factory.mktemp("keras"))
    pytest.importorskip("keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras

    return keras


WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran"]
V = len(WORDS) + 2
"""The padding, the words, and ``<OOV>``."""
FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def tokenizer_json(words=("<OOV>", *WORDS), **changes):
    """What ``Tokenizer.to_json()`` of Keras 2 writes: tables inside are JSON in strings."""
    index = {word: id for id, word in enumerate(words, start=1)}
    config = {
        "num_words": None, "filters": FILTERS, "lower": True, "split": " ", "char_level": False,
        "oov_token": "<OOV>", "document_count": 3, "word_counts": "{}", "word_docs": "{}",
        "index_docs": "{}", "index_word": json.dumps({id: word for word, id in index.items()}),
        "word_index": json.dumps(index),
    }  # fmt: skip
    return json.dumps({"class_name": "Tokenizer", "config": config | changes})


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tok.json").write_text(tokenizer_json())
    return tmp_path


def build(keras, kind="LSTM", units=(6,), *, window=None, mask=False, dense=(), all_words=False,
          rows=V, functional=False, **options):  # fmt: skip
    layers = keras.layers
    stack = [layers.Embedding(rows, 5, mask_zero=mask), layers.Dropout(0.2)]
    for number, size in enumerate(units):
        more = all_words or number < len(units) - 1
        stack.append(getattr(layers, kind)(size, return_sequences=more, **options))
    stack += [*dense, layers.Dense(rows, activation="softmax")]
    given = keras.Input((window,))
    if functional:
        x = given
        for layer in stack:
            x = layer(x)
        model = keras.Model(given, x)
    else:
        model = keras.Sequential([given, *stack])
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(scale=0.5, size=w.shape) for w in model.get_weights()])
    return model


def save(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HDF5 is legacy
        model.save(path)


def take_over(model, path="m.keras", vocab="tok.json", **options):
    save(model, path)
    return import_keras(path, vocab, "out", force=True, **options)


def same(ours, model, window, texts=("the cat sat", "a dog", "the cat, and the DOG! sat on a mat")):
    """Our probabilities with a window are Keras's own, row by row."""
    from carousel.predict.next_words import read_window

    ids = {"": 0, "<OOV>": 1} | {word: id for id, word in enumerate(WORDS, start=2)}
    by_row = [ours.tokenizer.id(word) for word in WORDS]
    for text in texts:
        cut = "".join(" " if c in FILTERS else c for c in text.lower()).split()
        given = [ids.get(word, 1) for word in cut][-window:]
        padded = np.array([[0] * (window - len(given)) + given])
        expected = np.asarray(model.predict(padded, verbose=0))[0]
        expected = expected[-1] if expected.ndim == 2 else expected
        core = ours.model
        hidden, _ = read_window(core, ours.tokenizer, ours.tokenizer.encode(text), window)
        probabilities = softmax(core.logits(hidden))
        np.testing.assert_allclose(probabilities[by_row], expected[2:], rtol=0, atol=1e-5)
        # What the front door gives is that, in order.
        best = ours.next_words(text, k=3, window=window)
        order = np.argsort(-expected[2:])[:3]
        assert [p.word for p in best] == [WORDS[n] for n in order]
        np.testing.assert_allclose(
            [p.probability for p in best], expected[2:][order], rtol=0, atol=1e-5
        )


CELLS = {
    "SimpleRNN": ("SimpleRNN", {}, "rnn"),
    "GRU": ("GRU", {}, "gru"),
    "GRU of the paper": ("GRU", {"reset_after": False}, "gru-reset-before"),
    "LSTM": ("LSTM", {}, "lstm"),
    "LSTM without biases": ("LSTM", {"use_bias": False}, "lstm"),
    "GRU without biases": ("GRU", {"use_bias": False}, "gru"),
}


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("units", [(6,), (6, 6), (4, 7, 5)])
@pytest.mark.parametrize(("kind", "options", "cell"), CELLS.values(), ids=CELLS)
def test_the_same_probabilities(kind, options, cell, units, suffix, keras, place):
    model = build(keras, kind, units, window=6, **options)
    ours, notes = take_over(model, f"m.{suffix}")
    assert (ours.config.cell, ours.config.layers) == (cell, len(units))
    assert any("windows of 6" in note and "--window 6" in note for note in notes)
    same(ours, model, 6)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("functional", [False, True])
def test_layers_around_and_forms_of_models(functional, suffix, keras, place):
    layers = keras.layers
    model = build(keras, dense=[layers.Dense(4), layers.Dropout(0.1)], functional=functional)
    ours, notes = take_over(model, f"m.{suffix}")
    assert ours.config.projection_size == 4
    assert any("--window N" in note for note in notes)
    same(ours, model, 9)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_dense_layer_at_every_word(suffix, keras, place):
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((None,)), layers.Embedding(V, 5), layers.GRU(6, return_sequences=True),
        layers.TimeDistributed(layers.Dense(V)), layers.Activation("softmax"),
    ])  # fmt: skip
    same(take_over(model, f"m.{suffix}")[0], model, 5)


def test_layers_whose_names_go_another_way_than_their_order(keras, place):
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((None,)), layers.Embedding(V, 5),
        layers.LSTM(6, return_sequences=True, name="lstm_1"), layers.LSTM(6, name="lstm"),
        layers.Dense(V, activation="softmax"),
    ])  # fmt: skip
    same(take_over(model)[0], model, 5)


def test_padding_that_is_masked_is_not_read(keras, place):
    model = build(keras, mask=True)
    ours, notes = take_over(model)
    assert any("skips the padding" in note for note in notes)
    assert "<mask>" in ours.tokenizer.tokens()
    same(ours, model, 6)


def test_the_window_on_the_command_line(keras, place, capsys):
    model = build(keras, window=4)
    save(model, "m.keras")
    assert run(["import", "keras", "m.keras", "--vocab", "tok.json", "--out", "out"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "predict --window 4 gives Keras's own numbers" in printed
    assert run(["predict", "out", "the cat", "-k", "1", "--window", "4", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["predictions"]
    expected = np.asarray(model.predict(np.array([[0, 0, 2, 3]]), verbose=0))[0]
    assert answer["word"] == WORDS[int(np.argmax(expected[2:]))]
    assert answer["probability"] == pytest.approx(expected[2:].max(), abs=1e-5)
    (place / "lines.txt").write_text("the cat\n")
    assert (
        run(["predict", "out", "--input", "lines.txt", "-k", "1", "--window", "4", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["predictions"] == [answer]


# Vocabularies


def test_texts_are_cut_as_keras_cuts_them(keras, place):
    ours, _ = take_over(build(keras))
    assert ours.tokenizer.encode("The CAT-mat,\tsat...on!") == ours.tokenizer.encode(
        "the cat mat sat on"
    )
    assert ours.tokenizer.id("the") in ours.tokenizer.encode("(the)")
    assert ours.tokenizer.encode("zebra") == [0]


def test_rows_that_no_word_has_are_kept(keras, place):
    (place / "tok.json").write_text(tokenizer_json(num_words=6))
    model = build(keras)
    ours, notes = take_over(model)
    assert "rows that no word has: 5; they are kept, so that nothing changes" in notes
    assert ours.config.vocab_size == V
    assert ours.tokenizer.id("mat") is None
    expected = np.asarray(model.predict(np.array([[0, 2, 3]]), verbose=0))[0]
    (best,) = (p for p in ours.next_words("the cat", k=4, window=3) if p.word == "the")
    assert best.probability == pytest.approx(expected[2], abs=1e-5)


def test_a_tokenizer_without_a_token_for_unknown_words(keras, place):
    (place / "tok.json").write_text(tokenizer_json(["<OOV>", *WORDS], oov_token=None))
    _, notes = take_over(build(keras))
    assert any("Keras leaves unknown words out" in note for note in notes)
    assert "the unknown word is added: it reads as nothing and is never predicted" in notes


def test_characters(keras, place):
    chars = list("\n abcdefgh")
    (place / "tok.json").write_text(tokenizer_json(chars, char_level=True, oov_token=None))
    model = build(keras)
    ours, _ = take_over(model)
    assert ours.tokenizer.kind == "chars"
    ids = ours.tokenizer.encode("A bad\n")
    assert [ours.tokenizer.token(id) for id in ids] == ["a", " ", "b", "a", "d", "<eos>"]


@pytest.mark.parametrize("form", ["list", "lines", "config"])
def test_the_vocabulary_of_a_text_vectorization(form, keras, place):
    vocabulary = ["", "[UNK]", *WORDS]
    name = "v.txt" if form == "lines" else "v.json"
    text = {
        "list": json.dumps(vocabulary),
        "lines": "\n".join(vocabulary) + "\n",
        "config": json.dumps({"class_name": "TextVectorization", "config": {
            "standardize": "lower_and_strip_punctuation", "split": "whitespace",
            "vocabulary": vocabulary}}),
    }[form]  # fmt: skip
    (place / name).write_text(text)
    model = build(keras)
    ours, _ = take_over(model, vocab=name)
    same(ours, model, 5, texts=("the cat sat", "zebra on a mat"))
    # Punctuation is taken out, and no space is put in its place.
    assert ours.tokenizer.encode("ca-t. The!") == ours.tokenizer.encode("cat the")


def test_a_plain_list_of_tokens(keras, place):
    (place / "v.json").write_text(json.dumps(["<pad>", "<unk>", *WORDS]))
    model = build(keras)
    ours, _ = take_over(model, vocab="v.json")
    assert ours.tokenizer.kind == "whitespace"


# Models that can't be taken over


def refused(path, *said, vocab="tok.json"):
    with pytest.raises(CarouselError) as caught:
        import_keras(path, vocab, "refused")
    for part in (str(path), *said):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not os.path.exists("refused")


def dense(layers, **options):
    return layers.Dense(V, activation="softmax", **options)


OTHERS = {
    "both ways": (
        lambda k: [k.Embedding(V, 5), k.Bidirectional(k.LSTM(4)), dense(k)],
        "reads the words to be predicted"),
    "a convolution": (
        lambda k: [k.Embedding(V, 5), k.Conv1D(4, 2), k.LSTM(4), dense(k)], "Conv1D"),
    "an attention": (
        lambda k: [k.Embedding(V, 5), k.LSTM(4, return_sequences=True),
                   k.GlobalAveragePooling1D(), dense(k)], "GlobalAveragePooling1D"),
    "a flat window": (
        lambda k: [k.Embedding(V, 5), k.LSTM(4, return_sequences=True), k.Flatten(), dense(k)],
        "window of fixed length"),
    "backwards": (
        lambda k: [k.Embedding(V, 5), k.LSTM(4, go_backwards=True), dense(k)], "go_backwards=True"),
    "relu": (
        lambda k: [k.Embedding(V, 5), k.SimpleRNN(4, activation="relu"), dense(k)],
        "activation=relu, not tanh"),
    "hard gates": (
        lambda k: [k.Embedding(V, 5), k.LSTM(4, recurrent_activation="hard_sigmoid"), dense(k)],
        "recurrent_activation=hard_sigmoid"),
    "a relu between": (
        lambda k: [k.Embedding(V, 5), k.LSTM(4), k.Dense(4, activation="relu"), dense(k)],
        "activation relu"),
    "two cells": (
        lambda k: [k.Embedding(V, 5), k.LSTM(4, return_sequences=True), k.GRU(4), dense(k)],
        "several cells (lstm, gru)"),
    "sigmoids": (
        lambda k: [k.Embedding(V, 5), k.LSTM(4), k.Dense(V, activation="sigmoid")], "sigmoid"),
    "fewer words out": (
        lambda k: [k.Embedding(V, 5), k.LSTM(4), k.Dense(V - 1, activation="softmax")],
        "has 11 rows, but the last Dense layer 10"),
    "no decoder": (lambda k: [k.Embedding(V, 5), k.LSTM(4)], "0 Dense layers"),
    "no embedding": (lambda k: [k.LSTM(4), dense(k)], "begins with LSTM"),
    "fewer rows than words": (
        lambda k: [k.Embedding(5, 5), k.LSTM(4), k.Dense(5, activation="softmax")],
        "words up to id 10, but the Embedding has 5 rows"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(("stack", "said"), OTHERS.values(), ids=OTHERS)
def test_what_can_not_be_represented_is_refused(stack, said, suffix, keras, place):
    layers = stack(keras.layers)
    window = (3, 5) if layers[0].__class__.__name__ == "LSTM" else (3,)
    save(keras.Sequential([keras.Input(window), *layers]), f"m.{suffix}")
    refused(f"m.{suffix}", said)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_model_that_branches_is_refused(suffix, keras, place):
    layers = keras.layers
    given = keras.Input((None,))
    x = layers.Embedding(V, 4)(given)
    y = layers.Add(name="sum")([x, layers.LSTM(4, return_sequences=True)(x)])
    save(keras.Model(given, layers.Dense(V, activation="softmax")(y)), f"m.{suffix}")
    refused(f"m.{suffix}", "only layers that follow each other")


# Files that lie


@pytest.fixture
def saved(keras, place):
    """The parts of a small model that Keras saved."""
    model = build(keras)
    save(model, "m.keras")
    save(model, "m.h5")
    with zipfile.ZipFile("m.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(files, path="bad.keras", how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


class Bomb:
    def __reduce__(self):
        return open, ("marker", "w")


def test_pickles_are_not_run(saved, place):
    pack(saved | {"model.weights.h5": pickle.dumps(Bomb())})
    refused("bad.keras")
    (place / "bad.h5").write_bytes(pickle.dumps(Bomb()))
    refused("bad.h5", "neither")
    with h5py.File("m.h5", "r+") as file:
        layer = file["model_weights"].attrs["layer_names"][-1]
        name = f"model_weights/{layer}/" + file[f"model_weights/{layer}"].attrs["weight_names"][0]
        del file[name]
        file[name] = np.void(pickle.dumps(Bomb()))
    refused("m.h5", "no array of floats")
    assert not os.path.exists("marker")


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_zip_bombs(member, saved, place):
    pack(saved | {member: bytes(200_000_000)}, how=zipfile.ZIP_DEFLATED)
    assert os.path.getsize("bad.keras") < 300_000
    refused("bad.keras", "many times the file's size")


def edit(data, change):
    file = io.BytesIO(data)
    with h5py.File(file, "r+") as opened:
        change(opened)
    return file.getvalue()


def replace(**options):
    def change(file):
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", **options)

    return change


def link(kind):
    def change(file):
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = kind

    return change


HDF5 = {
    "an empty claim of a terabyte": (
        replace(shape=(10**6, 10**6), dtype="f4", chunks=(100, 100)), "claims to be many times"),
    "zeros that are packed": (
        replace(data=np.zeros((6, 10**6), "f4"), compression="gzip"), "claims to be many times"),
    "another shape": (replace(data=np.zeros((7, V), "f4")), "does not go with the other sizes"),
    "a vector": (replace(data=np.zeros(6, "f4")), "no matrices"),
    "whole numbers": (replace(data=np.zeros((6, V), "i4")), "no array of floats"),
    "not finite": (replace(data=np.full((6, V), np.nan, "f4")), "not finite"),
    "another file's data": (
        replace(shape=(6, V), dtype="f4", external=[("/etc/passwd", 0, 4 * 6 * V)]),
        "lies in another file"),
    "a link to another file": (link(h5py.ExternalLink("m.h5", "/")), "a link to somewhere else"),
    "a link inside": (link(h5py.SoftLink("/layers/dense/vars/1")), "a link to somewhere else"),
    "a layer that is gone": (lambda file: file.__delitem__("layers/lstm"), "has 0 weights"),
    "a weight that is gone": (
        lambda file: file.__delitem__("layers/lstm/cell/vars/1"), "no array of floats"),
    "another layer's weights": (
        lambda file: file["layers/lstm/vars"].attrs.__setitem__("name", "x"), "are of 'x', not"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), HDF5.values(), ids=HDF5)
def test_weights_that_lie(change, said, saved, place):
    data = edit(saved["model.weights.h5"], change)
    # Beside more data, so that a claim is judged by what it claims alone.
    pack(saved | {"model.weights.h5": data})
    refused("bad.keras", said)


CONFIGS = {
    "no JSON": (b"{", "is not JSON"),
    "a list": (b"[1]", "not a Sequential or Functional model"),
    "another class": (b'{"class_name": "Lambda"}', "a 'Lambda'"),
    "no layers": (b'{"class_name": "Sequential", "config": {"layers": []}}', "lists no layers"),
    "layers that are none": (
        b'{"class_name": "Sequential", "config": {"layers": [5]}}',
        "not a file that Keras wrote",
    ),
    "a layer of no name": (
        b'{"class_name": "Sequential", "config": {"layers": [{"config": {}}]}}',
        "has no name",
    ),
    "nested without end": (b"[" * 100_000, "is not JSON"),
}


@pytest.mark.parametrize(("config", "said"), CONFIGS.values(), ids=CONFIGS)
def test_configurations_that_lie(config, said, saved, place):
    pack(saved | {"config.json": config})
    refused("bad.keras", said)
    with h5py.File("m.h5", "r+") as file:
        file.attrs["model_config"] = config if len(config) < 60_000 else b"["
    refused("m.h5", said)


@pytest.mark.parametrize("path", ["m.keras", "m.h5"])
def test_files_that_are_cut_short_or_changed(path, saved, place):
    data = (place / path).read_bytes()
    bad = place / f"bad.{path.split('.')[1]}"
    for size in [0, 3, *range(5, len(data) - 1, len(data) // 40)]:
        bad.write_bytes(data[:size])
        refused(bad)
    rng = np.random.default_rng(0)
    for _ in range(60):  # a changed byte is one line, or a number that nobody can check
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
        bad.write_bytes(changed)
        with contextlib.suppress(CarouselError):
            import_keras(bad, "tok.json", "maybe", force=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"word_index": "{"}, "is not JSON"),
        ({"word_index": '{"the": "x"}'}, "no table of words"),
        ({"split": ","}, "split at ','"),
        ({"oov_token": "zebra"}, "'zebra' is not in the vocabulary"),
        ({"word_index": '{"<unk>": 1, "a": 2}', "oov_token": None}, "there twice"),
    ],
)
def test_tokenizers_that_lie(changes, said, saved, place):
    (place / "tok.json").write_text(tokenizer_json(**changes))
    refused("m.keras", said)


def test_without_h5py_one_line_says_so(saved, place, monkeypatch):
    monkeypatch.setattr("carousel.convert.keras_file.find_spec", lambda name: None)
    with pytest.raises(CarouselError, match=r"pip install 'carousel-lstm\[keras\]'"):
        import_keras("m.keras", "tok.json", "refused")
