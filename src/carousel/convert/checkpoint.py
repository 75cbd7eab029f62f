"""A checkpoint's weights as float32 arrays by name. Nothing in a file is ever run."""

from __future__ import annotations

import math
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from carousel.convert.foreign_file import check_file, open_file
from carousel.errors import ConvertError
from carousel.storage.safetensors import MAX_HEADER_BYTES
from carousel.storage.strict_json import parse_json

TRAINING_STATE = re.compile(
    r"(.*_)?(optim\w*|schedulers?|lr_schedulers|callbacks|loops|ema|scaler|rng\w*)"
)
"""Under such keys training scripts keep what they need to go on, and what is no part of a model."""
MAX_SHARING = 8
"""How many times the file's size its tensors may come to, as weights may be shared."""
MAX_DEPTH = 12
"""How deep dicts and lists may lie in each other."""
VOCABULARY_KEYS = ("word2idx", "stoi", "token_to_id", "idx2word", "itos", "vocab", "vocabulary")
"""Under such keys, or as attributes of such a dict, scripts keep the vocabulary."""
FOREIGN_FILES = (
    (b"version https://git-lfs", "a pointer of Git LFS: run git lfs pull to get the file itself"),
    (b"\x89HDF", "an HDF5 file, such as Keras writes: try carousel import keras"),
    (b"<", "a web page or XML, not the file itself: download it again"),
    (b"GGUF", "a GGUF file: its weights may be quantized; import the original"),
    (b"\x93NUMPY", "a NumPy array: save all weights as .safetensors"),
    (b"{", "JSON: the weights are in another file"),
)
"""How files begin that are no checkpoints, what they are, and what to do."""
WRAPPERS = {"module", "_orig_mod"}
"""What DataParallel and torch.compile put into the names."""
NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The types of safetensors that are numbers with a fraction, as NumPy reads them."""


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """The weights of a ``.safetensors`` file, or those that ``torch.save`` wrote, as float32.

    In what PyTorch wrote the weights may lie in dicts and lists, under any keys; the state of the
    training beside them (an optimizer's, say) is left out. Names lose what wrappers put into them
    (``module.``, ``_orig_mod.``).

    Raises:
        ConvertError: an unreadable file, one that holds more than weights, weights that are no
            ordinary finite floats, or PyTorch's format where PyTorch is not installed.
    """
    _check_kind(path)
    safe = path.suffix.lower() == ".safetensors"
    weights = _read_safetensors(path) if safe else _read_torch(path)
    if not weights:
        raise ConvertError(f"{path} holds no weights")
    named: dict[str, np.ndarray] = {}
    for name, weight in weights.items():
        if not name.isprintable():
            raise ConvertError(f"{path} has a weight whose name is not text: {name!r}")
        if not np.isfinite(weight).all():
            raise ConvertError(f"{path}: {name} holds a value that is not finite")
        plain = ".".join(part for part in name.split(".") if part not in WRAPPERS)
        if plain in named:
            raise ConvertError(f"{path} holds {plain} twice")
        named[plain] = weight
    return named


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """One tensor after the other, so that the file is never in memory twice."""
    with open_file(path) as file:
        rest = os.fstat(file.fileno()).st_size - 8
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= min(MAX_HEADER_BYTES, rest):
            raise ConvertError(f"{path} is not a safetensors file, or is cut short")
        # The library lets a name stand there twice.
        entries = parse_json(file.read(size), str(path))
        _check_safetensors(path)
        entries.pop("__metadata__", None)
        weights = {}
        for name, entry in entries.items():
            kind = NUMPY_TYPES.get(entry["dtype"])
            if kind is None:
                raise ConvertError(_not_float(path, name, entry["dtype"]))
            file.seek(8 + size + entry["data_offsets"][0])
            values = np.fromfile(file, kind, math.prod(entry["shape"]))
            if entry["dtype"] == "BF16":  # the upper half of a float32
                values = (values.astype(np.uint32) << 16).view(np.float32)
            weights[name] = _as_float32(values).reshape(entry["shape"])
    return weights


def _check_safetensors(path: Path) -> None:
    """Let the library check the header: types, shapes, and that all tensors lie in the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise ConvertError(f"{path} is not a safetensors file, or is damaged: {error}") from None


def read_stored_vocabulary(path: Path) -> Any:
    """The vocabulary that lies in a PyTorch checkpoint beside the weights, or None.

    Returns:
        A list of tokens, or a table of tokens and ids, as it was saved.

    Raises:
        ConvertError: an unreadable file.
    """
    if path.suffix.lower() == ".safetensors":
        return None
    check_file(path)

    seen: set[int] = set()

    def search(value: Any, depth: int) -> Any:
        if not isinstance(value, Mapping) or depth > MAX_DEPTH or id(value) in seen:
            return None
        seen.add(id(value))
        for key in VOCABULARY_KEYS:
            if isinstance(value.get(key), Mapping | list | tuple) and len(value[key]):
                inner = search(value[key], depth + 1)
                return value[key] if inner is None else inner
        nested = (search(inner, depth + 1) for inner in value.values())
        return next((inner for inner in nested if inner is not None), None)

    return search(_load_torch(path), 0)


def read_saved_vocabulary(path: Path) -> Any:
    """The vocabulary in a file of its own that ``torch.save`` wrote; None for another file.

    Returns:
        A list of tokens, or a table of tokens and ids, as it was saved.

    Raises:
        ConvertError: it holds objects, such as a vocabulary of torchtext, and is not unpickled.
    """
    with open_file(path) as file:
        start = file.read(2)
    if start not in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return None
    try:
        loaded = _load_torch(path)
    except ConvertError:
        raise ConvertError(
            f"{path} is a pickle of objects, and is not unpickled: save the tokens as JSON, such "
            f"as json.dump(vocab.get_itos(), file)"
        ) from None
    return loaded if isinstance(loaded, list | tuple) else dict(loaded)


def _check_kind(path: Path) -> None:
    """Name a file that is something else than a checkpoint, and say what to do."""
    with open_file(path) as file:
        start = file.read(512)
    for magic, kind in FOREIGN_FILES:
        if start.lstrip().startswith(magic):
            raise ConvertError(f"{path} is {kind}")
    # ONNX has no magic number: a version, and then who made it.
    if start[:1] == b"\x08" and (path.suffix.lower() == ".onnx" or b"pytorch" in start[:64]):
        raise ConvertError(f"{path} is an ONNX graph: try carousel import onnx")


def _load_torch(path: Path) -> Any:
    if find_spec("torch") is None:
        raise ConvertError(
            f"{path}: only PyTorch reads this format: pip install 'carousel-lstm[train]', "
            f"or save the weights as .safetensors"
        )
    import torch

    _check_packing(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats, about which the errors below say more
            return torch.load(path, map_location="cpu", weights_only=True)
    # The library raises a dozen kinds of errors for whatever it can't read.
    except Exception as error:
        raise ConvertError(f"{path} {_why(error)}") from None


def _check_packing(path: Path) -> None:
    """PyTorch unpacks the whole file at once: it may not come to much more than it is."""
    size = path.stat().st_size
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # PyTorch says what is wrong with it
    if unpacked > MAX_SHARING * size:
        raise ConvertError(f"{path} unpacks to {unpacked // size} times its size, as no weights do")


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    loaded = _load_torch(path)
    import torch

    ordinary = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    size = path.stat().st_size
    weights: dict[str, np.ndarray] = {}
    total = 0
    for name, tensor in _tensors(loaded, "", torch.Tensor, set()):
        if tensor.is_meta:
            raise ConvertError(f"{path}: {name} is a meta tensor: it has a shape, but no values")
        if (
            tensor.layout != torch.strided
            or tensor.is_nested
            or tensor.is_quantized
            or tensor.dtype not in ordinary
        ):
            kind = str(tensor.dtype if tensor.layout == torch.strided else tensor.layout)
            kind = "nested" if tensor.is_nested else kind.removeprefix("torch.")
            raise ConvertError(_not_float(path, name, kind))
        # A few bytes on disk can claim to be a tensor of any size.
        if math.prod(tensor.shape) * tensor.element_size() > size:
            raise ConvertError(f"{path}: {name} claims to be larger than the whole file")
        if name in weights:
            raise ConvertError(f"{path} holds {name} twice")
        # Weights that are shared count for each of their names: two or three are usual.
        total += math.prod(tensor.shape) * tensor.element_size()
        if total > MAX_SHARING * size:
            raise ConvertError(f"{path}: its tensors claim to be {total // size} times the file")
        weights[name] = tensor.detach().to(torch.float32).resolve_neg().numpy()
    return _without_outer_name(weights)


def _tensors(
    value: Any, name: str, kind: type, seen: set[int], depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """The tensors in dicts and lists, wherever they lie, by the names that lead to them.

    A dict or list that lies in several places is read once: else a small file could hold billions.
    """
    if isinstance(value, kind):
        yield name, value
        return
    if depth > MAX_DEPTH or id(value) in seen:
        return
    if isinstance(value, Mapping):
        entries = [(key, inner) for key, inner in value.items() if isinstance(key, str)]
        entries = [entry for entry in entries if not TRAINING_STATE.fullmatch(entry[0])]
    elif isinstance(value, list | tuple):
        entries = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return
    seen.add(id(value))
    for key, inner in entries:
        yield from _tensors(inner, f"{name}.{key}" if name else key, kind, seen, depth + 1)


def _without_outer_name(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Take away what all names begin with: where in the file the state dict lay."""
    while weights and all("." in name for name in weights):
        outer = {name.partition(".")[0] for name in weights}
        inner = {name.partition(".")[2]: weight for name, weight in weights.items()}
        if len(outer) > 1 or not all("." in name for name in inner):
            break
        weights = inner
    return weights


def _as_float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        return values.astype(np.float32, copy=False)


def _why(error: Exception) -> str:
    """What was wrong with a file that PyTorch refused; its own messages fill a page."""
    text = str(error)
    if "TorchScript" in text:
        return "is a TorchScript archive, which is code: save model.state_dict() and import that"
    if "eights only load failed" in text:
        asked = re.search(r"GLOBAL ([\w.]+)", text)
        what = f" (it asks for {asked[1]})" if asked else ""
        return (
            f"holds more than weights, such as a whole pickled module{what}, and is not "
            f"unpickled: save model.state_dict() and import that"
        )
    return "is not a PyTorch checkpoint, or is damaged"


def _not_float(path: Path, name: str, kind: str) -> str:
    return (
        f"{path}: {name} is of type {kind}, not an ordinary float: give the weights as they were "
        f"before quantizing, without counters and masks"
    )
