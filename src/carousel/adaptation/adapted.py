"""A model that adapts to what it reads, by a neural cache or by dynamic evaluation."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from carousel.errors import SettingsError
from carousel.inference.model import RecurrentLM
from carousel.inference.neural_cache import CacheBackend
from carousel.storage.adaptation import (
    Adaptation,
    CacheParameters,
    DynamicParameters,
    read_adaptation,
    read_gradients,
)

AdaptName = Literal["cache", "dynamic"]
Adapt = AdaptName | CacheParameters | DynamicParameters
"""How a model adapts: a name, or parameters."""
ADAPT_NAMES = ("cache", "dynamic")


def adapt_model(
    model: RecurrentLM,
    adapt: Adapt,
    folder: Path | None = None,
) -> RecurrentLM:
    """A model of the same weights that adapts to what it reads.

    What it learns is in the state. The model itself and its folder never change.

    Args:
        model: the model.
        adapt: ``"cache"`` or ``"dynamic"`` with the parameters in the model's folder, or the
            parameters themselves.
        folder: the model's folder; None for the default parameters.

    Raises:
        SettingsError: another name, a model that adapts already, gates that are held while the
            weights learn, or PyTorch is missing.
        FolderError: the parameters in the folder are damaged.

    >>> import carousel
    >>> lm = carousel.load("stories-lstm")
    >>> adapted = adapt_model(lm.model, CacheParameters(theta=0.5, lambda_=0.2, size=100))
    >>> adapted.backend.context
    100
    """
    check_adapt(adapt)
    if model.backend.context != 0:
        raise SettingsError("this model adapts already: adapt the model that was loaded")
    parameters = adapt
    if isinstance(parameters, str):
        stored: Adaptation = read_adaptation(folder)
        parameters = stored.cache if parameters == "cache" else stored.dynamic
    if isinstance(parameters, CacheParameters):
        return model.with_backend(CacheBackend(model.backend, parameters))
    need_torch()
    if model.interventions:
        raise SettingsError("weights can't learn while gates are held: adapt with a cache")
    from carousel.training.nn.dynamic_evaluation import DynamicBackend, network_config

    gradients = read_gradients(folder, network_config(model.config))
    backend = DynamicBackend(model.config, model.stored, parameters, gradients)
    return model.with_backend(backend)


def check_adapt(adapt: Any) -> None:
    """Check that ``adapt`` is one of the names, or parameters of one of them.

    Raises:
        SettingsError: it is not.
    """
    named = isinstance(adapt, str) and adapt in ADAPT_NAMES
    if not named and not isinstance(adapt, CacheParameters | DynamicParameters):
        raise SettingsError(f"adapt must be {' or '.join(ADAPT_NAMES)}, not {adapt!r}")


def need_torch() -> None:
    """Check that PyTorch is there, which dynamic evaluation takes its gradients from.

    Raises:
        SettingsError: it is not.
    """
    if find_spec("torch") is None:
        raise SettingsError(
            "dynamic evaluation needs torch, which is not installed: "
            "pip install 'carousel-lstm[train]', or adapt with a cache"
        )
