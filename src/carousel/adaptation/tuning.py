"""The parameters of a cache and of dynamic evaluation, chosen on a validation text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from carousel.adaptation.adapted import AdaptName, check_adapt, need_torch
from carousel.errors import PredictionError, SettingsError, TextError
from carousel.inference.model import RecurrentLM
from carousel.inference.neural_cache import CacheBackend, attention, mix
from carousel.storage.adaptation import (
    CacheParameters,
    DynamicParameters,
    read_adaptation,
    write_adaptation,
    write_gradients,
)
from carousel.text.corpus import build_corpus
from carousel.text.files import ProgressCallback
from carousel.text.tokenizer import Tokenizer

CACHE_TOKENS = 100_000
"""Tokens of the validation text that a cache is tuned on, from its start."""
DYNAMIC_TOKENS = 10_000
"""Tokens that dynamic evaluation is tuned on, once for each choice, from the text's start."""
GRADIENT_TOKENS = 250_000
"""Tokens that gradients are measured on."""
SIZES = (100, 200, 500, 1000, 2000, 4000)
LAMBDAS = (0.02, 0.05, 0.08, 0.11, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
STEEPNESS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""The values of θ times the standard deviation of the similarities."""
EPSILON = 2e-3
"""ε of dynamic evaluation, as in the paper's own code."""
LEARNING_RATES = (1e-4, 3e-4, 1e-3, 2e-3, 4e-3, 8e-3)
DECAYS = (0.0, 1e-3, 3e-3, 1e-2, 2e-2, 5e-2)
WINDOWS = (5, 10, 20)
BLOCK = 256


@dataclass(frozen=True)
class Tuning:
    """What came of tuning."""

    adapt: AdaptName
    parameters: CacheParameters | DynamicParameters
    """The best parameters."""
    tokens: int
    """On so many tokens they were compared."""
    perplexity_before: float
    """Per token on these, of the model as it is."""
    perplexity_after: float
    """Of the model that adapts, with the best parameters."""


def tune(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    files: Sequence[Path],
    folder: Path,
    adapt: AdaptName = "cache",
    *,
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    on_progress: ProgressCallback | None = None,
) -> Tuning:
    """Choose the parameters of ``adapt`` on a validation text, and keep them in the model's folder.

    ``adaptation.json`` is written there, and for dynamic evaluation ``gradients.safetensors``. The
    weights stay as they are.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        files: a validation text: not the one that the model was trained on.
        folder: the model's folder.
        adapt: ``"cache"`` or ``"dynamic"``.
        encoding: the files' encoding; UTF-16 and UTF-32 are known by their marks, too.
        encoding_errors: ``strict``, or ``replace`` for U+FFFD where bytes can't be read.
        on_progress: ``on_progress(done, total)`` counts the tokens of all readings.

    Raises:
        SettingsError: another name, or PyTorch is missing.
        TextError: a file can't be read, or is too short.
        FolderError: the folder can't be written.
    """
    check_adapt(adapt)
    corpus = build_corpus(files, tokenizer, encoding=encoding, encoding_errors=encoding_errors)
    ids = np.concatenate([[tokenizer.eol_id], corpus.ids[:GRADIENT_TOKENS]]).astype(np.int64)
    if len(ids) < 100:
        raise TextError(f"{len(ids) - 1} tokens are too few to tune on")
    if adapt == "cache":
        tuning = tune_cache(model, ids[: CACHE_TOKENS + 1], on_progress)
        assert isinstance(tuning.parameters, CacheParameters)
        write_adaptation(folder, replace(read_adaptation(folder), cache=tuning.parameters))
        return tuning
    need_torch()
    from carousel.training.nn.dynamic_evaluation import measure_gradients

    config, gradients = measure_gradients(model.config, model.stored, ids)
    tuning = tune_dynamic(model, ids[: DYNAMIC_TOKENS + 1], gradients, on_progress)
    assert isinstance(tuning.parameters, DynamicParameters)
    write_gradients(folder, config, gradients)
    write_adaptation(folder, replace(read_adaptation(folder), dynamic=tuning.parameters))
    return tuning


def tune_cache(
    model: RecurrentLM, ids: np.ndarray, on_progress: ProgressCallback | None = None
) -> Tuning:
    """The best θ, λ and size on ``ids [N]``: all of a grid at once, in one reading.

    Args:
        model: the model.
        ids: token ids of a validation text; the first one is only read.
        on_progress: ``on_progress(done, total)`` counts tokens.
    """
    sizes = [size for size in SIZES if size < len(ids)] or [len(ids) - 1]
    backend = CacheBackend(model.backend, CacheParameters(size=sizes[-1]))
    nats = np.zeros((len(sizes), len(STEEPNESS), len(LAMBDAS)))
    plain, thetas = 0.0, np.zeros(0)
    state = backend.initial_state()
    for first in range(0, len(ids) - 1, BLOCK):
        part, targets = ids[first : first + BLOCK], ids[first + 1 : first + 1 + BLOCK]
        reading = backend.read(part[: len(targets), None], state)
        state = reading.state
        recall = backend.recall(reading.hidden[:, 0])
        own = model.log_probs(recall.hidden, targets)
        plain -= float(own.sum(dtype=np.float64))
        if not len(thetas):
            spread = float(recall.similarities[recall.words >= 0].std())
            thetas = np.array([float(f"{s / max(spread, 1e-6):.3g}") for s in STEEPNESS])
        for row, size in enumerate(sizes):
            similarities, words = recall.similarities[:, -size:], recall.words[:, -size:]
            right = words == targets[:, None]
            there = (words >= 0).any(axis=1)
            for column, theta in enumerate(thetas):
                cached = (attention(similarities, words, float(theta)) * right).sum(axis=1)
                for entry, lambda_ in enumerate(LAMBDAS):
                    mixed = np.where(there, mix(own, cached, lambda_), own)
                    nats[row, column, entry] -= mixed.sum(dtype=np.float64)
        if on_progress:
            on_progress(first + len(targets), len(ids) - 1)
    count = len(ids) - 1
    row, column, entry = (int(at) for at in np.unravel_index(int(np.argmin(nats)), nats.shape))
    best = CacheParameters(float(thetas[column]), LAMBDAS[entry], sizes[row])
    return Tuning("cache", best, count, _exp(plain / count), _exp(float(nats.min()) / count))


def tune_dynamic(
    model: RecurrentLM,
    ids: np.ndarray,
    gradients: dict[str, np.ndarray],
    on_progress: ProgressCallback | None = None,
) -> Tuning:
    """The best rate, decay and window on ``ids [N]``, one after the other.

    Args:
        model: the model.
        ids: token ids of a validation text; the first one is only read.
        gradients: as ``measure_gradients`` finds them.
        on_progress: ``on_progress(done, total)`` counts the tokens of all readings.

    Raises:
        SettingsError: the model learns with none of them.
    """
    from carousel.training.nn.dynamic_evaluation import DynamicBackend

    best = DynamicParameters(LEARNING_RATES[2], DECAYS[2], EPSILON, WINDOWS[2])
    choices: list[tuple[str, Sequence[Any]]] = [
        ("learning_rate", LEARNING_RATES), ("decay", DECAYS), ("window", WINDOWS),
    ]  # fmt: skip
    trials = sum(len(values) for _, values in choices) - 2
    count, done = len(ids) - 1, 0
    nats: dict[DynamicParameters, float] = {}

    def measure(parameters: DynamicParameters) -> float:
        if parameters not in nats:
            backend = DynamicBackend(model.config, model.stored, parameters, gradients)
            with np.errstate(over="ignore", invalid="ignore"):  # at too high a rate
                nats[parameters] = read_nats(model.with_backend(backend), ids, advance)
        return nats[parameters]

    def advance(tokens: int) -> None:
        nonlocal done
        done += tokens
        if on_progress:
            on_progress(min(done, trials * count), trials * count)

    for name, values in choices:
        best = min((replace(best, **{name: value}) for value in values), key=measure)
    if not math.isfinite(measure(best)):
        raise SettingsError("the model learns with none of the rates: its loss grows beyond bounds")
    plain = read_nats(model, ids)
    return Tuning("dynamic", best, count, _exp(plain / count), _exp(measure(best) / count))


def read_nats(
    model: RecurrentLM, ids: np.ndarray, advance: Callable[[int], None] | None = None
) -> float:
    """The sum of ``-ln p`` of all of ``ids [N]`` but the first; infinite if the model diverges."""
    state, nats = model.initial_state(), 0.0
    for first in range(0, len(ids) - 1, BLOCK):
        targets = ids[first + 1 : first + 1 + BLOCK]
        try:
            reading = model.read(ids[first : first + len(targets), None], state)
        except PredictionError:
            return math.inf
        state = reading.state
        nats -= float(model.log_probs(reading.hidden[:, 0], targets).sum(dtype=np.float64))
        if advance is not None:
            advance(len(targets))
    return nats if math.isfinite(nats) else math.inf


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700.0))
