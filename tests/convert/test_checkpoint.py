"""Files that hold more, less or other things than weights: refused, and nothing in them is run."""

import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from carousel.convert.checkpoint import read_checkpoint, read_stored_vocabulary
from carousel.errors import CarouselError


class Bomb:
    """Unpickled freely, it leaves a file behind."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def refused(path, said):
    with pytest.raises(CarouselError) as caught:
        read_checkpoint(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["pickle", "torch", "old torch", "beside weights"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path, how):
    marker, path = tmp_path / "marker", tmp_path / "model.pt"
    bomb = Bomb(marker)
    if how == "pickle":
        path.write_bytes(pickle.dumps(bomb))
    else:
        weights = nn.Linear(2, 2).state_dict()
        held = {"state_dict": weights, "args": bomb} if how == "beside weights" else bomb
        torch.save(held, path, _use_new_zipfile_serialization=how != "old torch")
    refused(path, "holds more than weights")
    assert not marker.exists()
    pickle.loads(pickle.dumps(bomb)).close()
    assert marker.exists(), "the bomb is a real one"


def test_a_whole_module_is_refused_with_what_to_do(tmp_path):
    torch.save(nn.LSTM(2, 3), tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "torch.nn.modules.rnn.LSTM")
    refused(tmp_path / "model.pt", "save model.state_dict() and import that")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "TorchScript")


# The end of an archive that lies on two disks, of which Python's zipfile says so in an error.
TWO_DISKS = b"PK\x03\x04" + struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 2)
TWO_DISKS += b"PK\x05\x06" + bytes(18)


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 and no more", bytes(100), TWO_DISKS])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files_are_refused(tmp_path, data, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(data)
    refused(path, str(path))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_that_are_cut_short_are_refused(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    weights = {"weight": np.ones((4, 4), np.float32)}
    if suffix == ".pt":
        torch.save({"weight": torch.ones(4, 4)}, path)
    else:
        save_file(weights, path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        refused(path, str(path))


TENSORS = {
    "whole numbers": (torch.ones(3, dtype=torch.int8), "type int8"),
    "complex numbers": (torch.ones(3, dtype=torch.complex64), "type complex64"),
    "not a number": (torch.tensor([1.0, float("nan")]), "not finite"),
    "infinity": (torch.tensor([float("inf")]), "not finite"),
    "too large for float32": (torch.tensor([1e300], dtype=torch.float64), "not finite"),
    "of float8, without its scales": (torch.ones(3).to(torch.float8_e4m3fn), "type float8_e4m3fn"),
    "of float4": (torch.zeros(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "type float4"),
    "meta": (torch.empty(3, device="meta"), "a meta tensor: it has a shape, but no values"),
    "conjugated": (torch.ones(3, dtype=torch.complex64).conj(), "type complex64"),
    "sparse": (torch.ones(3).to_sparse(), "type sparse_coo"),
    "a huge claim": (torch.ones(1).expand(10**6, 10**6), "larger than the whole file"),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates what it saves sparse tensors with
@pytest.mark.parametrize(("tensor", "said"), TENSORS.values(), ids=TENSORS)
def test_tensors_that_are_no_weights(tmp_path, tensor, said):
    torch.save({"good.weight": torch.ones(3), "odd.weight": tensor}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", said)
    refused(tmp_path / "model.pt", "odd.weight")


@pytest.mark.filterwarnings("ignore")  # PyTorch calls them a prototype
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_refused(tmp_path, layout):
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)
    torch.save({"weight": nested}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "weight is of type nested")


def test_views_are_read_as_what_they_show(tmp_path):
    pairs = torch.arange(8, dtype=torch.float64).view(4, 2)
    negative = torch.view_as_complex(pairs).conj().imag
    assert negative.is_neg()
    views = {"negative": negative, "every second": pairs[::2], "turned": pairs.T}
    torch.save(views, tmp_path / "model.pt")
    for name, weight in read_checkpoint(tmp_path / "model.pt").items():
        np.testing.assert_array_equal(weight, views[name].resolve_neg().numpy())


def test_dicts_in_dicts_without_end_are_read_once(tmp_path):
    table = {"weight": torch.ones(2)}
    for _ in range(11):  # 30 names for each: 10^16 ways to one tensor
        table = {f"a{number}": table for number in range(30)}
    torch.save(table, tmp_path / "model.pt")
    (weight,) = read_checkpoint(tmp_path / "model.pt").values()
    np.testing.assert_array_equal(weight, [1, 1])
    assert read_stored_vocabulary(tmp_path / "model.pt") is None


def test_a_file_that_unpacks_to_many_times_its_size(tmp_path):
    torch.save({"weight": torch.zeros(1_000_000)}, tmp_path / "stored.pt")
    with (
        zipfile.ZipFile(tmp_path / "stored.pt") as stored,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    assert (tmp_path / "packed.pt").stat().st_size < 10_000
    refused(tmp_path / "packed.pt", "times its size, as no weights do")


@pytest.mark.filterwarnings("ignore")
def test_quantized_weights_are_refused(tmp_path):
    quantized = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    torch.save({"weight": quantized}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "before quantizing")


@pytest.mark.parametrize("held", [{}, [1, 2], {"epoch": 3}, 5, {"state_dict": {}}])
def test_files_without_weights(tmp_path, held):
    torch.save(held, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "holds no weights")


def test_names_that_are_none(tmp_path):
    torch.save({"a\x1b[31m": torch.ones(2)}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", r"'a\x1b[31m'")
    torch.save({"module.a": torch.ones(2), "a": torch.ones(2)}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "holds a twice")


def test_safetensors_of_other_types_or_with_a_name_twice(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": np.ones(2, np.int64)}, path)
    refused(path, "a is of type I64")
    entry = json.dumps({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})
    header = f'{{"a": {entry}, "a": {entry}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    refused(path, "names the same thing twice")


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "none.pt", "is not there")
    refused(tmp_path, "it is not a regular file")
