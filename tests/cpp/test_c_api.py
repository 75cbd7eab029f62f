"""The library for C gives Python's numbers, and refuses what is wrong with one line."""

import ctypes
import itertools
import json
import os
import shutil
import subprocess
import threading
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carousel.cells import CELLS
from carousel.engine.decoder import Decoder
from carousel.errors import CarouselError
from carousel.model import LanguageModel
from carousel.storage.model_folder import read_folder, write_folder
from carousel.storage.number_formats import DTYPES, cast_weights
from cpp.c_model import CError, CModel, opened, pointer

VARIANTS = {
    "plain": {},
    "projected": {"projection_size": 3},
    "tied": {"tied": True},
    "adaptive": {"cutoffs": (8, 14), "tail_sizes": (4, 2)},
    "adaptive tied": {"tied": True, "cutoffs": (8, 14), "tail_sizes": (5, 5)},
    "without biases": {"biases": False},
}
TOKENS = [1, 2, 9, 5, 17, 0, 3]


@pytest.fixture(scope="module")
def make_folder(make_model, tmp_path_factory):
    """A function that writes a random model's folder in a number format."""

    def make(dtype="float32", **sizes):
        model = make_model(**sizes)
        config = model.config.__class__(**{**vars(model.config), "dtype": dtype})
        weights = {name: model.model.weights[name] for name in config.weight_shapes()}
        folder = tmp_path_factory.mktemp("model") / "folder"
        write_folder(folder, config, cast_weights(weights, dtype), model.tokenizer)
        return folder

    return make


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("cell", CELLS)
def test_numbers_are_those_of_python(c_library, make_folder, cell, variant):
    for layers, dtype in itertools.product((1, 2, 3), DTYPES):
        folder = make_folder(dtype, cell=cell, layers=layers, **VARIANTS[variant])
        decoder = Decoder.open(folder)
        with opened(c_library, folder) as model:
            assert (model.state_size, model.vocab_size) == (
                decoder.state_size,
                decoder.config.vocab_size,
            )
            state = model.initial_state()
            model.step(TOKENS, state)
            expected = decoder.steps(TOKENS, decoder.initial_state())
            np.testing.assert_allclose(state, expected[0], atol=1e-6)
            for found, right in zip(model.top_k(state, 6), decoder.top_k(expected, 6), strict=True):
                np.testing.assert_allclose(found, right[0], atol=1e-5)
            assert model.log_prob(state, 15) == pytest.approx(
                decoder.log_prob(expected, [15])[0], abs=1e-5
            )
            score, after = decoder.score(TOKENS, expected)
            np.testing.assert_allclose(model.score(TOKENS, state), score[:, 0], atol=1e-5)
            np.testing.assert_allclose(state, after[0], atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_next_words_are_those_of_python(c_library, make_folder, variant):
    folder = make_folder(**VARIANTS[variant])
    python = LanguageModel.load(folder, backend="numpy")
    text = "the cat likes"
    with opened(c_library, folder) as model:
        state = model.initial_state()
        model.step([1, *model.encode(text)], state)
        for prefix, k in itertools.product((None, "", "p", "PI", "zzz", "the"), (1, 3, 100)):
            expected = python.next_words(text, k=k, prefix=prefix)
            found = model.next_words(state, k, prefix)
            assert [word for word, _ in found] == [word for word, _ in expected]
            np.testing.assert_allclose([p for _, p in found], [p for _, p in expected], atol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_each_line_is_a_text_of_its_own_as_in_python(c_library, make_folder, cell):
    folder = make_folder(cell=cell, layers=2, carry_state=False)
    python = LanguageModel.load(folder, backend="numpy")
    earlier, last = "the cat\n\nlikes pizza\n", "so he orders"
    with opened(c_library, folder) as model:
        state, alone = model.initial_state(), model.initial_state()
        whole = model.encode(earlier + last + "\n")
        scores = model.score([1, *whole], state)[1:]
        expected = python.score(earlier + last).log_probabilities
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        model.step([1, *whole], state)
        model.step([1], alone)
        np.testing.assert_allclose(state, alone, atol=1e-6)
        model.step(model.encode(last), state)
        for found, right in zip(
            model.next_words(state, 3), python.next_words(last, k=3), strict=True
        ):
            assert found[0] == right.word
            assert found[1] == pytest.approx(right.probability, rel=1e-4)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_state_that_ends_with_the_line(c_library, make_folder, cell):
    folder = make_folder(cell=cell, carry_state=False)
    python = LanguageModel.load(folder, backend="numpy").model
    tokens = [1, 5, 9, 1, 1, 4, 17, 1]
    reading = python.read(np.array(tokens)[:, None], python.initial_state())
    expected = np.concatenate([part.ravel() for part in reading.state])
    with opened(c_library, folder) as model:
        for read in (model.step, model.score):
            state = model.initial_state()
            read(tokens, state)
            np.testing.assert_allclose(state, expected, atol=1e-5)
        state = model.initial_state()
        scores = [model.log_prob(state, 1)]
        for before, token in itertools.pairwise(tokens):
            model.step([before], state)
            scores.append(model.log_prob(state, token))
        found = model.score(tokens, model.initial_state())
        np.testing.assert_allclose(found, scores, atol=1e-5)


def test_a_shipped_model_orders_pizza(c_library, shipped):
    with opened(c_library, shipped) as model:
        state = model.initial_state()
        model.step([1, *model.encode("krish likes pizza so he orders")], state)
        ((word, probability),) = model.next_words(state, 1)
        assert word == "pizza"
        assert probability > 0.9


@pytest.fixture(scope="module")
def shipped():
    from carousel.pretrained import PRETRAINED

    return PRETRAINED / "stories-lstm"


def test_models_of_characters_and_byte_pairs(c_library, make_folder):
    with opened(c_library, make_folder(kind="chars")) as model:
        state = model.initial_state()
        assert model.encode("cat\n")[-1] == 1
        with pytest.raises(CError, match="UNSUPPORTED: the model's tokens are not whole words"):
            model.next_words(state, 3)
    with opened(c_library, make_folder(kind="bpe")) as model:
        state = model.initial_state()
        model.step([1, 5], state)
        assert model.top_k(state, 2)[1][0] < 0
        with pytest.raises(CError, match=r"UNSUPPORTED: .*byte pairs"):
            model.encode("cat")
        with pytest.raises(CError, match="UNSUPPORTED"):
            model.next_words(state, 3)


def test_wrong_arguments_are_refused(c_library, shipped):
    with opened(c_library, shipped) as model:
        state, ids = model.initial_state(), np.zeros(3, np.int64)
        refused = [
            lambda: model.step([87], state),
            lambda: model.step([-1], state),
            lambda: model.step([1], state[1:]),
            lambda: model.step([1], np.full_like(state, np.nan)),
            lambda: model.top_k(state, 0),
            lambda: model.top_k(state, 88),
            lambda: model.log_prob(state, 87),
            lambda: model.score([3, 87], state),
            lambda: model.token(-1),
            lambda: model.encode(b"caf\xe9"),
            lambda: model.next_words(state[1:], 3),
            lambda: model.call("step", None, ctypes.c_size_t(1), *model.state_arguments(state)),
            lambda: model.call("step", pointer(ids), ctypes.c_size_t(1), None, ctypes.c_size_t(9)),
            lambda: model.call("token", ctypes.c_int64(1), None, None),
            lambda: model.call("encode", b"a", None, ctypes.c_size_t(1), ctypes.byref(ids_count)),
            lambda: model.call("encode", None, None, ctypes.c_size_t(0), ctypes.byref(ids_count)),
            lambda: CModel(c_library, None).step([1], state),
        ]
        ids_count = ctypes.c_size_t()
        for call in refused:
            with pytest.raises(CError) as error:
                call()
            assert error.value.status == "INVALID_ARGUMENT"
            assert error.value.message
        assert not state.any()
    assert c_library.carousel_vocab_size(None) == c_library.carousel_state_size(None) == 0
    c_library.carousel_close(None)


def test_encode_counts_what_has_no_room(c_library, shipped):
    with opened(c_library, shipped) as model:
        count, ids = ctypes.c_size_t(), np.full(4, -7, np.int64)
        model.call("encode", b"krish likes pizza", None, ctypes.c_size_t(0), ctypes.byref(count))
        assert count.value == 3
        room = ctypes.c_size_t(2)
        model.call("encode", b"krish likes pizza", pointer(ids), room, ctypes.byref(count))
        assert count.value == 3
        assert ids[2:].tolist() == [-7, -7]


def test_errors_are_those_of_the_thread(c_library, shipped):
    with opened(c_library, shipped) as model:
        with pytest.raises(CError):
            model.token(-1)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(c_library.carousel_last_error()))
        thread.start()
        thread.join()
        assert seen == [b""]


def test_scores_that_overflow_are_told(c_library, make_folder, tmp_path):
    folder = make_folder()
    content = read_folder(folder)
    # What comes from the input overflows upwards, and what comes from the state downwards.
    weights = {
        name: np.full_like(w, -1e15 if name.endswith("weight_hh") else 1e15)
        for name, w in content.weights.items()
    }
    write_folder(tmp_path / "large", content.config, weights, content.tokenizer)
    with opened(c_library, tmp_path / "large") as model:
        state = model.initial_state()
        state[:] = 3e38
        calls = [
            lambda: model.top_k(state, 3),
            lambda: model.next_words(state, 3, "p"),
            lambda: model.log_prob(state, 3),
            lambda: model.score([2, 3], state.copy()),
        ]
        for call in calls:
            with pytest.raises(CError, match="NOT_FINITE"):
                call()


def damage(folder, name, change):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))


