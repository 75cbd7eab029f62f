"""A model in fewer bits, and what that does to its size, its perplexity and its speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from carousel.errors import SettingsError
from carousel.evaluate import evaluate
from carousel.inference.model import RecurrentLM
from carousel.model import LanguageModel
from carousel.pretrained import find_folder
from carousel.storage.adaptation import ADAPTATION_FILES
from carousel.storage.model_folder import read_folder, write_folder
from carousel.storage.number_formats import DTYPES, cast_weights
from carousel.text.files import ProgressCallback, find_files

KEPT = ("recipe.toml", "metrics.jsonl", "learning-curve.png", *ADAPTATION_FILES)
"""What training and tuning left beside the model and goes with it."""
BEST = 3
"""How many next words a step predicts, as a keyboard shows them."""
ROUNDS = 15
ROUND_SECONDS = 0.03


@dataclass(frozen=True)
class QuantizationReport:
    """What a model was before, and what it is after. Values that were not measured are None."""

    bytes_before: int
    """Of the weights' file."""
    bytes_after: int
    words_per_second_before: float
    """Single steps: a word in; the likeliest next words and the new state out."""
    words_per_second_after: float
    perplexity_before: float | None
    """Per token, on the files given."""
    perplexity_after: float | None


def quantize(
    source: str | Path,
    out: str | Path,
    dtype: str,
    *,
    on: Sequence[str | Path] = (),
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    skip_bad_files: bool = False,
    force: bool = False,
    on_progress: ProgressCallback | None = None,
) -> QuantizationReport:
    """Write the float32 model ``source`` to the folder ``out`` with its matrices in ``dtype``.

    Args:
        source: a model folder, or the name of a shipped model.
        out: the folder to write.
        dtype: ``int8`` or ``bfloat16``.
        on: texts to measure perplexity on, before and after.
        encoding: the files' encoding; UTF-16 and UTF-32 are known by their marks, too.
        encoding_errors: ``strict``, or ``replace`` for U+FFFD where bytes can't be read.
        skip_bad_files: go on without the files that can't be read as text, with a warning.
        force: replace a model that is in ``out``.
        on_progress: ``on_progress(done, total)`` counts the tokens of both evaluations together.

    Raises:
        SettingsError: an unknown ``dtype``, or a model that is in fewer bits already.
        FolderError: no model in ``source``, or one that is kept in ``out``.
        TextError: a file can't be read, or has only unknown words.
    """
    if dtype not in DTYPES[1:]:
        raise SettingsError(f"a model is quantized to {' or '.join(DTYPES[1:])}, not {dtype!r}")
    files: list[Path] = []
    if on:
        files = find_files(
            on, encoding=encoding, encoding_errors=encoding_errors, skip_bad_files=skip_bad_files
        )
    # What goes with the model is read with it: the folder may be replaced meanwhile.
    content = read_folder(find_folder(source), extra=KEPT)
    before = LanguageModel(RecurrentLM(content.config, content.weights), content.tokenizer)
    if before.config.dtype != DTYPES[0]:
        raise SettingsError(
            f"{source} is in {before.config.dtype} already: quantize the float32 model it came from"
        )
    config = replace(before.config, dtype=dtype)
    sizes = [_weights_size(content.path)]
    stored = cast_weights(
        {name: before.model.weights[name] for name in config.weight_shapes()}, dtype
    )
    write_folder(out, config, stored, before.tokenizer, extra=content.extra, force=force)
    after = LanguageModel.load(out)
    sizes.append(_weights_size(Path(out)))
    perplexities: list[float | None] = [None, None]
    if files:
        for number, model in enumerate((before, after)):
            perplexities[number] = evaluate(
                model.model,
                model.tokenizer,
                files,
                encoding=encoding,
                encoding_errors=encoding_errors,
                on_progress=_half(on_progress, number),
            ).perplexity
    return QuantizationReport(*sizes, *measure_speed([before.model, after.model]), *perplexities)


def measure_speed(models: Sequence[RecurrentLM]) -> list[float]:
    """Words per second of single steps of each model, the median over rounds that take turns."""
    ids = np.random.default_rng(0).integers(0, min(m.config.vocab_size for m in models), 997)
    steppers = [_stepper(model) for model in models]
    speeds: list[list[float]] = [[] for _ in models]
    for turn in range(ROUNDS + 1):
        for step, measured in zip(steppers, speeds, strict=True):
            steps, start = 0, time.perf_counter()
            while (taken := time.perf_counter() - start) < ROUND_SECONDS or not steps:
                step(ids[steps % len(ids), None])
                steps += 1
            if turn:  # the first round warms up
                measured.append(steps / taken)
    return [median(measured) for measured in speeds]


def _stepper(model: RecurrentLM) -> Callable[[np.ndarray], object]:
    """A function that reads one word and predicts the next, and keeps the state."""
    decoder = model.decoder
    if decoder is not None:
        buffer = decoder.initial_state()
        k = min(BEST, model.config.vocab_size)

        def step(ids: np.ndarray) -> object:
            return decoder.step_top_k(ids, buffer, k, out=buffer)

    else:
        state = model.initial_state()

        def step(ids: np.ndarray) -> object:
            nonlocal state
            logits, state = model.step(ids, state)
            return logits

    return step


def _half(on_progress: ProgressCallback | None, number: int) -> ProgressCallback | None:
    if on_progress is None:
        return None
    return lambda done, total: on_progress(number * total + done, 2 * total)


def _weights_size(folder: Path) -> int:
    return (folder / "model.safetensors").stat().st_size
