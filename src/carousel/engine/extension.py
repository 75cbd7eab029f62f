"""The extension in C++: whether it is there, and a model's weights handed to it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from carousel.engine.arguments import contiguous
from carousel.errors import EngineError
from carousel.storage.config import Config
from carousel.storage.number_formats import Quantized, StoredWeight, Tiled
from carousel.storage.untie import untie

_kernels: Any
try:
    _kernels = importlib.import_module("carousel.engine._kernels")
except ImportError as error:  # not built, or built for another machine
    _kernels = None
    MISSING = str(error)
else:
    MISSING = ""
"""Why there is no engine on this machine; empty where there is one."""

ISA = "CAROUSEL_ISA"
"""The environment variable that names the instruction set to use."""


def instruction_sets() -> list[str]:
    """Return the instruction sets that this machine can run, best first.

    The list is empty where the extension in C++ is missing.
    """
    return [] if _kernels is None else list(_kernels.instruction_sets())


def is_missing() -> bool:
    """Return whether the extension can't be loaded; ``MISSING`` says why."""
    return _kernels is None


def load_weights(config: Config, weights: Mapping[str, StoredWeight], isa: str | None) -> Any:
    """Make the extension's decoder of a model's weights.

    Args:
        config: the shape of the model.
        weights: its weights by their names on disk.
        isa: the instruction set; None for the environment variable's, or else the best one.

    Raises:
        EngineError, ValueError, TypeError: as ``Decoder``.
    """
    if _kernels is None:
        raise EngineError(f"the kernels can't be loaded: {MISSING}")
    isa = os.environ.get(ISA, "") if isa is None else isa
    if isa and isa not in instruction_sets():
        raise EngineError(
            f"no kernels for {isa!r} run on this machine: "
            f"{ISA} may be {', '.join(instruction_sets())}"
        )
    if missing := sorted(config.weight_shapes().keys() - weights.keys()):
        raise ValueError(f"{missing[0]} is missing")
    weights = untie(weights, config.cutoffs)

    def argument(name: str) -> Any:
        weight = weights.get(name)
        if isinstance(weight, Quantized | Tiled):
            return contiguous(weight[0]), contiguous(weight.scale)
        return contiguous(weight)

    layers = [
        tuple(
            argument(f"layers.{layer}.{name}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ch")
        )
        for layer in range(config.layers)
    ]
    bounds = (*config.cutoffs, config.vocab_size)
    clusters = [
        (*bounds[n : n + 2], *(argument(f"decoder.tail.{n}.{half}.weight") for half in (0, 1)))
        for n in range(len(config.cutoffs))
    ]
    decoder_width = config.projection_size or config.hidden_size
    head = "decoder.head" if clusters else "decoder"
    return _kernels.Decoder(
        isa,
        1,
        config.cell,
        [config.vocab_size, config.embedding_size, config.hidden_size, decoder_width],
        argument("embedding.weight"),
        layers,
        argument("projection.weight"),
        None if config.tied and not clusters else argument(f"{head}.weight"),
        argument(f"{head}.bias"),
        clusters,
        config.carry_state,
    )