DAMAGES = {
    "config cut short": ("config.json", lambda b: b[:-3]),
    "config of another format": (
        "config.json",
        lambda b: b.replace(b'"format": 1', b'"format": 2'),
    ),
    "a field twice": ("config.json", lambda b: b.replace(b"{", b'{"layers": 1,', 1)),
    "an unknown field": ("config.json", lambda b: b.replace(b"{", b'{"depth": 1,', 1)),
    "a size that lies": (
        "config.json",
        lambda b: b.replace(b'"hidden_size": 6', b'"hidden_size": 7'),
    ),
    "a huge size": (
        "config.json",
        lambda b: b.replace(b'"layers": 1', b'"layers": 99999999999999999999'),
    ),
    "a size that is no number": (
        "config.json",
        lambda b: b.replace(b'"layers": 1', b'"layers": true'),
    ),
    "hashes that are none": (
        "config.json",
        lambda b: b.replace(b'"tokenizer.json": "', b'"tokenizer.json": "x', 1),
    ),
    "hashes of other files": (
        "config.json",
        lambda b: b.replace(b'"tokenizer.json"', b'"recipe.toml"'),
    ),
    "a bad cell": ("config.json", lambda b: b.replace(b'"lstm"', b'"l\\u001b[31m"')),
    "deep nesting": ("config.json", lambda b: b"[" * 100_000),
    "no weights": ("model.safetensors", lambda b: b""),
    "weights cut short": ("model.safetensors", lambda b: b[:-1]),
    "weights too long": ("model.safetensors", lambda b: b + b"\0"),
    "a header that lies": ("model.safetensors", lambda b: b"\xff" * 8 + b[8:]),
    "another name": (
        "model.safetensors",
        lambda b: b.replace(b"layers.0.weight_hh", b"layers.0.weight_xx"),
    ),
    "another type": ("model.safetensors", lambda b: b.replace(b"F32", b"I32", 1)),
    "not finite": ("model.safetensors", lambda b: b[:-4] + b"\0\0\x80\x7f"),
    "too large": ("model.safetensors", lambda b: b[:-4] + np.float32(1.1e15).tobytes()),
    "no tokenizer": ("tokenizer.json", lambda b: b"{}"),
    "a pattern of someone else": (
        "tokenizer.json",
        lambda b: b.replace(b"\\\\p{L}", b"\\\\p{N}", 1),
    ),
    "ids that repeat": ("tokenizer.json", lambda b: b.replace(b'"so":19', b'"so":18')),
    "a token twice": ("tokenizer.json", lambda b: b.replace(b'"<eos>":1', b'"<unk>":1')),
    "not UTF-8": ("tokenizer.json", lambda b: b.replace(b"cat", b"c\xe9t")),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_folders_are_refused_as_by_python(c_library, make_folder, tmp_path, kind):
    folder = tmp_path / "damaged"
    shutil.copytree(make_folder(), folder)
    name, change = DAMAGES[kind]
    before = (folder / name).read_bytes()
    damage(folder, name, change)
    assert (folder / name).read_bytes() != before
    with pytest.raises(CarouselError):
        read_folder(folder)
    with pytest.raises(CError) as error, opened(c_library, folder):
        pass
    assert error.value.status == "INVALID_MODEL"
    assert name in error.value.message
    assert error.value.message.isprintable()


def test_what_is_no_model_folder_is_refused(c_library, make_folder, tmp_path):
    pipes = tmp_path / "pipes"
    pipes.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        os.mkfifo(pipes / name)
    (tmp_path / "empty").mkdir()
    odd_name = tmp_path / "a\n\x1b[31mb"
    for folder in (tmp_path / "absent", tmp_path / "empty", pipes, odd_name):
        with pytest.raises(CError) as error, opened(c_library, folder):
            pass
        assert error.value.status == "INVALID_MODEL"
        assert error.value.message.isprintable()


def test_a_folder_of_two_models_is_refused_as_by_python(c_library, make_folder, tmp_path):
    if subprocess.run(["pkg-config", "--exists", "libcrypto"], check=False).returncode:
        pytest.skip("libcrypto is missing: the library for C can't check hashes")
    one, other = make_folder(text="the cat sat"), make_folder(text="the dog sat", seed=1)
    for name in ("tokenizer.json", "model.safetensors"):
        mixed = tmp_path / name.partition(".")[0]
        shutil.copytree(one, mixed)
        shutil.copy(other / name, mixed)
        for error, open_ in (
            (CarouselError, lambda mixed=mixed: nullcontext(read_folder(mixed))),
            (CError, lambda mixed=mixed: opened(c_library, mixed)),
        ):
            with pytest.raises(error, match=f"{name} is not the one that config.json"), open_():
                pass
        # Folders that were written before there were hashes are read as ever.
        config = json.loads((mixed / "config.json").read_text())
        del config["sha256"]
        (mixed / "config.json").write_text(json.dumps(config))
        with opened(c_library, mixed):
            pass


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_c_takes_what_python_takes(c_library, small_folders, data):
    """A few bytes of a folder changed at random: both open it, or neither does."""
    folder, contents = small_folders
    name = data.draw(st.sampled_from(["config.json", "model.safetensors"]))
    content = bytearray(contents[name])
    header = len(content) if name == "config.json" else 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, min(header, len(content)) - 1))
        content[place] = data.draw(st.sampled_from(b'0123456789.-"[]{},: etrux\0\xff'))
    (folder / name).write_bytes(content)
    assert takes(lambda: nullcontext(read_folder(folder))) == takes(
        lambda: opened(c_library, folder)
    )
    (folder / name).write_bytes(contents[name])


def takes(open_):
    try:
        with open_():
            return True
    except (CarouselError, CError):
        return False


@pytest.fixture(scope="module")
def small_folders(make_folder):
    folder = make_folder("int8", cutoffs=(8, 14), tail_sizes=(4, 2))
    # Without the hashes by which Python would find any change.
    (folder / "config.json").write_text(read_folder(folder).config.to_json())
    assert json.loads((folder / "config.json").read_text())["dtype"] == "int8"
    return folder, {path.name: path.read_bytes() for path in folder.iterdir()}
