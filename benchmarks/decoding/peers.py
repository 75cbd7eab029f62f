"""Who is compared: each reads a word and gives the three likeliest next ones and the new state.

Each holds the same weights, keeps its state where it is quickest for it, and takes its fastest
form that we found. The three log-probabilities are exact: the normaliser is over the whole
vocabulary, but no softmax is made of the words that are not asked for.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from carousel.storage.model_folder import read_folder

K = 3


class Peer(Protocol):
    """One that decodes with a fixed number of threads."""

    def step(self, token: int) -> Any:
        """Read a word: what was found, in the peer's own arrays."""

    def plain(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        """What ``step`` gave as ids ``[K]`` and log-probabilities ``[K]``."""


class Carousel:
    """Carousel's decoder, on the folder of a number format."""

    def __init__(self, folder: Path, threads: int) -> None:
        from carousel.engine.decoder import Decoder

        self.decoder = Decoder.open(folder, threads=threads)
        self.state = self.decoder.initial_state()

    def step(self, token: int) -> Any:
        """A word in, predictions out."""
        return self.decoder.step_top_k([token], self.state, K, out=self.state)[1:]

    def plain(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        """What was found, in NumPy."""
        return found[0][0], found[1][0]

    def step_together(self, tokens: np.ndarray, state: np.ndarray) -> None:
        """A word in each session, with the predictions of each."""
        self.decoder.step_top_k(tokens, state, K, out=state)

    def score(self, ids: np.ndarray) -> np.ndarray:
        """The log-probability of each of ``ids [T]`` after those before it."""
        return self.decoder.score(ids, self.decoder.initial_state())[0][:, 0]


class Torch:
    """PyTorch's own layers: nn.Embedding, nn.LSTM, nn.Linear."""

    quantized = False

    def __init__(self, folder: Path, threads: int) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(threads)
        config, weights = read_folder(folder)[1:3]
        self.embedding = torch.nn.Embedding(config.vocab_size, config.embedding_size)
        lstm = torch.nn.LSTM(config.embedding_size, config.hidden_size, config.layers)
        linear = torch.nn.Linear(config.hidden_size, config.vocab_size)
        given = {name: torch.tensor(np.asarray(weight)) for name, weight in weights.items()}
        self.embedding.weight.data = given["embedding.weight"]
        for name in lstm.state_dict():
            kind, _, layer = name.rpartition("_l")
            getattr(lstm, name).data = given[f"layers.{layer}.{kind}"]
        linear.weight.data, linear.bias.data = given["decoder.weight"], given["decoder.bias"]
        if self.quantized:
            torch.backends.quantized.engine = "x86"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # quantize_dynamic speaks of its successor
                both = torch.nn.ModuleList([lstm, linear])
                lstm, linear = torch.ao.quantization.quantize_dynamic(
                    both, {torch.nn.LSTM, torch.nn.Linear}, dtype=torch.qint8
                )
        self.lstm, self.linear = lstm, linear
        shape = (config.layers, 1, config.hidden_size)
        self.state = (torch.zeros(shape), torch.zeros(shape))

    def step(self, token: int) -> Any:
        """A word in, predictions out."""
        torch = self.torch
        with torch.inference_mode():
            y, self.state = self.lstm(self.embedding(torch.tensor([[token]])), self.state)
            logits = self.linear(y[0])
            best, ids = torch.topk(logits, K)
            return ids, best - torch.logsumexp(logits, 1, keepdim=True)

    def plain(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        """What was found, in NumPy."""
        return found[0][0].numpy(), found[1][0].numpy()

    def score(self, ids: np.ndarray) -> np.ndarray:
        """The log-probability of each of ``ids [T]`` after those before it: the fused layer."""
        torch = self.torch
        with torch.inference_mode():
            text = torch.from_numpy(ids)[:, None]
            state = tuple(torch.zeros_like(part) for part in self.state)
            parts = []
            first = torch.zeros(1, 1, state[0].shape[2])
            for at in range(0, len(ids), 256):  # logits of a bounded number of words
                y, state = self.lstm(self.embedding(text[at : at + 256]), state)
                logits = self.linear(torch.cat([first, y])[:-1, 0])
                first = y[-1:]
                picked = logits.gather(1, text[at : at + 256])[:, 0]
                parts.append(picked - torch.logsumexp(logits, 1))
            return torch.cat(parts).numpy()


class TorchInt8(Torch):
    """PyTorch's dynamic quantization of the same layers."""

    quantized = True


class Onnx:
    """ONNX Runtime, on a graph of Gather, LSTM, Gemm, TopK and ReduceLogSumExp."""

    quantized = False

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime

        path = folder / ("int8.onnx" if self.quantized else "float32.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        config = read_folder(folder).config

        def value(shape: tuple[int, ...], dtype: type) -> Any:
            # Memory of its own: a value made from an array may point into an array that is gone.
            made = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype)
            made.update_inplace(np.zeros(shape, dtype))
            return made

        shape = (config.layers, 1, config.hidden_size)
        self.token = value((1, 1), np.int64)
        self.found = value((1, K), np.int64), value((1, K), np.float32)
        states = [tuple(value(shape, np.float32) for _ in "hc") for _ in range(2)]
        # Two bindings: what one writes the other reads, and nothing is copied or allocated.
        self.bindings = []
        for old, new in (states, states[::-1]):
            binding = self.session.io_binding()
            binding.bind_ortvalue_input("token", self.token)
            binding.bind_ortvalue_output("ids", self.found[0])
            binding.bind_ortvalue_output("log_probs", self.found[1])
            for name, before, after in zip("hc", old, new, strict=True):
                binding.bind_ortvalue_input(name, before)
                binding.bind_ortvalue_output(f"{name}_after", after)
            self.bindings.append(binding)

    def step(self, token: int) -> Any:
        """A word in, predictions out."""
        self.token.update_inplace(np.array([[token]], np.int64))
        self.session.run_with_iobinding(self.bindings[0])
        self.bindings.reverse()
        return self.found

    def plain(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        """What was found, in NumPy."""
        return found[0].numpy()[0].copy(), found[1].numpy()[0].copy()


class OnnxInt8(Onnx):
    """ONNX Runtime on the graph that its quantize_dynamic makes."""

    quantized = True


class Read:
    """No peer but the limit: reading as many bytes as Carousel's step reads of its weights."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.bytes = Carousel(folder, 1).decoder.bytes_read
        memory = np.ones(self.bytes + 64, np.uint8)
        self.data = memory[-memory.ctypes.data % 64 :]
        with tempfile.TemporaryDirectory() as made:
            library = Path(made) / "read.so"
            source = Path(__file__).with_name("read.c")
            flags = ["-O3", "-march=native", "-shared", "-fPIC"]
            subprocess.run(["cc", *flags, "-o", library, source], check=True)
            self.read = ctypes.CDLL(str(library)).read_plainly
        self.read.restype = ctypes.c_uint64
        self.read.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def step(self, token: int) -> Any:
        """One pass; the token does not matter."""
        return self.read(self.data.ctypes.data, self.bytes)


def write_onnx(folder: Path) -> None:
    """Write ``float32.onnx`` and ``int8.onnx`` into a model folder."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _, config, weights, _ = read_folder(folder)
    H, L = config.hidden_size, config.layers
    rows = np.r_[0:H, 3 * H : 4 * H, H : 2 * H, 2 * H : 3 * H]  # ours are i f g o, ONNX's i o f g
    made: dict[str, np.ndarray] = {
        "embedding": np.asarray(weights["embedding.weight"]),
        "decoder": np.ascontiguousarray(np.asarray(weights["decoder.weight"]).T),
        "decoder_bias": np.asarray(weights["decoder.bias"]),
        "k": np.array([K], np.int64),
        "one": np.array([1], np.int64),
        "layers": np.ones(L, np.int64),
        "last": np.array([1, H], np.int64),
    }
    node = helper.make_node
    nodes = [node("Gather", ["embedding", "token"], ["x0"])]
    for part in "hc":
        names = [f"{part}{layer}" for layer in range(L)]
        nodes.append(node("Split", [part, "layers"], names, axis=0))
    for n in range(L):
        for name, kind in (("W", "weight_ih"), ("R", "weight_hh")):
            made[f"{name}{n}"] = np.asarray(weights[f"layers.{n}.{kind}"])[rows][None]
        biases = [np.asarray(weights[f"layers.{n}.bias_{kind}"])[rows] for kind in ("ih", "hh")]
        made[f"B{n}"] = np.concatenate(biases)[None]
        inputs = [f"x{n}", f"W{n}", f"R{n}", f"B{n}", "", f"h{n}", f"c{n}"]
        nodes.append(node("LSTM", inputs, [f"y{n}", f"h{n}_", f"c{n}_"], hidden_size=H))
        if n < L - 1:
            nodes.append(node("Squeeze", [f"y{n}", "one"], [f"x{n + 1}"]))
    for part in "hc":
        names = [f"{part}{layer}_" for layer in range(L)]
        nodes.append(node("Concat", names, [f"{part}_after"], axis=0))
    nodes += [
        node("Reshape", [f"h{L - 1}_", "last"], ["hidden"]),
        node("MatMul", ["hidden", "decoder"], ["scores"]),
        node("Add", ["scores", "decoder_bias"], ["logits"]),
        node("TopK", ["logits", "k"], ["best", "ids"]),
        node("ReduceLogSumExp", ["logits", "one"], ["total"], keepdims=1),
        node("Sub", ["best", "total"], ["log_probs"]),
    ]
    state = (TensorProto.FLOAT, [L, 1, H])
    graph = helper.make_graph(
        nodes,
        "decoder",
        [
            helper.make_tensor_value_info("token", TensorProto.INT64, [1, 1]),
            *(helper.make_tensor_value_info(part, *state) for part in "hc"),
        ],
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [1, K]),
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, [1, K]),
            *(helper.make_tensor_value_info(f"{part}_after", *state) for part in "hc"),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in made.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "float32.onnx"))
    quantize_dynamic(
        folder / "float32.onnx",
        folder / "int8.onnx",
        op_types_to_quantize=["MatMul", "LSTM"],
        per_channel=False,  # the fastest of its variants, if not the most exact
        weight_type=QuantType.QInt8,
    )


PEERS: dict[str, tuple[type[Any], str]] = {
    "Carousel float32": (Carousel, "float32"),
    "Carousel bfloat16": (Carousel, "bfloat16"),
    "Carousel int8": (Carousel, "int8"),
    "PyTorch eager": (Torch, "float32"),
    "PyTorch dynamic int8": (TorchInt8, "float32"),
    "ONNX Runtime float32": (Onnx, "float32"),
    "ONNX Runtime int8": (OnnxInt8, "float32"),
    "read float32": (Read, "float32"),
    "read bfloat16": (Read, "bfloat16"),
    "read int8": (Read, "int8"),
}
"""Each peer's class, and the number format of the model folder that it reads."""
