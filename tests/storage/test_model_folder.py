"""A model on disk: every corruption has its own line, and what was there stays."""

import contextlib
import json
import os
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_file_with_torch

from carousel.cells import CELLS
from carousel.errors import FolderError
from carousel.model import LanguageModel
from carousel.storage import atomic
from carousel.storage.atomic import remove_leftovers, temporary_path, write_file
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder, write_folder
from carousel.storage.number_formats import (
    DTYPES,
    Quantized,
    Tiled,
    cast_weights,
    from_tiles,
    to_tiles,
)


@pytest.fixture
def saved(tmp_path, make_model):
    model = make_model()
    path = tmp_path / "model"
    write_folder(
        path, model.config, model.model.weights, model.tokenizer, extra={"recipe.toml": "a = 1"}
    )
    return path, model


@settings(max_examples=25, deadline=None)
@given(
    cell=st.sampled_from(sorted(CELLS)),
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    layers=st.integers(1, 3),
    tied=st.booleans(),
    biases=st.booleans(),
    dtype=st.sampled_from(DTYPES),
)
def test_round_trip(tmp_path_factory, make_model, cell, sizes, layers, tied, biases, dtype):
    E, H, P = sizes
    shape = {"embedding_size": E, "hidden_size": H, "layers": layers, "biases": biases}
    if not tied:
        shape["projection_size"] = P
    model = make_model(cell, tied=tied, **shape)
    path = tmp_path_factory.mktemp("round") / "m"
    config, stored = replace(model.config, dtype=dtype), cast_weights(model.model.weights, dtype)
    write_folder(path, config, stored, model.tokenizer)
    again = LanguageModel.load(path)
    assert again.config == config
    assert again.tokenizer.tokens() == model.tokenizer.tokens()
    assert again.model.stored.keys() == stored.keys()
    for name, weight in stored.items():
        if dtype == "int8" and name in config.tiled_matrices():
            weight = to_tiles(weight)
            assert again.model.stored[name].tiles.ctypes.data % 64 == 0, "a tile is a line"
        kept = arrays_of(again.model.stored[name])
        for found, wanted in zip(kept, arrays_of(weight), strict=True):
            np.testing.assert_array_equal(found, wanted)
            assert not found.flags.writeable
            assert mapped(found)
    assert config.parameters == sum(w.size for w in model.model.weights.values())
    # The file is what safetensors makes of it.
    for name, tensor in load_file_with_torch(path / "model.safetensors").items():
        stands_for = again.model.stored[name.removesuffix(".scale")]
        if isinstance(stands_for, Quantized | Tiled):
            stands_for = stands_for.scale if name.endswith(".scale") else stands_for[0]
        elif stands_for.dtype == np.uint16:
            stands_for = again.model.weights[name]
        np.testing.assert_array_equal(tensor.float().numpy(), stands_for)


def arrays_of(weight):
    return weight[:2] if isinstance(weight, Quantized | Tiled) else (weight,)


def mapped(array):
    """Whether an array's memory is a file's."""
    while not isinstance(array, np.memmap) and array.base is not None:
        array = array.base
    return isinstance(array, np.memmap)


def change_config(path, **changes):
    table = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(table | changes))


def remove_hashes(path):
    """Make a folder one of the older ones, whose files may be changed one by one."""
    table = json.loads((path / "config.json").read_text())
    table.pop("sha256", None)
    (path / "config.json").write_text(json.dumps(table))


def change_tensors(path, change):
    remove_hashes(path)
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors")


