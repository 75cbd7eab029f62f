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

from carousel.convert.onnx import export_onnx
from carousel.storage.model_folder import read_folder

K = 3


class Peer(Protocol):
    """One that decodes with a fixed number of threads."""

    def step(self, token: int) -> Any:
        """Read a word: what was predicted, in the peer's own arrays."""

    def plain(self, predictions: Any) -> tuple[np.ndarray, np.ndarray]:
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

    def plain(self, predictions: Any) -> tuple[np.ndarray, np.ndarray]:
        """What was predicted, in NumPy."""
        return predictions[0][0], predictions[1][0]

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
        content = read_folder(folder)
        config, weights = content.config, content.weights
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

    def plain(self, predictions: Any) -> tuple[np.ndarray, np.ndarray]:
        """What was predicted, in NumPy."""
        return predictions[0][0].numpy(), predictions[1][0].numpy()

    def score(self, ids: np.ndarray) -> np.ndarray:
        """The log-probability of each of ``ids [T]`` after those before it: the fused layer."""
        torch = self.torch
        with torch.inference_mode():
            text = torch.from_numpy(ids)[:, None]
            state = tuple(torch.zeros_like(part) for part in self.state)
            parts = []
            first = torch.zeros(1, 1, state[0].shape[2])
            for start in range(0, len(ids), 256):  # logits of a bounded number of words
                y, state = self.lstm(self.embedding(text[start : start + 256]), state)
                logits = self.linear(torch.cat([first, y])[:-1, 0])
                first = y[-1:]
                picked = logits.gather(1, text[start : start + 256])[:, 0]
                parts.append(picked - torch.logsumexp(logits, 1))
            return torch.cat(parts).numpy()


class TorchInt8(Torch):
    """PyTorch's dynamic quantization of the same layers."""

    quantized = True


class Onnx:
    """ONNX Runtime, on a graph of Gather, LSTM, MatMul, TopK and ReduceLogSumExp."""

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
            zeros = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype)
            zeros.update_inplace(np.zeros(shape, dtype))
            return zeros

        shape = (config.layers, 1, config.hidden_size)
        self.token = value((1, 1), np.int64)
        self.predictions = value((1, 1, K), np.int64), value((1, 1, K), np.float32)
        states = [tuple(value(shape, np.float32) for _ in "hc") for _ in range(2)]
        # Two bindings: what one writes the other reads, and nothing is copied or allocated.
        self.bindings = []
        for old, new in (states, states[::-1]):
            binding = self.session.io_binding()
            binding.bind_ortvalue_input("tokens", self.token)
            binding.bind_ortvalue_output("ids", self.predictions[0])
            binding.bind_ortvalue_output("log_probs", self.predictions[1])
            for name, before, after in zip("hc", old, new, strict=True):
                binding.bind_ortvalue_input(name, before)
                binding.bind_ortvalue_output(f"{name}_out", after)
            self.bindings.append(binding)

    def step(self, token: int) -> Any:
        """A word in, predictions out."""
        self.token.update_inplace(np.array([[token]], np.int64))
        self.session.run_with_iobinding(self.bindings[0])
        self.bindings.reverse()
        return self.predictions

    def plain(self, predictions: Any) -> tuple[np.ndarray, np.ndarray]:
        """What was predicted, in NumPy."""
        return predictions[0].numpy()[0, 0].copy(), predictions[1].numpy()[0, 0].copy()


class OnnxInt8(Onnx):
    """ONNX Runtime on the graph that its quantize_dynamic makes."""

    quantized = True


class Read:
    """No peer but the limit: reading as many bytes as Carousel's step reads of its weights."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.bytes = Carousel(folder, 1).decoder.bytes_read
        memory = np.ones(self.bytes + 64, np.uint8)
        self.data = memory[-memory.ctypes.data % 64 :]
        with tempfile.TemporaryDirectory() as folder_of_library:
            library = Path(folder_of_library) / "read.so"
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
    from onnxruntime.quantization import QuantType, quantize_dynamic

    export_onnx(folder, folder / "float32.onnx", top_k=K)
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
