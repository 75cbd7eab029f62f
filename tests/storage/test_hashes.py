"""Every file of a folder has a hash, and damage is found: at opening, or by ``check_folder``."""

import hashlib
import json
import os

import numpy as np
import pytest
from safetensors import safe_open

from carousel.cli import run
from carousel.errors import FolderError
from carousel.model import LanguageModel
from carousel.pretrained import PRETRAINED
from carousel.storage import atomic
from carousel.storage.model_folder import check_folder, read_folder, write_folder
from carousel.storage.number_formats import DTYPES, cast_weights


@pytest.fixture
def saved(tmp_path, make_model):
    model = make_model()
    model.save(tmp_path / "m")
    return tmp_path / "m", model


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_hashes_are_those_of_the_files(tmp_path, make_model, dtype):
    model, path = make_model(), tmp_path / "m"
    config = type(model.config)(**vars(model.config) | {"dtype": dtype})
    write_folder(path, config, cast_weights(model.model.weights, dtype), model.tokenizer)
    hashes = json.loads((path / "config.json").read_text())["sha256"]
    assert check_folder(path) == hashes
    data = (path / "model.safetensors").read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    assert hashes["model.safetensors"] == hashlib.sha256(data[:size]).hexdigest()
    tokenizer = (path / "tokenizer.json").read_bytes()
    assert hashes["tokenizer.json"] == hashlib.sha256(tokenizer).hexdigest()
    with safe_open(path / "model.safetensors", framework="np") as file:
        assert file.metadata() == {"sha256": hashlib.sha256(data[size:]).hexdigest()}


def test_every_flipped_bit_is_found(saved):
    path, _ = saved
    for name in ("model.safetensors", "tokenizer.json"):
        whole = (path / name).read_bytes()
        for at in {*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1}:
            data = bytearray(whole)
            data[at] ^= 1 << at % 8
            (path / name).write_bytes(data)
            with pytest.raises(FolderError) as error:
                check_folder(path)
            assert "\n" not in str(error.value)
        (path / name).write_bytes(whole)
    check_folder(path)


def test_a_flipped_bit_of_a_weight_opens_and_is_found_by_check(saved, capsys):
    path, _ = saved
    data = bytearray((path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "model.safetensors").write_bytes(data)
    read_folder(path)
    assert run(["check", str(path)]) == 2
    assert "its weights are not those that were written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "hashes", [[], {}, {"tokenizer.json": "0"}, {"tokenizer.json": 1, "model.safetensors": 1}]
)
def test_hashes_that_are_none(saved, hashes):
    path, _ = saved
    table = json.loads((path / "config.json").read_text()) | {"sha256": hashes}
    (path / "config.json").write_text(json.dumps(table))
    with pytest.raises(FolderError, match="sha256 must"):
        read_folder(path)


def test_older_folders_have_no_hashes_and_open(saved, capsys):
    path, model = saved
    table = json.loads((path / "config.json").read_text())
    del table["sha256"]
    (path / "config.json").write_text(json.dumps(table))
    assert LanguageModel.load(path).config == model.config
    assert set(check_folder(path).values()) == {None}
    assert run(["check", str(path)]) == 0
    assert "Only its form could be checked" in capsys.readouterr().out


def test_the_check_command(saved, capsys):
    path, _ = saved
    assert run(["check", str(path)]) == 0
    assert "is whole." in " ".join(capsys.readouterr().out.split())
    assert run(["check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == check_folder(path)
    for name in PRETRAINED.iterdir():
        if (name / "config.json").exists():
            assert run(["check", name.name]) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_copy_in_memory_outlives_a_file_that_is_cut_short(tmp_path, make_model, dtype):
    model, path = make_model(), tmp_path / "m"
    config = type(model.config)(**vars(model.config) | {"dtype": dtype})
    write_folder(path, config, cast_weights(model.model.weights, dtype), model.tokenizer)
    mapped = LanguageModel.load(path).model.weights
    expected = {name: weight.copy() for name, weight in mapped.items()}
    copied = LanguageModel.load(path, mmap=False)
    os.truncate(path / "model.safetensors", 100)
    for name, weight in copied.model.weights.items():
        np.testing.assert_array_equal(weight, expected[name])
    assert copied.next_words("the cat", k=1)


def test_a_model_that_is_replaced_goes_on_with_its_own_weights(saved, make_model):
    path, _ = saved
    opened = LanguageModel.load(path)
    other = make_model(seed=1)
    other.save(path, force=True)
    before = make_model().model.weights
    for name, weight in opened.model.weights.items():
        np.testing.assert_array_equal(weight, before[name])


@pytest.mark.parametrize("value", [1e37, -1e37, np.inf])
def test_weights_with_which_sums_overflow_are_neither_read_nor_written(saved, value):
    path, model = saved
    data = bytearray((path / "model.safetensors").read_bytes())
    data[-4:] = np.float32(value).tobytes()
    (path / "model.safetensors").write_bytes(data)
    with pytest.raises(FolderError, match=r"not finite, or beyond 1e\+15"):
        read_folder(path)
    weights = {name: weight.copy() for name, weight in model.model.weights.items()}
    weights["decoder.bias"][0] = value
    with pytest.raises(FolderError, match="is not written: decoder"):
        write_folder(path, model.config, weights, model.tokenizer, force=True)


def test_the_largest_weights_that_are_read_overflow_nowhere(tmp_path, make_model):
    """The engine and NumPy give the same, and it is finite."""
    for cell in ("lstm", "gru", "rnn"):
        model, path = make_model(cell), tmp_path / cell
        weights = {
            name: (np.sign(weight) * np.float32(1e15)).astype(np.float32)
            for name, weight in model.model.weights.items()
        }
        write_folder(path, model.config, weights, model.tokenizer)
        states = []
        for backend in ("engine", "numpy"):
            loaded = LanguageModel.load(path, backend=backend)
            reading = loaded.model.read(np.arange(8)[:, None], loaded.model.initial_state())
            states.append(reading.hidden)
        assert np.isfinite(states[0]).all()
        np.testing.assert_allclose(*states, rtol=1e-5, atol=1e-6)


def test_names_are_on_the_disk_before_the_old_files_go(saved, make_model, monkeypatch):
    """Else a power cut may leave the old name with a folder that is empty by then."""
    path, _ = saved
    events = []
    for in_one_step in (True, False):
        events.clear()
        if not in_one_step:
            monkeypatch.setattr(atomic, "exchange_folders", lambda one, other: False)
        remove, sync = atomic.shutil.rmtree, atomic.sync_folder

        def removing(folder, remove=remove, **options):
            if os.path.exists(folder):
                events.append("remove")
            remove(folder, **options)

        def syncing(folder, sync=sync):
            events.append("sync" if folder == path.parent else "sync the new folder")
            sync(folder)

        with monkeypatch.context() as patch:
            patch.setattr(atomic.shutil, "rmtree", removing)
            patch.setattr(atomic, "sync_folder", syncing)
            make_model().save(path, force=True)
        assert events.index("sync") < events.index("remove")
