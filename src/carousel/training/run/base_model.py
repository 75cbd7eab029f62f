"""The model that a fine-tuning run starts from: its folder, its hash, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carousel.errors import FolderError, SettingsError
from carousel.pretrained import find_folder
from carousel.storage.config import Config
from carousel.storage.model_folder import ModelFolder, read_folder
from carousel.text.tokenizer import Tokenizer
from carousel.training.nn.network import Network
from carousel.training.run.checkpoint import hash_contents

FINE_TUNING: Mapping[str, Any] = {
    "learning_rate": 0.0005,
    "epochs": 2.0,
    "l2_sp": 60.0,
    "unk_probability": 0.0,
}
"""Settings of a fine-tuning run, where they are not given: docs/training.md has what others do."""
ONLY_EXTENDED = ("min_count", "vocab_size")
"""Settings of the vocabulary, which mean nothing where the model's own is kept."""
START_ONLY = ("embedding_std",)
"""Settings of weights that start at random."""


@dataclass(frozen=True)
class BaseModel:
    """Which model a run was started from: what ``run.json`` keeps of it."""

    path: str
    """Its folder, absolute."""
    sha256: str
    """The hash of its weights and its tokenizer, whatever format they are stored in."""

    @classmethod
    def of(cls, folder: ModelFolder) -> BaseModel:
        """The record of a model folder that was read."""
        return cls(str(folder.path.absolute()), hash_model(folder))

    def reopen(self) -> ModelFolder:
        """Read the model again.

        Raises:
            FolderError: it is gone or damaged, or another model is in its place.
        """
        folder = read_folder(self.path)
        if hash_model(folder) != self.sha256:
            raise FolderError(
                f"{self.path} is not the model that the run began with: put that back to resume"
            )
        return folder


def read_base_model(name: str | Path, out: Path | None) -> ModelFolder:
    """Read the model to start from.

    Args:
        name: a model folder, or the name of a model that comes with the package.
        out: the folder that the run writes, which must be another one.

    Raises:
        FolderError: no model there, or a damaged one; or ``out`` is that folder.
    """
    path = find_folder(name)
    if out is not None and out.resolve() == path.resolve():
        raise FolderError(f"{out} is the model to start from, which is kept: choose another --out")
    return read_folder(path)


def hash_model(folder: ModelFolder) -> str:
    """The SHA-256 of a model's weights, as float32, and of its tokenizer."""
    network = Network.from_model(folder.config, folder.weights)
    weights = {name: weight.detach() for name, weight in network.named_weights().items()}
    return hash_contents(weights, folder.tokenizer.to_json())


def fine_tuning_settings(
    folder: ModelFolder, recipe: Mapping[str, Any], given: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The tables of settings of a run that starts from a model, for ``Settings.merged``.

    Args:
        folder: the model.
        recipe: the recipe's settings.
        given: the settings that were given beside it.

    Raises:
        SettingsError: a setting disagrees with the model, or means nothing here.
    """
    shape = settings_of(folder.config, folder.tokenizer)
    for table in (recipe, given):
        for name, value in shape.items():
            if not agrees(name, table.get(name), value):
                raise SettingsError(
                    f"{name} is {value!r} in {folder.path}, not {table[name]!r}: leave it out"
                )
    extended = {**recipe, **given}.get("extend_vocab")
    for name in (*START_ONLY, *(() if extended else ONLY_EXTENDED)):
        if given.get(name) is not None:
            what = "the vocabulary" if name in ONLY_EXTENDED else "the embedding"
            advice = ", or set extend_vocab = true" if name in ONLY_EXTENDED else ""
            raise SettingsError(f"{name}: {what} is that of {folder.path}: leave it out{advice}")
    if "sampled" in (recipe.get("softmax"), given.get("softmax")):
        shape = {**shape, "softmax": "sampled"}
    return [FINE_TUNING, recipe, given, shape]


def settings_of(config: Config, tokenizer: Tokenizer) -> dict[str, Any]:
    """The settings that a model and its tokenizer decide.

    >>> from carousel.text.tokenizer import make_tokenizer
    >>> tokenizer = make_tokenizer("words", ["<unk>", "<eos>", "a"], lowercase=True)
    >>> settings_of(Config("gru", 3, 4, 5, layers=2, tied=False), tokenizer)["hidden_size"]
    5
    """
    return {
        "tokenizer": tokenizer.kind,
        "lowercase": tokenizer.lowercase,
        "cell": config.cell,
        "layers": config.layers,
        "embedding_size": config.embedding_size,
        "hidden_size": config.hidden_size,
        "tie_embeddings": config.tied,
        "projection_size": config.projection_size,
        "softmax": "adaptive" if config.cutoffs else "full",
        "carry_state": config.carry_state,
    }


def agrees(name: str, given: object, value: object) -> bool:
    """Whether a setting that was given, or None, is that of the model.

    >>> agrees("layers", None, 2), agrees("layers", 1, 2), agrees("softmax", "auto", "full")
    (True, False, True)
    """
    if name == "softmax":
        return given in (None, "auto", value) or (given, value) == ("sampled", "full")
    # 0 stands for the projection that tied embeddings need.
    return given in (None, value) or (name == "projection_size" and given == 0)
