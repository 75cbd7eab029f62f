"""The shape of the model that the settings ask for, and its regularization."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch

from carousel.storage.config import Config
from carousel.training.nn.cutoffs import choose_cutoffs, choose_tail_sizes
from carousel.training.nn.output_layer import SAMPLES
from carousel.training.nn.regularization import Regularization
from carousel.training.settings import Settings

ADAPTIVE_MIN_VOCAB = 5_000
"""The vocabulary size from which on the adaptive softmax is the faster one on a CPU."""


def choose_softmax(name: str, vocab_size: int, device: torch.device) -> str:
    """The softmax to use: ``auto`` is adaptive for a large vocabulary on a CPU, otherwise full.

    >>> choose_softmax("auto", 30_000, torch.device("cpu"))
    'adaptive'
    """
    if name != "auto":
        return name
    large = vocab_size >= ADAPTIVE_MIN_VOCAB and device.type == "cpu"
    return "adaptive" if large else "full"


def make_config(settings: Settings, vocab_size: int, counts: np.ndarray | None) -> Config:
    """The configuration of the model that the settings ask for.

    Args:
        settings: the run's settings.
        vocab_size: V.
        counts: how often each token occurs, ``[V]``, for an adaptive softmax; None for a full one.
    """
    projection_size = settings.projection_size
    if needs_projection(settings):
        projection_size = settings.embedding_size
    cutoffs = () if counts is None else choose_cutoffs(counts)
    width = projection_size or settings.hidden_size
    return Config(
        cell=settings.cell,
        vocab_size=vocab_size,
        embedding_size=settings.embedding_size,
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        tied=settings.tie_embeddings,
        projection_size=projection_size,
        cutoffs=cutoffs,
        tail_sizes=choose_tail_sizes(width, len(cutoffs), tied=settings.tie_embeddings),
        carry_state=settings.carry_state,
    )


def make_regularization(settings: Settings) -> Regularization:
    """The regularization that the settings ask for: their fields of the same names.

    >>> make_regularization(Settings(weight_drop=0.5)).weight_drop
    0.5
    """
    return Regularization(**{f.name: getattr(settings, f.name) for f in fields(Regularization)})


def needs_projection(settings: Settings) -> bool:
    """Whether tied embeddings need a projection that the settings do not name."""
    differ = settings.embedding_size != settings.hidden_size
    return settings.tie_embeddings and not settings.projection_size and differ


def falls_back_to_full(softmax: str, config: Config) -> bool:
    """Whether the vocabulary is too small for an adaptive or sampled softmax to save time."""
    if softmax == "adaptive":
        return not config.cutoffs
    return softmax == "sampled" and config.vocab_size <= SAMPLES
