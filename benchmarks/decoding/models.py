"""The models that are timed: random weights of four sizes, in each number format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from carousel.storage.config import Config
from carousel.storage.model_folder import write_folder
from carousel.storage.number_formats import DTYPES, cast_weights
from carousel.text.vocabulary import train_tokenizer

MODELS = {
    "keyboard": (96, 670, 1, 10_000),
    "small": (200, 200, 2, 10_000),
    "medium": (650, 650, 2, 10_000),
    "large": (400, 1150, 3, 33_278),
}
"""Embedding E, hidden units H, layers L, vocabulary V of each."""


def write_models(name: str, out: Path) -> dict[str, Path]:
    """Write model ``name`` in every number format; the folders by format."""
    E, H, L, V = MODELS[name]
    words = " ".join(f"word{number}" for number in range(V - 2))
    tokenizer = train_tokenizer("whitespace", [words])
    config = Config("lstm", V, E, H, L, tied=False)
    rng = np.random.default_rng(0)
    weights = {}
    for key, shape in config.weight_shapes().items():
        # Recurrent layers as PyTorch starts them; embeddings and a decoder that tell words apart.
        bound = H**-0.5 if key.startswith("layers") else 1.0
        weights[key] = rng.uniform(-bound, bound, shape).astype(np.float32)
    folders = {}
    for dtype in DTYPES:
        folders[dtype] = out / f"{name}-{dtype}"
        write_folder(
            folders[dtype], replace(config, dtype=dtype), cast_weights(weights, dtype), tokenizer
        )
    return folders
