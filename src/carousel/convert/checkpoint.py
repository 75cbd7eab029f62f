"""A checkpoint's weights as float32 arrays by name. Nothing in a file is ever run."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from carousel.errors import ConvertError
from carousel.storage.safetensors import MAX_HEADER_BYTES
from carousel.storage.strict_json import parse_json

STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")
"""Under these keys training scripts keep the state dict among other things."""
WRAPPERS = {"module", "_orig_mod"}
"""What DataParallel and torch.compile put into the names."""
NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The types of safetensors that are numbers with a fraction, as NumPy reads them."""


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """The weights of a ``.safetensors`` file, or of what ``torch.save`` wrote of a state dict.

    Names lose what wrappers put into them (``module.``, ``_orig_mod.``).

    Raises:
        ConvertError: an unreadable file, one that holds more than weights, weights that are no
            ordinary finite floats, or PyTorch's format where PyTorch is not installed.
    """
    if not path.is_file():
        raise ConvertError(f"{path} is not there: no such file")
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
    from safetensors import SafetensorError, deserialize

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConvertError(f"{path} can't be read: {error.strerror or error}") from None
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise ConvertError(f"{path} is not a safetensors file, or is cut short")
    parse_json(data[8 : 8 + size], str(path))  # the library lets a name stand there twice
    try:
        entries = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ConvertError(f"{path} is not a safetensors file, or is damaged: {error}") from None
    weights = {}
    for name, entry in entries:
        kind = NUMPY_TYPES.get(entry["dtype"])
        if kind is None:
            raise ConvertError(_not_float(path, name, entry["dtype"]))
        values = np.frombuffer(entry["data"], dtype=kind)
        if entry["dtype"] == "BF16":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        weights[name] = _as_float32(values).reshape(entry["shape"])
    return weights


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    if find_spec("torch") is None:
        raise ConvertError(
            f"{path}: only PyTorch reads this format: pip install 'carousel-lstm[train]', "
            f"or save the weights as .safetensors"
        )
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats, about which the errors below say more
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    # The library raises a dozen kinds of errors for whatever it can't read.
    except Exception as error:
        raise ConvertError(f"{path} {_why(error)}") from None
    state_dict = _unwrap(loaded)
    tensors = {name: value for name, value in state_dict.items() if isinstance(value, torch.Tensor)}
    size = path.stat().st_size
    weights = {}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or not tensor.is_floating_point():
            kind = str(tensor.dtype if tensor.layout == torch.strided else tensor.layout)
            raise ConvertError(_not_float(path, name, kind.removeprefix("torch.")))
        # A few bytes on disk can claim to be a tensor of any size.
        if math.prod(tensor.shape) * tensor.element_size() > size:
            raise ConvertError(f"{path}: {name} claims to be larger than the whole file")
        weights[name] = _as_float32(tensor.detach().to(torch.float64).numpy())
    return weights


def _unwrap(loaded: Any) -> Mapping[str, Any]:
    """The state dict, out of what training scripts put around it."""
    for _ in STATE_DICT_KEYS:
        if isinstance(loaded, Mapping):
            inner = (loaded[key] for key in STATE_DICT_KEYS if isinstance(loaded.get(key), Mapping))
            loaded = next(inner, loaded)
    if not isinstance(loaded, Mapping):
        return {}
    return {name: value for name, value in loaded.items() if isinstance(name, str)}


def _as_float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        return values.astype(np.float32)


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
