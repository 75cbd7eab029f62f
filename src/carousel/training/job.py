"""A training job: files in, a model folder out."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from carousel.errors import SettingsError
from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.storage.model_folder import check_free
from carousel.text.files import ProgressCallback
from carousel.text.tokenizer import Tokenizer
from carousel.training.data.splits import Texts, find_sources, prepare_texts, reopen_texts
from carousel.training.nn.network import Network
from carousel.training.nn.output_layer import (
    SAMPLES,
    choose_cutoffs,
    choose_tail_sizes,
    count_words,
)
from carousel.training.run.checkpoint import Files
from carousel.training.run.distributed import Alone, Group, join
from carousel.training.run.loop import fit
from carousel.training.run.model_writer import Keeper, Screen
from carousel.training.run.progress import Progress
from carousel.training.run.run_folder import Record, RunFolder
from carousel.training.run.validation import measure_loss
from carousel.training.settings import Settings, read_recipe

LARGE_VOCABULARY = 5_000
"""From so many words on the adaptive softmax is the faster one on a CPU."""


class Silence:
    """The screen that shows nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def tick(self, what: str) -> ProgressCallback:
        """A bar that is not drawn."""
        return lambda done, total: None

    def on_progress(self, progress: Progress) -> None:
        """Nothing."""

    def on_validation(self, progress: Progress, *, best: bool) -> None:
        """Nothing."""


def train_model(
    sources: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    valid: Sequence[str | Path] = (),
    test: Sequence[str | Path] = (),
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
    encoding_errors: str = "strict",
    tensorboard: bool = False,
    screen: Screen | None = None,
) -> LanguageModel:
    """Train a language model on text and return it; with ``out``, keep it in that folder.

    Args:
        sources: files, folders, globs, or ``-`` for standard input.
        out: the model folder to write; it holds the best model on validation at every moment.
            Checkpoints lie beside it, in ``out.run``, until the run has finished.
        valid: files to validate on; else a share of the text's end is taken.
        test: files to test on when all is over; else a share of the text's end, if set.
        recipe: a TOML file of settings, or the name of one that comes with Carousel.
        settings: settings by name, which override the recipe's.
        force: replace a model that is in ``out``.
        encoding_errors: ``strict``, or ``replace`` to go on where bytes are not UTF-8.
        tensorboard: write TensorBoard logs beside ``out``.
        screen: what shows the job to a person; nothing by default.

    Raises:
        TextError, SettingsError, FolderError: each in one clear line; what was in ``out`` stays.
        TrainingError: the loss is lost again and again; the best model so far stays.
    """
    screen = screen or Silence()
    with join() as group:
        if group.rank > 0:
            return follow(group)
        chosen = Settings.merged(read_recipe(recipe) if recipe else {}, settings or {})
        run = None if out is None else RunFolder(Path(out))
        if run is not None:
            run.check_free(force=force)
            check_free(run.model, force=force)
        device = prepare_machine(chosen, group)
        found = find_sources(sources, valid, test, encoding_errors)
        texts = prepare_texts(found, chosen, screen)
        replaces = run is not None and run.model.exists()
        record = Record(chosen, found, texts.kept, replaces, tensorboard)
        lead(group, record, texts.tokenizer)
        if run is None:
            return train_on(texts, record, device, screen, None, group)
        with run:
            # While the text was read another run may have ended in this folder.
            run.check_free(force=force)
            check_free(run.model, force=force)
            run.begin(record, texts.tokenizer)
            return train_on(texts, record, device, screen, run, group)


def resume_training(folder: str | Path, *, screen: Screen | None = None) -> LanguageModel:
    """Go on with a run that was interrupted or killed, from its last checkpoint.

    Its weights at the end are those of a run that was never interrupted, bit for bit, on the same
    CPU with as many threads, where the length is given in epochs. ``folder`` is the model folder;
    settings and text are found from what lies beside it.

    Raises:
        FolderError: the run has finished, there are no checkpoints, or they are damaged.
        TextError: the text is gone or has changed.
        TrainingError: as in ``train_model``.
    """
    screen = screen or Silence()
    folder = Path(folder)
    run = RunFolder(folder)
    with join() as group:
        if group.rank > 0:
            return follow(group)
        run.check_resumable()
        with run:
            record, tokenizer = run.read()
            settings = record.settings
            device = prepare_machine(settings, group)
            texts = reopen_texts(record.sources, settings, screen, tokenizer, record.kept)
            lead(group, record, tokenizer)
            return train_on(texts, record, device, screen, run, group)


def lead(group: Group, record: Record, tokenizer: Tokenizer) -> None:
    """Tell the other processes of a run what is done; the text is in the cache by now."""
    group.first(lambda: json.dumps([record.to_json(), tokenizer.to_json()]))
    group.wait()


def follow(group: Group) -> LanguageModel:
    """Do as the first process of a run says, in silence, and write nothing."""
    said, tokenizer_said = json.loads(group.first(str))
    record = Record.from_json(said, "what the first process says")
    tokenizer = Tokenizer.from_json(tokenizer_said)
    settings = record.settings
    device = prepare_machine(settings, group)

    def reopen() -> Texts:
        return reopen_texts(record.sources, settings, Silence(), tokenizer, record.kept)

    if group.local_rank == 0:  # the first one on this machine fills its cache
        texts = reopen()
        group.wait()
    else:
        group.wait()
        texts = reopen()
    return train_on(texts, record, device, Silence(), None, group)


