"""Small files that claim to be large: one line each, and no more than a gigabyte of memory."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("onnx")
pytest.importorskip("h5py")

HOSTILE = """
import io, json, resource, zipfile
import h5py, numpy as np, onnx, torch
from pathlib import Path
from onnx import TensorProto, helper
from carousel.convert.registry import import_model
from carousel.errors import CarouselError

def packed(name, files):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, write in files.items():
            with archive.open(member, "w") as file:
                write(file)

def zeros(count):
    return lambda file: [file.write(bytes(2**20)) for _ in range(count)]

large = torch.ones(2_000_000)
torch.save({f"x{number}": large for number in range(300)}, "aliases.pt")
packed("bomb.pt", {"archive/data.pkl": zeros(1), "archive/data/0": zeros(1300)})
packed("config.keras", {"config.json": zeros(64), "model.weights.h5": zeros(1)})
packed("weights.keras", {"config.json": lambda f: f.write(b"{}"), "model.weights.h5": zeros(1300)})
layers = [{"class_name": "Embedding", "config": {"name": "e"}}]
model = {"class_name": "Sequential", "config": {"layers": layers}}
with h5py.File("claim.h5", "w") as file:
    file.attrs["model_config"] = json.dumps(model)
    file.create_dataset("model_weights/e/w", (20_000, 20_000), "f4", chunks=(100, 100))
    file["model_weights/e"].attrs["weight_names"] = ["w"]
tensor = TensorProto(name="table", data_type=1, dims=[20_000, 20_000], raw_data=b"1234")
nodes = [helper.make_node("Gather", ["table", "ids"], ["x"]),
         helper.make_node("LSTM", ["x", "table", "table"], ["y"], hidden_size=20_000),
         helper.make_node("MatMul", ["y", "table"], ["logits"])]
graph = helper.make_graph(
    nodes, "g", [helper.make_tensor_value_info("ids", 7, None)],
    [helper.make_tensor_value_info("logits", 1, None)], [tensor])
open("claim.onnx", "wb").write(helper.make_model(graph).SerializeToString())
grown = [helper.make_node("Concat", ["t0"] * 50, ["t1"], axis=0)]
grown += [helper.make_node("Concat", [f"t{n}"] * 50, [f"t{n + 1}"], axis=0) for n in range(1, 9)]
nodes = [*grown, helper.make_node("LSTM", ["x", "t9", "t9"], ["y"], hidden_size=4),
         helper.make_node("MatMul", ["y", "t9"], ["logits"])]
small = helper.make_tensor("t0", 1, [100, 1], [0.0] * 100)
graph = helper.make_graph(
    nodes, "g", [], [helper.make_tensor_value_info("logits", 1, None)], [small])
open("growth.onnx", "wb").write(helper.make_model(graph).SerializeToString())
open("nodes.onnx", "wb").write(b"\\x3a\\x80\\xb4\\x89\\x13" + b"\\x0a\\x00" * 20_000_000)
json.dump(["<unk>", "<eos>", "a"], open("v.json", "w"))

for name, kind in {"aliases.pt": "pytorch", "bomb.pt": "pytorch", "config.keras": "keras",
                   "weights.keras": "keras", "claim.h5": "keras", "claim.onnx": "onnx",
                   "growth.onnx": "onnx", "nodes.onnx": "onnx"}.items():
    try:
        import_model(kind, name, "v.json", "out")
    except CarouselError as error:
        print(str(error).count("\\n"), error)
status = Path("/proc/self/status")
if status.exists():  # Linux counts the memory of whoever started a process in its ru_maxrss
    peak = int(status.read_text().split("VmHWM:")[1].split()[0])
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak // 1024)
"""
SAID = (
    "claim to be 8 times the file", "times its size", "many times the file's size",
    "many times the file's size", "claims to be many times", "holds another size",
    "many times the file", "more nodes and names",
)  # fmt: skip


@pytest.mark.slow
def test_files_that_claim_to_be_large(tmp_path):
    code = textwrap.dedent(HOSTILE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *lines, megabytes = done.stdout.splitlines()
    assert len(lines) == len(SAID)
    for line, said in zip(lines, SAID, strict=True):
        assert line.startswith("0 ")
        assert said in line
    assert int(megabytes) < 1000