def change_header(path, change):
    remove_hashes(path)
    data = (path / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = change(data[8 : 8 + size])
    (path / "model.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + data[8 + size :]
    )


def set_header_length(path, length):
    data = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", length) + data[8:])


def poison(tensors):
    tensors["decoder.bias"] = tensors["decoder.bias"].copy()
    tensors["decoder.bias"][3] = np.nan


def shift_offsets(header):
    table = json.loads(header)
    table["decoder.bias"]["data_offsets"] = [o + 4 for o in table["decoder.bias"]["data_offsets"]]
    return json.dumps(table).encode()


CORRUPTIONS = {
    "no config": (lambda p: (p / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda p: (p / "model.safetensors").unlink(), "model.safetensors is missing"),
    "no tokenizer": (lambda p: (p / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "cut config": (lambda p: (p / "config.json").write_text('{"format": 1,'), "is not JSON"),
    "binary config": (lambda p: (p / "config.json").write_bytes(b"\xff\xfe"), "not UTF-8"),
    "list config": (lambda p: (p / "config.json").write_text("[]"), "not a Carousel config"),
    "deep config": (lambda p: (p / "config.json").write_text("[" * 10**6), "is not JSON"),
    "foreign config": (
        lambda p: (p / "config.json").write_text('{"model_type": "gpt2"}'),
        "not a Carousel config",
    ),
    "newer format": (lambda p: change_config(p, format=99), "another format"),
    "unknown key": (lambda p: change_config(p, heads=8), "missing or unknown: heads"),
    "bad cell": (lambda p: change_config(p, cell="transformer"), "cell must be one of"),
    "bool for int": (lambda p: change_config(p, layers=True), "layers must be int"),
    "absurd size": (lambda p: change_config(p, hidden_size=2**60), "hidden_size must be"),
    "negative size": (lambda p: change_config(p, layers=-1), "layers must be"),
    "twice": (
        lambda p: (p / "config.json").write_text('{"format": 1, "format": 1}'),
        "the same thing twice",
    ),
    "other size": (lambda p: change_config(p, hidden_size=7), "has shape"),
    "more layers": (lambda p: change_config(p, layers=2), "lacks layers.1"),
    "other vocabulary": (lambda p: change_config(p, vocab_size=5), "tokenizer.json has"),
    "cut tokenizer": (lambda p: (p / "tokenizer.json").write_text("{"), "not a tokenizer"),
    "empty weights": (lambda p: (p / "model.safetensors").write_bytes(b""), "cut short"),
    "cut weights": (
        lambda p: os.truncate(
            p / "model.safetensors", (p / "model.safetensors").stat().st_size - 4
        ),
        "cut short",
    ),
    "long weights": (
        lambda p: os.truncate(p / "model.safetensors", 10**5),
        "longer than its tensors",
    ),
    "huge header": (lambda p: set_header_length(p, 2**63), "cut short"),
    "header past the end": (lambda p: set_header_length(p, 2**19), "cut short"),
    "no header": (lambda p: change_header(p, lambda h: b"[1, 2]"), "header is no table"),
    "tensor twice": (
        lambda p: change_header(p, lambda h: h.rstrip()[:-1] + b',"decoder.bias":{}}'),
        "the same thing twice",
    ),
    "offsets": (lambda p: change_header(p, shift_offsets), "overlap or leave gaps"),
    "odd entry": (
        lambda p: change_header(p, lambda h: h.replace(b'"dtype":"F32"', b'"dtypo":"F32"', 1)),
        "not described as",
    ),
    "a tensor more": (
        lambda p: change_tensors(p, lambda t: t.update(extra=np.zeros(2, np.float32))),
        "holds extra",
    ),
    "a tensor less": (
        lambda p: change_tensors(p, lambda t: t.pop("decoder.bias")),
        "lacks decoder",
    ),
    "float64": (
        lambda p: change_tensors(
            p, lambda t: t.update({"decoder.bias": t["decoder.bias"].astype(np.float64)})
        ),
        "of type 'F64'",
    ),
    "not finite": (lambda p: change_tensors(p, poison), "not finite"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_is_one_clear_line(saved, name):
    path, _ = saved
    corrupt, message = CORRUPTIONS[name]
    corrupt(path)
    with pytest.raises(FolderError) as error:
        read_folder(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_flipped_byte_is_an_error_or_a_finite_model(tmp_path_factory, make_model, at, byte):
    model = make_model()
    path = tmp_path_factory.mktemp("flip") / "m"
    write_folder(path, model.config, model.model.weights, model.tokenizer)
    for name in ("model.safetensors", "config.json"):
        data = bytearray((path / name).read_bytes())
        data[at % len(data)] = byte
        (path / name).write_bytes(data)
    try:
        found = read_folder(path)
    except FolderError:
        return
    assert all(np.isfinite(weight).all() for weight in found.weights.values())


def write_as(path, model, dtype):
    config = replace(model.config, dtype=dtype)
    write_folder(
        path, config, cast_weights(model.model.weights, dtype), model.tokenizer, force=True
    )


def patch(name, value, dtype):
    """A change of a tensor's first entry."""

    def change(tensors):
        tensors[name] = tensors[name].copy()
        tensors[name].reshape(-1)[0] = np.array(value).astype(dtype)

    return change


INT8_CORRUPTIONS = {
    "no scale": (
        lambda p: change_tensors(p, lambda t: t.pop("decoder.weight.scale")),
        "lacks decoder.weight.scale",
    ),
    "a scale of a vector": (
        lambda p: change_tensors(p, lambda t: t.update({"decoder.bias.scale": t["decoder.bias"]})),
        "holds decoder.bias.scale",
    ),
    "scale of another length": (
        lambda p: change_tensors(
            p, lambda t: t.update({"decoder.weight.scale": t["decoder.weight.scale"][1:].copy()})
        ),
        "decoder.weight.scale has shape",
    ),
    "scale of another type": (
        lambda p: change_tensors(
            p,
            lambda t: t.update({"decoder.weight.scale": t["decoder.weight.scale"].astype("f8")}),
        ),
        "of type 'F64', not F32",
    ),
    "values of another type": (
        lambda p: change_tensors(
            p, lambda t: t.update({"decoder.weight": t["decoder.weight"].astype("u1")})
        ),
        "of type 'U8', not I8",
    ),
    "float32 in an int8 model": (
        lambda p: change_tensors(
            p, lambda t: t.update({"decoder.weight": t["decoder.weight"].astype("f4")})
        ),
        "of type 'F32', not I8",
    ),
    "int8 called float32": (lambda p: change_config(p, dtype="float32"), "holds decoder.weight"),
    "int8 called bfloat16": (lambda p: change_config(p, dtype="bfloat16"), "holds decoder.weight"),
    "unknown type": (lambda p: change_config(p, dtype="int4"), "dtype must be one of"),
    "scale 0": (lambda p: change_tensors(p, patch("decoder.weight.scale", 0, "f4")), "positive"),
    "scale -1": (lambda p: change_tensors(p, patch("decoder.weight.scale", -1, "f4")), "positive"),
    "scale nan": (
        lambda p: change_tensors(p, patch("decoder.weight.scale", np.nan, "f4")),
        "decoder.weight holds a scale that is not positive and finite",
    ),
    "-128": (
        lambda p: change_tensors(p, patch("decoder.weight", -128, "i1")),
        "decoder.weight holds the value -128",
    ),
    "fewer tiles": (
        lambda p: change_tensors(
            p, lambda t: t.update({"decoder.weight": t["decoder.weight"][:, :1].copy()})
        ),
        "decoder.weight has shape [2, 1, 16, 4], not [2, 2, 16, 4]",
    ),
    "an embedding in tiles": (
        lambda p: change_tensors(
            p, lambda t: t.update({"embedding.weight": np.zeros((1, 2, 16, 4), "i1")})
        ),
        "embedding.weight has shape [1, 2, 16, 4], not",
    ),
    "a bias not finite": (lambda p: change_tensors(p, poison), "not finite"),
    "cut": (
        lambda p: os.truncate(
            p / "model.safetensors", (p / "model.safetensors").stat().st_size - 1
        ),
        "cut short",
    ),
    "clusters": (lambda p: change_config(p, cutoffs=[3], tail_sizes=[2]), "lacks decoder.head"),
    "clusters of no number": (lambda p: change_config(p, cutoffs=["3"]), "whole numbers"),
}


@pytest.mark.parametrize("name", INT8_CORRUPTIONS)
def test_int8_is_checked_as_strictly(tmp_path, make_model, name):
    path = tmp_path / "m"
    write_as(path, make_model(), "int8")
    corrupt, message = INT8_CORRUPTIONS[name]
    corrupt(path)
    with pytest.raises(FolderError) as error:
        read_folder(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_bfloat16_is_checked_as_strictly(tmp_path, make_model):
    path = tmp_path / "m"
    write_as(path, make_model(), "bfloat16")
    change_config(path, dtype="float32")
    with pytest.raises(FolderError, match="of type 'BF16', not F32"):
        read_folder(path)
    change_config(path, dtype="bfloat16")
    (size,) = struct.unpack("<Q", (path / "model.safetensors").read_bytes()[:8])
    header = json.loads((path / "model.safetensors").read_bytes()[8 : 8 + size])
    at = 8 + size + header["decoder.weight"]["data_offsets"][0]
    data = bytearray((path / "model.safetensors").read_bytes())
    data[at : at + 2] = b"\x80\x7f"
    (path / "model.safetensors").write_bytes(data)
    with pytest.raises(FolderError, match=r"decoder\.weight holds a value that is not finite"):
        read_folder(path)


def test_older_folders_are_read_and_written_as_ever(saved):
    path, model = saved
    table = json.loads((path / "config.json").read_text())
    assert "dtype" not in table, "older versions read what they can"
    assert read_folder(path).config == model.config
    change_config(path, dtype="float32", cutoffs=[], tail_sizes=[])
    assert read_folder(path).config == model.config


@pytest.mark.parametrize("tied", [False, True])
def test_int8_that_lies_row_by_row_is_the_same_model(tmp_path, make_model, tied):
    path = tmp_path / "m"
    write_as(path, make_model(tied=tied), "int8")
    tiles = LanguageModel.load(path)
    by_rows = {
        name: from_tiles(weight).values
        for name, weight in tiles.model.stored.items()
        if isinstance(weight, Tiled)
    }
    assert by_rows.keys() == set(tiles.config.tiled_matrices())
    assert ("embedding.weight" in by_rows) == tied
    change_tensors(path, lambda t: t.update(by_rows))
    rows = LanguageModel.load(path)
    assert not any(isinstance(weight, Tiled) for weight in rows.model.stored.values())
    logits = [lm.model.step([1], lm.model.initial_state())[0] for lm in (tiles, rows)]
    np.testing.assert_array_equal(*logits)
    for name, weight in tiles.model.weights.items():
        np.testing.assert_array_equal(rows.model.weights[name], weight)


def test_tensors_that_do_not_lie_on_the_processors_grid(saved):
    path, model = saved
    change_header(path, lambda header: header.rstrip() + b" " * (3 + -len(header.rstrip()) % 8))
    for name, weight in read_folder(path).weights.items():
        assert weight.flags.aligned
        assert not weight.flags.writeable
        np.testing.assert_array_equal(weight, model.model.weights[name])


def test_weights_of_another_format_than_the_configuration_are_not_written(tmp_path, make_model):
    model = make_model()
    config = replace(model.config, dtype="int8")
    for weights in (model.model.weights, cast_weights(model.model.weights, "bfloat16")):
        with pytest.raises(ValueError, match="not"):
            write_folder(tmp_path / "m", config, weights, model.tokenizer)
    half = replace(model.config, dtype="bfloat16")
    with pytest.raises(ValueError, match="not stored as bfloat16"):
        write_folder(tmp_path / "m", half, model.model.weights, model.tokenizer)
    with pytest.raises(ValueError, match="not"):
        write_folder(
            tmp_path / "m", model.config, cast_weights(model.model.weights, "int8"), model.tokenizer
        )
    with pytest.raises(ValueError, match="not"):
        write_folder(
            tmp_path / "m",
            model.config,
            cast_weights(model.model.weights, "bfloat16"),
            model.tokenizer,
        )


def test_paths_that_are_no_folders(tmp_path):
    with pytest.raises(FolderError, match="is not there"):
        read_folder(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FolderError, match="is a file"):
        read_folder(tmp_path / "file")
    with pytest.raises(FolderError, match=r"config\.json is missing"):
        read_folder(tmp_path)


def test_an_existing_model_is_kept_unless_forced(saved, make_model):
    path, model = saved
    other = make_model(seed=5)
    with pytest.raises(FolderError, match="is kept: choose another name, or use --force"):
        write_folder(path, other.config, other.model.weights, other.tokenizer)
    np.testing.assert_array_equal(
        read_folder(path).weights["decoder.bias"], model.model.weights["decoder.bias"]
    )
    write_folder(path, other.config, other.model.weights, other.tokenizer, force=True)
    np.testing.assert_array_equal(
        read_folder(path).weights["decoder.bias"], other.model.weights["decoder.bias"]
    )
    assert not (path / "recipe.toml").exists(), "nothing of the old model is mixed into the new"
    assert [p.name for p in path.parent.iterdir()] == ["model"]


def test_what_is_no_model_is_never_replaced(tmp_path, make_model):
    model = make_model()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    with pytest.raises(FolderError, match="not a model folder"):
        write_folder(
            tmp_path / "precious", model.config, model.model.weights, model.tokenizer, force=True
        )
    assert (tmp_path / "precious" / "thesis.tex").read_text() == "x"


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("exchange", [True, False])
def test_a_full_disk_leaves_the_old_model_whole(saved, make_model, monkeypatch, call, exchange):
    path, model = saved
    if not exchange:
        monkeypatch.setattr(atomic, "exchange_folders", lambda one, other: False)
    other = make_model(seed=5)
    calls = 0
    sync, rename = os.fsync, os.rename

    def failing(real):
        def run(*args):
            nonlocal calls
            calls += 1
            if calls == call:
                raise OSError(28, "No space left on device")
            return real(*args)

        return run

    monkeypatch.setattr(atomic.os, "fsync", failing(sync))
    monkeypatch.setattr(atomic.os, "rename", failing(rename))
    with contextlib.suppress(FolderError):
        write_folder(path, other.config, other.model.weights, other.tokenizer, force=True)
    found = read_folder(path).weights["decoder.bias"].tolist()
    assert found in (
        model.model.weights["decoder.bias"].tolist(),
        other.model.weights["decoder.bias"].tolist(),
    )
    if call <= 4 or (not exchange and call <= 6):
        assert found == model.model.weights["decoder.bias"].tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="folders change names in one step on Linux")
def test_a_folder_is_never_absent_while_it_is_replaced(saved, make_model, monkeypatch):
    path, _ = saved
    other = make_model(seed=5)

    def refuse(*names):
        raise AssertionError("between two renames there would be no model")

    monkeypatch.setattr(atomic.os, "rename", refuse)
    write_folder(path, other.config, other.model.weights, other.tokenizer, force=True)
    found = read_folder(path).weights["decoder.bias"]
    np.testing.assert_array_equal(found, other.model.weights["decoder.bias"])
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    temporary = temporary_path(tmp_path / "m")
    others = {
        ".m.notes", ".m.20251126", ".m.original", ".m.abc123_z", ".m.b.0123456789abcdef.part",
        ".other", ".m.0123456789abcdef", "m",
    }  # fmt: skip
    for name in (temporary.name, temporary.with_suffix(".old").name, *others):
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path / "m")
    assert {path.name for path in tmp_path.iterdir()} == others


def test_a_kill_between_two_renames_loses_no_model(saved, make_model, monkeypatch):
    path, model = saved
    other = make_model(seed=5)
    monkeypatch.setattr(atomic, "exchange_folders", lambda one, other: False)

    class Killed(BaseException):
        pass

    rename, calls = os.rename, []

    def killed_at_the_second(*names):
        calls.append(names)
        if len(calls) == 2:
            raise Killed
        rename(*names)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "rename", killed_at_the_second)
        with pytest.raises(Killed):
            write_folder(path, other.config, other.model.weights, other.tokenizer, force=True)
    assert not path.exists()
    remove_leftovers(path)
    found = read_folder(path).weights["decoder.bias"]
    np.testing.assert_array_equal(found, model.model.weights["decoder.bias"])
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_the_umask_decides_who_may_read_and_is_never_changed(tmp_path, make_model, mask):
    model = make_model()
    modes = []
    before = os.umask(mask)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "umask", lambda _: pytest.fail("the umask is every thread's"))
            for _ in range(2):
                write_folder(
                    tmp_path / "m", model.config, model.model.weights, model.tokenizer, force=True
                )
            write_file(tmp_path / "f", "text")
        modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("m", "m/config.json", "f")]
    finally:
        os.umask(before)
    assert modes == [0o777 & ~mask, 0o666 & ~mask, 0o666 & ~mask]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "f.txt"
    write_file(path, "old")
    monkeypatch.setattr(atomic.os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(FolderError, match="full"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.txt"]


def test_tied_sizes_must_fit():
    with pytest.raises(FolderError, match="tied decoder reads"):
        Config("lstm", 9, 4, 5, 1, True)
    assert Config("lstm", 9, 4, 5, 1, True, projection_size=4).weight_shapes()[
        "projection.weight"
    ] == (4, 5)


def test_a_file_in_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(FolderError, match="can't be written"):
        write_file(tmp_path / "file" / "x.html", "text")
    assert (tmp_path / "file").read_text() == "kept"
