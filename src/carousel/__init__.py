"""Carousel: recurrent next-word models you can see inside.

::

    import carousel

    model = carousel.train(["notes.txt"], out="models/notes", epochs=5)
    model = carousel.load("models/notes")
    model.next_words("on sunday i want to eat", k=5)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from carousel.errors import (
    CarouselError,
    ConvertError,
    EngineError,
    FolderError,
    LensError,
    PredictionError,
    SettingsError,
    TextError,
    TrainingError,
    UntouchedWarning,
)
from carousel.model import LanguageModel

if TYPE_CHECKING:
    from carousel.batch_scorer import BatchScorer
    from carousel.evaluate import Evaluation
    from carousel.lens.belt import Belt
    from carousel.lens.clamp import Clamp
    from carousel.lens.trace import Trace
    from carousel.predict.next_words import Prediction
    from carousel.predict.session import Session
    from carousel.quantization import quantize
    from carousel.storage.adaptation import CacheParameters, DynamicParameters
    from carousel.training.api import resume, train

__version__ = "0.1.0"
load = LanguageModel.load
__all__ = [
    "BatchScorer",
    "Belt",
    "CacheParameters",
    "CarouselError",
    "Clamp",
    "ConvertError",
    "DynamicParameters",
    "EngineError",
    "Evaluation",
    "FolderError",
    "LanguageModel",
    "LensError",
    "Prediction",
    "PredictionError",
    "Session",
    "SettingsError",
    "TextError",
    "Trace",
    "TrainingError",
    "UntouchedWarning",
    "__version__",
    "load",
    "quantize",
    "resume",
    "train",
]

# Loaded when they are asked for: predicting does without them.
_MODULES = {
    "BatchScorer": "carousel.batch_scorer",
    "Belt": "carousel.lens.belt",
    "CacheParameters": "carousel.storage.adaptation",
    "Clamp": "carousel.lens.clamp",
    "DynamicParameters": "carousel.storage.adaptation",
    "Evaluation": "carousel.evaluate",
    "Prediction": "carousel.predict.next_words",
    "Session": "carousel.predict.session",
    "Trace": "carousel.lens.trace",
    "quantize": "carousel.quantization",
    "resume": "carousel.training.api",
    "train": "carousel.training.api",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
