"""PyTorch state dicts out, with a small module that loads them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from carousel.cells import CELLS, LSTM
from carousel.convert.foreign_file import check_replaceable_file
from carousel.convert.pytorch_module import module_source
from carousel.errors import ConvertError
from carousel.storage.atomic import write_file
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder
from carousel.storage.number_formats import to_float32
from carousel.storage.untie import untie

SUFFIXES = (".safetensors", ".pt", ".pth")


def export_pytorch(folder: str | Path, out: str | Path, *, force: bool = False) -> None:
    """Write a model folder's model as a state dict, and a module that loads it beside it.

    For ``notes.safetensors`` these are ``notes.py``, whose ``load_model()`` gives a
    ``torch.nn.Module``, and ``notes.tokenizer.json``. Layers are ``nn.RNN``, ``nn.GRU`` or
    ``nn.LSTM``; coupled gates are an LSTM by ``1 - σ(a) = σ(-a)``. What these layers do not have
    (peepholes, the paper's reset gate) is written out in the module.

    Args:
        folder: the model folder; matrices in fewer bits are widened to float32.
        out: the file to write: ``.safetensors``, or ``.pt`` for PyTorch's own format, a pickle.
        force: replace files that are there.

    Raises:
        ConvertError: another kind of file, or ``.pt`` where PyTorch is not installed.
        FolderError: the folder can't be read, or a file can't be written or is there.

    ::

        export_pytorch("models/notes", "notes.safetensors")
    """
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise ConvertError(f"{out} must end in .safetensors, or in .pt for PyTorch's own format")
    beside = (out.with_suffix(".py"), out.with_suffix(".tokenizer.json"))
    for path in (out, *beside):
        check_replaceable_file(path, force=force)
    content = read_folder(folder)
    config = content.config
    weights = {
        name: to_float32(weight) for name, weight in untie(content.weights, config.cutoffs).items()
    }
    state_dict = _state_dict(config, weights)
    write_file(out, _to_bytes(state_dict, out))
    write_file(beside[0], module_source(config, out.name))
    write_file(beside[1], content.tokenizer.to_json())


def _state_dict(config: Config, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights by the names that they have in the module."""
    cell = CELLS[config.cell]
    coupled = isinstance(cell, LSTM) and cell.coupled
    state_dict = {}
    for name, weight in weights.items():
        if not name.startswith("layers."):
            # A tied adaptive softmax has its rows under the names of one that is not, too.
            if name != "decoder.clusters.weight":
                state_dict[name] = weight
            continue
        _, layer, field = name.split(".")
        if coupled:
            weight = _uncouple(weight, config.hidden_size)
        state_dict[f"rnn.{field}_l{layer}"] = weight
    return {name: np.ascontiguousarray(weight) for name, weight in state_dict.items()}


def _uncouple(weight: np.ndarray, size: int) -> np.ndarray:
    """Rows of the gates ``i, g, o`` as ``i, f, g, o``; of peepholes ``i, o`` as ``i, f, o``."""
    i, rest = weight[:size], weight[size:]
    return np.concatenate([i, -i, rest])  # f = 1 - σ(a_i) = σ(-a_i)


def _to_bytes(state_dict: Mapping[str, np.ndarray], out: Path) -> bytes:
    if out.suffix == ".safetensors":
        from safetensors.numpy import save

        return save(dict(state_dict), metadata={"format": "pt"})
    if find_spec("torch") is None:
        raise ConvertError(
            f"{out}: only PyTorch writes this format: pip install 'carousel-lstm[train]', or "
            f"choose .safetensors"
        )
    import torch

    buffer = io.BytesIO()
    torch.save({name: torch.tensor(array) for name, array in state_dict.items()}, buffer)
    return buffer.getvalue()
