"""Model folders as folders of Hugging Face transformers, and back.

Only safetensors and JSON are written and read. ``carousel.convert.transformers`` has the model's
classes; this module imports it, and with it PyTorch, only where that is needed.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from carousel.convert.assemble import Imported
from carousel.convert.checkpoint import read_checkpoint
from carousel.convert.foreign_file import read_text
from carousel.convert.transformers_tokenizer import from_transformers
from carousel.errors import ConvertError, FolderError
from carousel.model import LanguageModel
from carousel.storage.atomic import make_folder, replace_folder, sync_folder, temporary_path
from carousel.storage.config import Config
from carousel.storage.model_folder import check_replaceable, read_folder, write_folder
from carousel.storage.strict_json import parse_json

if TYPE_CHECKING:
    from carousel.convert.transformers import CarouselForCausalLM

MAX_JSON_BYTES = 2**28
"""The largest JSON file that is read."""
WEIGHTS_FILE = "model.safetensors"


def load_transformers(folder: str | Path) -> CarouselForCausalLM:
    """The model of a model folder, as a model of transformers, in float32.

    Args:
        folder: the model folder; matrices in fewer bits are widened.

    Raises:
        ConvertError: the package ``transformers`` is not installed.
        FolderError: the folder can't be read.
    """
    _check_installed()
    from carousel.convert.transformers import CarouselConfig, CarouselForCausalLM
    from carousel.training.nn.network import Network

    content = read_folder(folder)
    model = CarouselForCausalLM(CarouselConfig.from_shape(content.config))
    network = Network.from_model(content.config, content.weights)
    model.network.load_state_dict(network.state_dict())
    model.eval()
    return model


def export_transformers(folder: str | Path, out: str | Path, *, force: bool = False) -> None:
    """Write a model folder's model as a folder of transformers, in float32.

    After ``import carousel.convert.transformers``, ``AutoModelForCausalLM.from_pretrained(out)``
    and ``AutoTokenizer.from_pretrained(out)`` read it.

    Args:
        folder: the model folder; matrices in fewer bits are widened.
        out: the folder to write.
        force: replace a model that is there.

    Raises:
        ConvertError: the package ``transformers`` is not installed.
        FolderError: the folder can't be read, or ``out`` can't be written or is there.
    """
    out = Path(out)
    check_replaceable(out, force=force)
    model = load_transformers(folder)
    from carousel.convert.transformers import from_carousel, without_progress

    temporary = temporary_path(out)
    try:
        make_folder(out.parent)
        with without_progress():
            model.save_pretrained(temporary)
        from_carousel(read_folder(folder).tokenizer).save_pretrained(temporary)
        sync_folder(temporary)
        replace_folder(temporary, out)
    except OSError as error:
        raise FolderError(f"{out} can't be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def import_transformers(
    source: str | Path, vocab: str | Path | None, out: str | Path, *, force: bool = False
) -> Imported:
    """Make a model folder of a folder that transformers wrote, fine-tuned or not.

    Weights become float32. Every name and shape is checked before memory of its size is taken.

    Args:
        source: the folder, with ``config.json``, ``model.safetensors`` and ``tokenizer.json``.
        vocab: None: the tokenizer lies in ``source``.
        out: the model folder to write.
        force: replace a model folder that is there.

    Raises:
        ConvertError: PyTorch or the package ``transformers`` is not installed, or what lies in
            ``source`` is no Carousel model, or is damaged.
        FolderError: a configuration out of its range, or ``out`` is taken or can't be written.
    """
    if vocab is not None:
        raise ConvertError("the tokenizer lies in the folder: leave --vocab out")
    _check_installed()
    source = Path(source)
    check_replaceable(Path(out), force=force)
    config = _read_config(source)
    tokenizer = from_transformers(
        read_text(source / "tokenizer.json", MAX_JSON_BYTES), str(source / "tokenizer.json")
    )
    if tokenizer.vocab_size != config.vocab_size:
        raise ConvertError(
            f"{source}: tokenizer.json has {tokenizer.vocab_size} tokens, "
            f"config.json says {config.vocab_size}"
        )
    weights = _read_weights(source / WEIGHTS_FILE, config)
    write_folder(out, config, weights, tokenizer, force=force)
    return Imported(LanguageModel.load(out), ())


def _read_config(source: Path) -> Config:
    from carousel.convert.transformers import CarouselConfig

    path = source / "config.json"
    table = parse_json(read_text(path, MAX_JSON_BYTES), str(path))
    if not isinstance(table, dict) or table.get("model_type") != CarouselConfig.model_type:
        raise ConvertError(f"{path} is not of a Carousel model in transformers' format")
    try:
        return CarouselConfig(**table).shape()
    except FolderError as error:
        raise ConvertError(f"{path}: {error}") from None
    # Transformers checks types by a library that has errors of its own.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConvertError(f"{path} is not a configuration of a Carousel model: {reason}") from None


def _read_weights(path: Path, config: Config) -> dict[str, np.ndarray]:
    """The weights by their names in a model folder."""
    import torch

    from carousel.training.nn.network import Network

    if not path.exists():
        raise ConvertError(f"{path} is missing: weights in several files can't be imported")
    with torch.device("meta"):  # without memory: sizes are not yet to be believed
        network = Network(config)
    saved_names = {id(p): f"network.{name}" for name, p in network.named_parameters()}
    saved = read_checkpoint(path)
    weights = {}
    for name, parameter in network.named_weights().items():
        saved_name, shape = saved_names[id(parameter)], tuple(parameter.shape)
        if saved_name not in saved:
            raise ConvertError(f"{path} lacks {saved_name}")
        weights[name] = saved.pop(saved_name)
        if weights[name].shape != shape:
            raise ConvertError(
                f"{path}: {saved_name} has shape {list(weights[name].shape)}, not {list(shape)}"
            )
    if saved:
        raise ConvertError(f"{path} holds {min(saved)}, which no Carousel model has")
    return weights


def _check_installed() -> None:
    if find_spec("transformers") is None or find_spec("torch") is None:
        raise ConvertError(
            "this needs PyTorch and transformers: pip install 'carousel-lstm[transformers]'"
        )
