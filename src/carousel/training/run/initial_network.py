"""The network that a run starts with: new weights, or those of a model to fine-tune."""

from __future__ import annotations

import torch

from carousel.errors import SettingsError
from carousel.storage.number_formats import to_float32
from carousel.training.data.splits import Splits
from carousel.training.nn.architecture import (
    choose_softmax,
    falls_back_to_full,
    make_config,
    make_regularization,
    needs_projection,
)
from carousel.training.nn.cutoffs import count_tokens
from carousel.training.nn.network import Network
from carousel.training.nn.new_words import add_words
from carousel.training.run.base_model import BaseModel
from carousel.training.run.device import choose_precision
from carousel.training.run.progress_reporter import ProgressReporter
from carousel.training.settings import Settings


def make_network(
    splits: Splits,
    settings: Settings,
    device: torch.device,
    reporter: ProgressReporter,
    base_model: BaseModel | None = None,
) -> Network:
    """The network of a run on ``device``, with what the settings leave open decided and told.

    Args:
        splits: the texts of the run, and their tokenizer.
        settings: the run's settings.
        device: where to compute.
        reporter: shows what was decided to a person.
        base_model: the model to start from; None for new weights.

    Raises:
        FolderError: the model to start from is gone or is another one.
        SettingsError: the network does not fit in the device's memory.
    """
    torch.manual_seed(settings.seed)
    try:
        if base_model is None:
            network = _new_network(splits, settings, device, reporter)
        else:
            network = _continued_network(splits, settings, reporter, base_model)
        network = network.to(device)
    except RuntimeError as error:  # PyTorch has no error of its own for it
        if "memory" not in str(error):
            raise
        config = make_config(settings, splits.tokenizer.vocab_size, None)
        raise SettingsError(
            f"a model of {config.parameters:,} parameters does not fit in the memory of {device}: "
            f"choose a smaller hidden_size"
        ) from None
    network.precision = choose_precision(settings.precision, device)
    reporter.print(
        f"{network.config.parameters:,} parameters, {network.config.vocab_size:,} kinds of tokens, "
        f"{len(splits.train):,} tokens to train on, {network.precision} on {device}"
    )
    return network


def _new_network(
    splits: Splits, settings: Settings, device: torch.device, reporter: ProgressReporter
) -> Network:
    vocab_size = splits.tokenizer.vocab_size
    softmax = choose_softmax(settings.softmax, vocab_size, device)
    counts = count_tokens(splits.train, vocab_size) if softmax == "adaptive" else None
    if needs_projection(settings):
        reporter.print(
            f"tied weights: a projection from {settings.hidden_size} to "
            f"{settings.embedding_size} goes before the decoder"
        )
    config = make_config(settings, vocab_size, counts)
    if falls_back_to_full(softmax, config):
        reporter.print(f"{vocab_size:,} kinds of tokens are few: the softmax is full")
    return Network(
        config,
        make_regularization(settings),
        embedding_std=settings.embedding_std,
        sampled=softmax == "sampled",
    )


def _continued_network(
    splits: Splits, settings: Settings, reporter: ProgressReporter, base_model: BaseModel
) -> Network:
    base = base_model.reopen()
    weights = {name: to_float32(weight) for name, weight in base.weights.items()}
    counts = count_tokens(splits.train, splits.tokenizer.vocab_size)
    config, weights = add_words(base.config, weights, counts)
    new = config.vocab_size - base.config.vocab_size
    unknown = counts[splits.tokenizer.unknown_id] / counts.sum()
    reporter.print(
        f"goes on with {base.path}"
        + (f" and {new:,} new words" if new else "")
        + f": {unknown:.1%} of the text is unknown words"
    )
    return Network.from_model(
        config, weights, make_regularization(settings), sampled=settings.softmax == "sampled"
    )
