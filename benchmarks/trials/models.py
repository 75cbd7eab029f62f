"""Small models and texts that the trials work on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.text.vocabulary import train_tokenizer


def random_model(seed: int, cell: str = "lstm", words: int = 40, **sizes: int) -> LanguageModel:
    """A model with random weights; another seed has other words, too."""
    tokenizer = train_tokenizer("words", [" ".join(f"w{seed}x{n}" for n in range(words))])
    shape = {"embedding_size": 8, "hidden_size": 8, "layers": 1} | sizes
    config = Config(cell, tokenizer.vocab_size, tied=False, **shape)
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(scale=0.5, size=shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    return LanguageModel.from_weights(config, weights, tokenizer)


def write_text(path: Path, seed: int, words: int = 6000) -> Path:
    """A text of random words."""
    chosen = random.Random(seed).choices([f"w{n}" for n in range(400)], k=words)
    lines = (" ".join(chosen[first : first + 12]) for first in range(0, words, 12))
    path.write_text("\n".join(lines) + "\n")
    return path