def train_on(
    texts: Texts,
    record: Record,
    device: torch.device,
    screen: Screen,
    run: RunFolder | None,
    group: Group | None = None,
) -> LanguageModel:
    """Train on ids that are at hand, or go on with it where ``run`` has checkpoints."""
    group = group or Alone()
    settings = _fit_batch(record.settings, len(texts.train), screen)
    if settings.batch_size < group.size:
        raise SettingsError(
            f"a batch of {settings.batch_size} streams can't be shared out to {group.size} "
            f"processes: start fewer, or give a larger batch_size"
        )
    softmax = choose_softmax(settings.softmax, texts.tokenizer.vocab_size, device)
    counts = count_words(texts.train, texts.tokenizer.vocab_size) if softmax == "adaptive" else None
    config = make_config(settings, texts.tokenizer.vocab_size, counts, screen)
    if softmax != "full" and is_small(config, softmax):
        screen.say(f"{config.vocab_size:,} kinds of tokens are few: the softmax is full")
    torch.manual_seed(settings.seed)
    network = Network(
        config,
        settings.dropout,
        embedding_std=settings.embedding_std,
        sampled=softmax == "sampled",
    ).to(device)
    network.precision = choose_precision(settings.precision, device)
    screen.say(
        f"{config.parameters:,} parameters, {config.vocab_size:,} kinds of tokens, "
        f"{len(texts.train):,} tokens to train on, {network.precision} on {device}"
    )
    folder = None if run is None else run.model
    keeper = Keeper(
        network, texts.tokenizer, settings, screen, folder, record.replaces, record.tensorboard
    )
    store = None if run is None else Files(run.path, screen.say)
    outcome = fit(network, texts.train, texts.valid, settings, keeper, device, store, group)
    keeper.finish(outcome)
    interrupted = outcome.stopped == "interrupted"
    if texts.test is not None and not interrupted:
        loss = measure_loss(network, texts.test, device, bptt=settings.bptt, group=group)
        screen.say(f"test: {loss:.4f} nats per token, perplexity {math.exp(loss):.2f}")
        keeper.rows.append({"test_loss": loss, "test_perplexity": math.exp(loss)})
    keeper.close()
    if run is not None and not interrupted:
        run.remove()
    if folder is not None and keeper.ours:
        return LanguageModel.load(folder)
    return LanguageModel.from_weights(config, network.export(), texts.tokenizer)


def make_config(
    settings: Settings, vocab_size: int, counts: np.ndarray | None, screen: Screen
) -> Config:
    """The shape of the model that the settings ask for.

    ``counts [V]`` of each token part the vocabulary of an adaptive softmax; None for a full one.
    """
    projection = settings.projection_size
    if (
        settings.tie_embeddings
        and not projection
        and settings.embedding_size != settings.hidden_size
    ):
        projection = settings.embedding_size
        screen.say(
            f"tied weights: a projection from {settings.hidden_size} to "
            f"{settings.embedding_size} goes before the decoder"
        )
    cutoffs = () if counts is None else choose_cutoffs(counts)
    read = projection or settings.hidden_size
    return Config(
        cell=settings.cell,
        vocab_size=vocab_size,
        embedding_size=settings.embedding_size,
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        tied=settings.tie_embeddings,
        projection_size=projection,
        cutoffs=cutoffs,
        tail_sizes=choose_tail_sizes(read, len(cutoffs), tied=settings.tie_embeddings),
    )


def prepare_machine(settings: Settings, group: Group) -> torch.device:
    """The device of this process of a run; its threads are set."""
    device = group.device(choose_device(settings.device))
    if settings.threads:
        torch.set_num_threads(settings.threads)
    keep_memory()
    return device


def keep_memory() -> None:
    """Have glibc keep large blocks that are freed: a step asks for the same ones again and again.

    By default it gives them back to the system, which has to clear each page anew. Elsewhere than
    on glibc nothing is done.
    """
    mmap_threshold, trim_threshold = -3, -1  # of malloc.h
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)


def choose_device(name: str) -> torch.device:
    """The device to train on; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        SettingsError: the named device is not in this machine.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there[name]:
        raise SettingsError(f"device {name} is not in this machine: use --device auto or cpu")
    return torch.device(name)


def choose_softmax(name: str, vocab_size: int, device: torch.device) -> str:
    """``auto`` is adaptive for a large vocabulary on a CPU, where it is several times faster."""
    if name != "auto":
        return name
    large = vocab_size >= LARGE_VOCABULARY and device.type == "cpu"
    return "adaptive" if large else "full"


def is_small(config: Config, softmax: str) -> bool:
    """Whether the vocabulary is too small for an adaptive or a sampled softmax to be of use."""
    return not config.cutoffs if softmax == "adaptive" else config.vocab_size <= SAMPLES


def choose_precision(name: str, device: torch.device) -> str:
    """``auto`` is bfloat16 where the device multiplies it faster than float32."""
    if name != "auto":
        return name
    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"


def _fit_batch(settings: Settings, tokens: int, screen: Screen) -> Settings:
    """Fewer or shorter streams where the text is too short for one whole batch."""
    batch, bptt = settings.batch_size, settings.bptt
    if (tokens - 1) // batch >= bptt:
        return settings
    bptt = min(bptt, tokens - 1)
    batch = max(1, (tokens - 1) // bptt)
    screen.say(
        f"too little text for a batch of {settings.batch_size} x {settings.bptt}: "
        f"it shrinks to {batch} x {bptt}"
    )
    return replace(settings, batch_size=batch, bptt=bptt)
